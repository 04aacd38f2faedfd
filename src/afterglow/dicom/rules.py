"""Series rules as data: conditions on facts, a class, a confidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterglow.config.resources import resource
from afterglow.errors import AfterglowError

_KEYS = frozenset({"id", "class", "confidence", "when"})
_OPERATORS = frozenset({"min", "max", "regex", "any", "none"})
_ENOUGH = 0.5


@dataclass(frozen=True)
class Rule:
    """One rule; ``when`` maps names of facts to conditions."""

    id: str
    series_class: str
    confidence: float
    when: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """The class of a series, why, and what else it could have been."""

    series_class: str
    rule: str
    confidence: float
    runner_up: str | None
    runner_up_confidence: float


def load_rules(site: Sequence[Mapping[str, Any]] = (), path: Path | None = None) -> list[Rule]:
    """Return a site's rules followed by those of ``config/series.yaml``.

    Raises
    ------
    AfterglowError
        A rule with a missing or unknown key, an unknown operator or a broken pattern.
    """
    import yaml

    path = resource("config/series.yaml") if path is None else path
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [_rule(item) for item in (*site, *content["rules"])]


def _rule(item: Mapping[str, Any]) -> Rule:
    unknown, missing = set(item) - _KEYS, _KEYS - set(item)
    if unknown or missing:
        raise AfterglowError(
            f"a series rule has the wrong keys ({', '.join(sorted(unknown | missing))})",
            where=str(item.get("id", "series rules")),
            expected=", ".join(sorted(_KEYS)),
        )
    for name, condition in item["when"].items():
        if isinstance(condition, Mapping):
            wrong = set(condition) - _OPERATORS
            if wrong:
                raise AfterglowError(
                    f"a series rule knows no operator {', '.join(sorted(wrong))}",
                    where=f"{item['id']}.{name}",
                    expected=", ".join(sorted(_OPERATORS)),
                )
            if "regex" in condition:
                _pattern(str(item["id"]), condition["regex"])
    return Rule(str(item["id"]), str(item["class"]), float(item["confidence"]), dict(item["when"]))


def _pattern(rule: str, text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise AfterglowError(f"a series rule's pattern is broken: {error}", where=rule) from error


def decide(facts: Mapping[str, Any], rules: Sequence[Rule]) -> Decision:
    """Apply rules to the facts of one series; below a confidence of 0.5 it stays unknown.

    Examples
    --------
    >>> rules = [Rule("a", "T1w", 0.9, {"te": {"max": 20}}), Rule("b", "T2w", 0.4, {})]
    >>> decide({"te": 5.0}, rules).series_class, decide({"te": 5.0}, rules).runner_up
    ('T1w', 'T2w')
    >>> decide({"te": 90.0}, rules).series_class, decide({"te": 90.0}, rules).runner_up
    ('unknown', 'T2w')
    """
    matched = [rule for rule in rules if all(holds(facts.get(n), c) for n, c in rule.when.items())]
    if not matched:
        return Decision("unknown", "no_rule", 0.0, None, 0.0)
    best = max(matched, key=lambda rule: rule.confidence)
    if best.confidence < _ENOUGH:
        return Decision("unknown", "too_weak", 0.0, best.series_class, best.confidence)
    others = [rule for rule in matched if rule.series_class != best.series_class]
    second = max(others, key=lambda rule: rule.confidence, default=None)
    return Decision(
        best.series_class,
        best.id,
        best.confidence,
        second.series_class if second else None,
        second.confidence if second else 0.0,
    )


def holds(fact: Any, condition: Any) -> bool:
    """Tell whether one fact fulfils one condition.

    Examples
    --------
    >>> holds(30.0, {"min": 20}), holds(None, {"min": 20}), holds(None, None)
    (True, False, True)
    >>> holds({"M", "ND"}, {"any": ["ND"]}), holds("ax t2 flair", {"regex": "flair"})
    (True, True)
    """
    if isinstance(condition, Mapping):
        return all(_operator(fact, name, value) for name, value in condition.items())
    if condition is None:
        return fact is None
    if isinstance(condition, list):
        return fact in condition
    return fact is not None and bool(fact == condition)


def _operator(fact: Any, name: str, value: Any) -> bool:
    if name == "none":
        return not set(value) & _as_set(fact)
    if fact is None:
        return False
    if name == "any":
        return bool(set(value) & _as_set(fact))
    if name == "regex":
        return re.search(value, str(fact)) is not None
    return bool(fact >= value) if name == "min" else bool(fact <= value)


def _as_set(fact: Any) -> set[Any]:
    if fact is None:
        return set()
    return {fact} if isinstance(fact, str) else set(fact)
