"""Lesion identity on random subjects: the lesion graph beside one-to-one assignment.

``python benchmarks/lesions_tracking.py [SUBJECTS]`` prints the tables of docs/lesions.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np

from afterglow.lesions.tracking import identify, link

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lesions_simulation import graph_calls, one_to_one, scores, subject

METHODS = {
    "lesion graph": None,
    "greedy overlap": "overlap",
    "assignment of centroids within 10 mm": "centroid",
    "assignment of overlap after dilation by 2 mm": "dilated",
}


def main(count: int) -> None:
    """Print both tables."""
    print("| residual error | method | edge F1 | precision | recall | new: precision | new: recall")
    print("|---|---|---|---|---|---|---|")
    for error in (0.5, 1.5, 3.0):
        totals = {name: Counter() for name in METHODS}
        for k in range(count):
            scans, truth = subject(np.random.default_rng([5, k]), error=error)
            for name, kind in METHODS.items():
                calls = graph_calls(link(scans)) if kind is None else one_to_one(scans, kind)
                totals[name].update(scores(truth, *calls))
        for name, total in totals.items():
            print(f"| {error} mm | {name} | {' | '.join(row(total))} |")
    print(f"\norders of arrival: {orders(max(count // 100, 4))}")


def row(total: Counter[str]) -> list[str]:
    """Return the figures of one method."""
    precision, recall = total["right"] / total["found"], total["right"] / total["true"]
    figures = [2 * precision * recall / (precision + recall), precision, recall]
    figures.append(total["new_right"] / max(total["new_called"], 1))
    figures.append(total["new_right"] / max(total["new_true"], 1))
    return [f"{x:.3f}" for x in figures]


def orders(count: int) -> str:
    """Return how many orders of arrival gave another partition than the batch."""
    tried = wrong = 0
    for k in range(count):
        scans, _ = subject(np.random.default_rng([9, k]), n_lesions=8, n_scans=5, error=1.5)
        batch = {frozenset(nodes) for nodes in link(scans).lesions}
        for order in permutations([scan.session for scan in scans]):
            found = identify(scans, list(order))
            root = dict(found.same_as)
            classes: dict[str, set[object]] = {}
            for node, name in found.ids.items():
                classes.setdefault(root.get(name, name), set()).add(node)
            tried += 1
            wrong += {frozenset(nodes) for nodes in classes.values()} != batch
    return f"{wrong} of {tried} orders of 5 scans of {count} subjects differ from the batch result"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
