"""The base of all row models: one pydantic model is dictionary, schema and sort order at once."""

from __future__ import annotations

import types
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.4.0"


def column(
    definition: str, *, unit: str = "", source: str = "", values: tuple[str, ...] = (), **more: Any
) -> Any:
    """Return a field with its dictionary entry.

    Parameters
    ----------
    definition : str
        What the number means, in one sentence.
    unit : str
        Unit; empty for text and counts.
    source : str
        Stage or file it comes from.
    values : tuple of str
        Values that a text may take.
    **more
        Passed to pydantic (``default``, bounds).
    """
    extra = {"unit": unit, "source": source}
    if values:
        extra["values"] = ", ".join(values)
    return Field(description=definition, json_schema_extra=dict(extra), **more)


class Row(BaseModel):
    """One row of one table.

    ``KEYS`` are the columns that single out a row and give the order of rows; ``FREE`` is True
    where columns beyond those of the model are allowed (the wide matrix).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    TABLE: ClassVar[str] = ""
    ONE_PER: ClassVar[str] = ""
    KEYS: ClassVar[tuple[str, ...]] = ()
    FREE: ClassVar[bool] = False


def arrow_type(annotation: Any) -> Any:
    """Return the Arrow type of a field's annotation.

    Raises
    ------
    TypeError
        For an annotation that has no column type.
    """
    import pyarrow as pa

    simple = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    if annotation in simple:
        return simple[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        inner = [part for part in arguments if part is not type(None)]
        if len(inner) == 1:
            return arrow_type(inner[0])
    if origin is Literal:
        return pa.string()
    if origin is list:
        return pa.list_(arrow_type(arguments[0]))
    message = f"no column type for {annotation!r}"
    raise TypeError(message)


def arrow_schema(model: type[Row]) -> Any:
    """Return the Arrow schema of a row model, with units and definitions as field metadata."""
    import pyarrow as pa

    fields = []
    for name, field in model.model_fields.items():
        metadata = {"definition": field.description or ""}
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            metadata |= {str(k): str(v) for k, v in extra.items() if v}
        fields.append(
            pa.field(
                name,
                arrow_type(field.annotation),
                nullable=name not in model.KEYS,
                metadata=metadata,
            )
        )
    return pa.schema(fields)
