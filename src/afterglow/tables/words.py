"""Definitions that several tables share."""

from __future__ import annotations

CENTER = "Center that acquired the session."
SUBJECT = "Label of the subject, without `sub-`."
SESSION = "Label of the session, without `ses-`; its date is shifted."
LESION = "Stable lesion id within the subject; never reissued."
RECORD = "Key of the ledger record that the row follows from."
REASON = "Why there is no number; empty where there is one."
