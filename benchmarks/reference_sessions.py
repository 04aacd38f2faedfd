"""Sessions of the synthetic cohort as arrays: no DICOM, no registration, a head that lies still.

Perfusion is judged by itself; what motion, masks and registration add is judged by whole runs.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from afterglow.phantom.motion import Motion
from afterglow.phantom.scan import Session, distortion, fractions, open_session

BRAIN = ("gm", "wm", "csf", "edema")


class Still(Session):
    """A session whose head keeps the pose in which each series began."""

    def motion_of(self, series):
        """Return no motion at all."""
        pose = self.pose_of(series)
        shares = np.zeros((3, series.frames))
        shares[0] = 1.0
        return Motion((pose, pose, pose), shares)


def still_session(plan, patient, visit):
    """Return a session at rest."""
    moving = open_session(plan, patient, visit)
    return Still(**{f.name: getattr(moving, f.name) for f in fields(moving) if f.init})


def true_fractions(session, series, grid):
    """Return the share of every component in each voxel, by name, where the image shows it."""
    pose = session.pose_of(series)
    shift = None
    if series.name == "dsc":
        shift, _ = distortion(session.center.field, grid, pose)
    parts = fractions(session, grid, pose, series.factors, shift)
    return {name: parts[..., i] for i, name in enumerate(session.components)}
