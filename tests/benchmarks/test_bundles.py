"""What is made of a bundle's answers; the answers themselves are tested end to end."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bundles import check_gate, item_numbers_of

INF = np.inf


@pytest.mark.parametrize(
    "items", [np.array([7, 50, 172]), np.array([b"172", b"50", b"7"], object)]
)
def test_lists_of_raw_ids_become_numbers(items):
    found = item_numbers_of([["50", "7"], ["172"], [], ["9"]], items)
    as_text = [str(i) if isinstance(i, int) else i.decode() for i in items.tolist()]
    place = as_text.index
    assert found.tolist() == [
        [place("50"), place("7")],
        [place("172"), -1],
        [-1, -1],
        [-1, -1],
    ]


def test_the_gates_numbers_are_those_of_the_ranks():
    ranks = np.array([1.0, 3.0, INF, 2.0])
    gate = [
        {"metric": "hr_2_test", "value": 0.5},
        {"metric": "ndcg_3_test", "value": (1 + 0.5 + 1 / np.log2(3)) / 4},
        {"metric": "mrr_3_test", "value": (1 + 1 / 3 + 1 / 2) / 4},
    ]
    # Neither of other examples nor of the device.
    gate.append({"metric": "hr_2_test", "slice": "stored examples", "value": 0.9})
    for name in ("latency_p99_ms", "self_test"):
        gate.append({"metric": name, "slice": "", "value": 0.9})
    check_gate("mine", ranks, gate)
    gate[0] = {"metric": "hr_2_test", "value": 0.75}
    with pytest.raises(
        RuntimeError, match=r"mine: hr_2_test is 0\.5 .* Expected 0\.75"
    ):
        check_gate("mine", ranks, gate)
