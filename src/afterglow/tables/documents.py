"""What stands beside the tables: dictionary, data package, and the summary as TSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from afterglow.tables import dictionary, tsv
from afterglow.tables.datapackage import datapackage
from afterglow.tables.digest import content_digest

TABLES = (
    *("curves", "edges", "failures", "features", "features_wide", "lesions", "sessions"),
    "therapies",
)
# `features` and `curves` say the same numbers at greater length
DIGESTED = ("edges", "failures", "features_wide", "lesions", "sessions", "therapies")


def write_documents(
    out: Callable[[str], Path], study: str, columns: Sequence[Mapping[str, str]]
) -> None:
    """Write the documents of the tables that were just written.

    Parameters
    ----------
    out : callable
        Gives where to write a path of the study.
    study : str
        Name of the study.
    columns : sequence of mapping
        Columns of the wide matrix beyond its model.
    """
    import pyarrow.parquet as pq

    content = dictionary.dictionary({"features_wide": columns})
    digests = {
        name: content_digest(pq.read_table(out(f"tables/{name}.parquet"))) for name in DIGESTED
    }
    lesions = pq.read_table(out("tables/lesions.parquet"))
    texts = {
        "dictionary.json": dictionary.as_json(content),
        "dictionary.md": dictionary.as_markdown(content),
        "datapackage.json": datapackage(content, study, TABLES, digests),
        "lesions.tsv": tsv.as_tsv(lesions),
        "lesions.json": tsv.sidecar(content["tables"]["lesions"]),
    }
    for name, text in texts.items():
        out(f"tables/{name}").write_text(text, encoding="utf-8")
