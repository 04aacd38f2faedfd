"""Identity over time: simulated subjects, orders of arrival, gaps and lost registrations."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from afterglow.errors import AfterglowError
from afterglow.lesions.blobs import Blob, Scan, blobs_of_labels
from afterglow.lesions.corrections import Corrections, read_corrections
from afterglow.lesions.matching import MatchSettings, match
from afterglow.lesions.tracking import as_json, identify, link
from lesions_simulation import ball, graph_calls, one_to_one, scores, subject


def blob(session, label, center, radius=4.0):
    cloud = ball(np.array(center, float), radius, np.random.default_rng(0))
    return Blob(session, label, cloud, float(len(cloud)))


def scan(session, *centers, reason=""):
    blobs = tuple(blob(session, k, c) for k, c in enumerate(centers, start=1))
    return Scan(session, blobs, reason)


def partition(scans, ids, same_as):
    """Return the classes of nodes, ids found to be one lesion taken together."""
    root = dict(same_as)
    classes = {}
    for node, name in ids.items():
        classes.setdefault(root.get(name, name), set()).add(node)
    return {frozenset(nodes) for nodes in classes.values()}


def figures(total):
    precision, recall = total["right"] / total["found"], total["right"] / total["true"]
    f1 = 2 * precision * recall / (precision + recall)
    return f1, total["new_right"] / total["new_called"], total["new_right"] / total["new_true"]


def test_simulated_subjects_meet_the_figures_and_beat_one_to_one():
    """The 500 subjects of the proof are in docs/lesions.md; here are the first of them."""
    totals = {name: Counter() for name in ("graph", "overlap", "centroid", "dilated")}
    for k in range(12):
        scans, truth = subject(np.random.default_rng([5, k]), error=1.5)
        totals["graph"].update(scores(truth, *graph_calls(link(scans))))
        for name in ("overlap", "centroid", "dilated"):
            totals[name].update(scores(truth, *one_to_one(scans, name)))
    f1, new_precision, new_recall = figures(totals.pop("graph"))
    assert f1 >= 0.97
    assert new_precision >= 0.98
    assert new_recall >= 0.95
    for total in totals.values():
        assert figures(total)[0] < 0.95
        assert figures(total)[1] < 0.9


def test_ids_follow_arrival_and_are_never_given_again():
    scans = [
        scan("a", (0, 0, 0), (40, 0, 0)),
        scan("b", (0, 0, 0)),
        scan("c", (1, 0, 0), (40, 1, 0), (0, 40, 0)),
    ]
    found = identify(scans, ["a", "b", "c"])
    assert found.ids == {
        ("a", 1): "L001",
        ("a", 2): "L002",
        ("b", 1): "L001",
        ("c", 1): "L001",
        ("c", 2): "L002",
        ("c", 3): "L003",
    }
    assert found.graph.states["c", 2] == "reappeared"
    assert found.graph.states["c", 3] == "new"
    assert ("b", ("a", 2), "resolved") in found.graph.absent
    later = identify([*scans, scan("d", (0, 0, 0), (0, 40, 0))], ["a", "b", "c", "d"])
    assert {node: later.ids[node] for node in found.ids} == found.ids


@pytest.mark.parametrize("seed", range(4))
def test_every_order_of_arrival_gives_the_same_partition(seed):
    rng = np.random.default_rng([7, seed])
    scans, _ = subject(rng, n_lesions=5, n_scans=4)
    names = [s.session for s in scans]
    batch = {frozenset(nodes) for nodes in link(scans).lesions}
    for order in list(permutations(names))[:: 5 if seed else 1]:
        found = identify(scans, list(order))
        assert partition(scans, found.ids, found.same_as) == batch


@pytest.mark.parametrize("seed", range(3))
def test_a_later_scan_leaves_issued_ids_alone(seed):
    scans, _ = subject(np.random.default_rng([8, seed]), n_lesions=6, n_scans=4)
    names = [s.session for s in scans]
    before: dict = {}
    for n in range(1, 5):
        ids = identify(scans[:n], names[:n]).ids
        assert {node: ids[node] for node in before} == before
        before = ids


def test_split_and_merge_are_edges_and_not_new_lesions():
    whole = ball(np.zeros(3), 8.0, np.random.default_rng(1))
    left, right = whole[whole[:, 0] < -1], whole[whole[:, 0] > 1]
    one = Scan("a", (Blob("a", 1, whole, float(len(whole))),))
    two = Scan("b", (Blob("b", 1, left, float(len(left))), Blob("b", 2, right, float(len(right)))))
    apart = link([one, two])
    assert sorted(e.kind for e in apart.edges) == ["continuation", "split"]
    assert sorted(apart.states[("b", k)] for k in (1, 2)) == ["persistent", "split"]
    back = Scan("b", one.blobs)
    together = link([Scan("a", two.blobs), back])
    assert sorted(e.kind for e in together.edges) == ["continuation", "merge"]
    assert [state for *_, state in together.absent] == ["merged"]


def test_a_scan_without_registration_matches_nothing_and_says_why():
    scans = [scan("a", (0, 0, 0)), scan("b", (0, 0, 0), reason="no_longitudinal_registration")]
    scans.append(scan("c", (0, 0, 0)))
    found = identify(scans, ["a", "b", "c"])
    assert found.ids["c", 1] == found.ids["a", 1] == "L001"
    assert found.ids["b", 1] == "L002"
    assert found.graph.states["b", 1] == "unmatched"
    stored = as_json(found, {"b": "no_longitudinal_registration"})
    reasons = {a["session"]: a["reason"] for a in stored["assignments"]}
    assert reasons == {"a": "", "b": "no_longitudinal_registration", "c": ""}


def test_a_rival_as_close_as_the_match_makes_the_edge_uncertain():
    before = [blob("a", 1, (0, 0, 0)), blob("a", 2, (0, 5, 0))]
    pair = match(before, [blob("b", 1, (0, 2.5, 0))])[0]
    assert pair.margin < MatchSettings().uncertain_margin
    clear = match(before[:1], [blob("b", 1, (0.5, 0, 0))])[0]
    assert clear.margin > 0.9


def test_common_shift_is_taken_out():
    centers = [(x, y, 0.0) for x in (-30, 0, 30) for y in (-20, 20)]
    moved = [(x + 5, y, 0.0) for x, y, _ in centers]
    pairs = match(
        [blob("a", k, c, 2.0) for k, c in enumerate(centers, 1)],
        [blob("b", k, c, 2.0) for k, c in enumerate(moved, 1)],
    )
    assert [(p.i, p.j) for p in pairs] == [(k, k) for k in range(6)]
    assert max(p.distance for p in pairs) < 0.5


def test_blobs_are_placed_by_the_affine_and_sampled_finely():
    labels = np.zeros((6, 6, 6), np.int32)
    labels[2:4, 2, 3] = 7
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    shift = np.eye(4)
    shift[0, 3] = 10.0
    (found,) = blobs_of_labels(labels, affine, shift, "a")
    assert (found.label, found.volume) == (7, 8.0)
    assert len(found.points) == 2 * 4
    np.testing.assert_allclose(found.centroid, [12.5, 2.0, 12.0])


def corrections(tmp_path, *rows):
    path = tmp_path / "decisions.csv"
    head = "subject,session,target,decision,file,rater,date,reason"
    path.write_text("\n".join([head, *(f"{row},,r1,,looked at it" for row in rows)]) + "\n")
    return Corrections(read_corrections(path, "x1"))


def test_corrections_are_honoured_and_recorded(tmp_path):
    scans = [scan("a", (0, 0, 0), (9, 0, 0)), scan("b", (0, 0, 0), (9, 0, 0))]
    plain = identify(scans, ["a", "b"])
    assert [plain.ids["b", k] for k in (1, 2)] == ["L001", "L002"]
    swapped = corrections(
        tmp_path,
        "x1,b,lesion/1,same_as a/2",
        "sub-x1,ses-b,lesion/2,same_as ses-a/1",
        "x2,b,lesion/1,new",
        "x1,b,series/7,exclude",
    )
    found = identify(scans, ["a", "b"], corrections=swapped)
    assert [found.ids["b", k] for k in (1, 2)] == ["L002", "L001"]
    assert all(edge.corrected and not edge.uncertain for edge in found.graph.edges)
    new = corrections(tmp_path, "x1,b,lesion/1,new", "x1,z,lesion/4,new")
    found = identify(scans, ["a", "b"], corrections=new)
    assert found.ids["b", 1] == "L003"
    assert found.graph.states["b", 1] == "new"
    assert [applied for _, applied in new.applied(found.ids)] == [True, False]
    assert not new.contradictions()
    both = corrections(tmp_path, "x1,b,lesion/1,new", "x1,b,lesion/1,same_as a/1")
    assert [(late.row, early.row) for late, early in both.contradictions()] == [(2, 1)]
    assert identify(scans, ["a", "b"], corrections=both).ids["b", 1] == "L001", "the later counts"
    apart = corrections(tmp_path, "x1,b,lesion/1,not_same_as a/1")
    assert identify(scans, ["a", "b"], corrections=apart).ids["b", 1] != "L001"


def test_a_decision_that_cannot_be_understood_is_refused(tmp_path):
    with pytest.raises(AfterglowError, match="row 2"):
        corrections(tmp_path, "x1,b,lesion/1,new", "x1,b,lesion/2,perhaps")
    (tmp_path / "decisions.csv").write_text("subject,target\n")
    with pytest.raises(AfterglowError, match="decision, session"):
        read_corrections(tmp_path / "decisions.csv", "x1")


def test_a_correction_keeps_every_order_of_arrival_the_same(tmp_path):
    scans, _ = subject(np.random.default_rng([7, 0]), n_lesions=5, n_scans=3)
    names = [s.session for s in scans]
    fixed = corrections(tmp_path, f"x1,{names[1]},lesion/1,new")
    batch = {frozenset(nodes) for nodes in link(scans, corrections=fixed).lesions}
    for order in permutations(names):
        found = identify(scans, list(order), corrections=fixed)
        assert partition(scans, found.ids, found.same_as) == batch
