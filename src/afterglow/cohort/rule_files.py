"""Reading rules: the published ones that ship with the package, and a site's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from afterglow.cohort.rule_model import Rule
from afterglow.config.resources import resource
from afterglow.errors import AfterglowError

REFUSED = "refused.yaml"


def load_rules(extra: Iterable[Path] = (), only: Iterable[str] | None = None) -> list[Rule]:
    """Return the published rules and those of further files, in order of id.

    Parameters
    ----------
    extra : iterable of Path
        A site's own rule files, of the same form.
    only : iterable of str, optional
        Ids to keep; default all.

    Raises
    ------
    AfterglowError
        Malformed rule, id used twice, unknown id, or a cut-off derived in gliomas only.

    Examples
    --------
    >>> [rule.id for rule in load_rules(only=["huang2011_rcbv"])]
    ['huang2011_rcbv']
    """
    rules: dict[str, Rule] = {}
    files = sorted(p for p in resource("config/rules").glob("*.yaml") if p.name != REFUSED)
    for path in [*files, *extra]:
        for rule in read_rule_file(path):
            if rule.id in rules:
                raise AfterglowError(f"the rule `{rule.id}` is defined twice", where=path.name)
            rules[rule.id] = rule
    return [rules[name] for name in sorted(rules)] if only is None else _pick(rules, only)


def read_rule_file(path: Path) -> list[Rule]:
    """Return the rules of one file, refusing glioma rules by name."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise AfterglowError(f"rules cannot be read: {error}", where=path.name) from error
    if not isinstance(content, list):
        raise AfterglowError("no list of rules", where=path.name, expected="a YAML list")
    return [_rule(item, path) for item in content]


def refuse_glioma(name: str) -> None:
    """Raise where a rule's name is that of a cut-off derived in gliomas.

    Examples
    --------
    >>> refuse_glioma("hu2009_rcbv")
    Traceback (most recent call last):
    afterglow.errors.AfterglowError: the rule `hu2009_rcbv` is refused...
    """
    for pattern, reason in _refused():
        if re.search(pattern, name, flags=re.IGNORECASE):
            raise AfterglowError(
                f"the rule `{name}` is refused: {reason}",
                expected="a rule derived in irradiated brain metastases",
            )


@lru_cache(maxsize=1)
def _refused() -> tuple[tuple[str, str], ...]:
    content = yaml.safe_load(resource(f"config/rules/{REFUSED}").read_text(encoding="utf-8"))
    return tuple((item["pattern"], item["reason"]) for item in content)


def _rule(item: Any, path: Path) -> Rule:
    name = str(item.get("id", "")) if isinstance(item, dict) else ""
    refuse_glioma(name)
    try:
        return Rule.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise AfterglowError(
            f"rule `{name}`: {key} {first['msg']}".replace(":  ", ": "), where=path.name
        ) from error


def _pick(rules: dict[str, Rule], only: Iterable[str]) -> list[Rule]:
    picked = []
    for name in only:
        refuse_glioma(name)
        if name not in rules:
            raise AfterglowError(f"unknown rule `{name}`", expected=", ".join(sorted(rules)))
        picked.append(rules[name])
    return picked
