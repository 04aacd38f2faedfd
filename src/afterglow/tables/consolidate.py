"""Features and curves of all sessions as one table each, without holding all of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from afterglow.tables.identities import Identities
from afterglow.tables.models import CurveRow, FeatureRow
from afterglow.tables.rows import arrow_schema
from afterglow.tables.study import StudyStates

Find = Callable[[str], Path]


def feature_batches(study: StudyStates, identities: Identities, find: Find) -> Iterator[Any]:
    """Yield the feature rows of one session after another, in order of the table's keys."""
    yield from _batches(study, identities, find, "features", arrow_schema(FeatureRow))


def curve_batches(study: StudyStates, identities: Identities, find: Find) -> Iterator[Any]:
    """Yield the curves of one session after another, in order of the table's keys."""
    yield from _batches(study, identities, find, "curves", arrow_schema(CurveRow))


def _batches(
    study: StudyStates, identities: Identities, find: Find, name: str, schema: Any
) -> Iterator[Any]:
    import pyarrow.parquet as pq

    order = sorted(study.sessions, key=lambda r: (r["center"], r["subject"], r["session"]))
    for plan in order:
        summary = study.done("features", plan["subject"], plan["session"])
        if not summary:
            continue
        part = pq.read_table(find(summary[name]))
        if part.num_rows:
            yield _with_identity(part, plan, identities, schema)


def _with_identity(part: Any, plan: Any, identities: Identities, schema: Any) -> Any:
    """Return a part with the columns of the table; its rows are in blocks of one label each."""
    import pyarrow as pa

    subject, session = plan["subject"], plan["session"]
    labels = part.column("label").to_numpy()
    ids = {
        int(label): "all" if label == 0 else identities.lesion_id(subject, session, int(label))
        for label in np.unique(labels)
    }
    order = _block_order(labels, ids)
    part = part.take(pa.array(order))
    labels = labels[order]
    constants = {"center": plan["center"], "subject": subject, "session": session}
    columns = []
    for field in schema:
        if field.name in constants:
            column = pa.repeat(pa.scalar(constants[field.name]), part.num_rows)
        elif field.name == "lesion_id":
            column = pa.array([ids[int(label)] for label in labels], pa.string())
        else:
            column = part.column(field.name).cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _block_order(labels: Any, ids: dict[int, str]) -> Any:
    """Return the rows in order of lesion id and label, keeping the order within a label."""
    rank = {label: k for k, label in enumerate(sorted(ids, key=lambda n: (ids[n], n)))}
    places = np.array([rank[int(label)] for label in labels], dtype=np.int64)
    return np.argsort(places, kind="stable")
