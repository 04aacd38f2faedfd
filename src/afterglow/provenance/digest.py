"""Digests of values, files and code, independent of dates, places and layout."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_BLOCK = 1 << 20
# Made once: a plan asks for hundreds of thousands of texts.
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def stat_token(path: Path) -> list[int]:
    """Return size, modification time (ns) and inode: while they stand, so does the content."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def canonical_json(value: Any) -> str:
    """Return a value as JSON with sorted keys and no layout.

    Examples
    --------
    >>> canonical_json({"b": [1, 2.5], "a": None})
    '{"a":null,"b":[1,2.5]}'
    """
    return _ENCODE(value)


def value_digest(value: Any) -> str:
    """Return the sha256 of a JSON value.

    Examples
    --------
    >>> value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@cache
def token_digest(source: str) -> str:
    """Return a digest of Python source that comments, docstrings and layout do not move.

    Indentation is kept as structure: a statement moved into or out of a block changes the digest.

    Examples
    --------
    >>> token_digest("x = 1  # one") == token_digest("x  =  1")
    True
    >>> token_digest("x = 1") == token_digest("x = 2")
    False
    """
    docstrings = _docstring_starts(source)
    digest = hashlib.sha256()
    after_docstring = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start in docstrings and token.type == tokenize.STRING:
            after_docstring = True
        elif token.type in {tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE}:
            if not (after_docstring and token.type == tokenize.NEWLINE):
                digest.update(f"{tokenize.tok_name[token.type]}\0".encode())
            after_docstring = False
        elif token.type not in _LAYOUT:
            digest.update(f"{token.string}\0".encode())
    return digest.hexdigest()


def _docstring_starts(source: str) -> set[tuple[int, int]]:
    """Return the (line, column) at which every docstring of a module starts."""
    starts = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
            continue
        if isinstance(first.value.value, str):
            starts.add((first.lineno, first.col_offset))
    return starts
