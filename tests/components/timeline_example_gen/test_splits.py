from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen import splits
from components.timeline_example_gen.splits import EVAL, NO_EXAMPLE, TEST, TRAIN


def test_leave_one_out() -> None:
    position = np.array([0, 1, 2, 3, 0, 1, 2, 0, 1])
    length = np.array([4, 4, 4, 4, 3, 3, 3, 2, 2])
    assert splits.leave_one_out(position, length).tolist() == [
        *(NO_EXAMPLE, TRAIN, EVAL, TEST),
        *(NO_EXAMPLE, EVAL, TEST),
        *(NO_EXAMPLE, TEST),
    ]


def test_temporal_cuts_belong_to_the_earlier_split() -> None:
    position = np.arange(10)
    timestamp = np.arange(1, 11)
    split = splits.temporal(position, timestamp, splits.Cuts(8, 9))
    assert split.tolist() == [NO_EXAMPLE, *[TRAIN] * 7, EVAL, TEST]


def test_random_has_about_the_shares_asked_for() -> None:
    n = 20_000
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, (2, n)).astype(np.uint64)
    split = splits.random(
        np.ones(n, np.int64), rng.integers(0, 10**9, n), *hashes, 0.7, seed=3
    )
    share = np.bincount(split, minlength=3) / n
    np.testing.assert_allclose(share, [0.7, 0.15, 0.15], atol=0.01)


def test_random_does_not_depend_on_the_order_and_changes_with_the_seed() -> None:
    n = 500
    rng = np.random.default_rng(2)
    users, items = rng.integers(0, 2**63, (2, n)).astype(np.uint64)
    times = rng.integers(0, 10**9, n)
    position = np.ones(n, np.int64)
    one = splits.random(position, times, users, items, 0.5, seed=1)
    turn = rng.permutation(n)
    mixed = splits.random(position, times[turn], users[turn], items[turn], 0.5, seed=1)
    assert mixed.tolist() == one[turn].tolist()
    other = splits.random(position, times, users, items, 0.5, seed=2)
    assert (other != one).mean() > 0.3


def test_first_activities_are_no_examples() -> None:
    zeros, hashes = np.zeros(3, np.int64), np.arange(3, dtype=np.uint64)
    for split in (
        splits.leave_one_out(zeros, np.array([1, 2, 3])),
        splits.temporal(zeros, zeros, splits.Cuts(5, 6)),
        splits.random(zeros, zeros, hashes, hashes, 0.5, seed=1),
    ):
        assert split.tolist() == [NO_EXAMPLE] * 3


def _cuts(timestamps: list[int], fraction: float) -> splits.Cuts:
    array = np.array(timestamps, np.int64)
    coarse = splits.coarse_histogram(array)
    return splits.find_cuts(
        coarse, splits.fine_histogram(array, coarse, fraction), fraction
    )


@pytest.mark.parametrize(
    ("timestamps", "fraction", "expected"),
    [
        (list(range(1, 11)), 0.8, (8, 9)),
        ([5] * 10, 0.8, (5, 5)),
        ([1, 1, 1, 1, 1, 1, 1, 1, 7, 9], 0.5, (1, 1)),
        ([10**9, 3, 10**9 + 1, 2 * 10**9], 0.5, (10**9, 10**9 + 1)),
        ([], 0.8, (0, 0)),
    ],
)
def test_cuts_by_fraction(
    timestamps: list[int], fraction: float, expected: tuple[int, int]
) -> None:
    assert _cuts(timestamps, fraction) == splits.Cuts(*expected)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 9))
def test_cuts_are_the_first_seconds_with_enough_before(
    timestamps: list[int], tenths: int
) -> None:
    cuts = _cuts(timestamps, tenths / 10)
    ordered = sorted(timestamps)
    for cut, parts in ((cuts.train_end, 2 * tenths), (cuts.eval_end, tenths + 10)):
        # Shares in twentieths, so that the check is in whole numbers.
        enough = [
            t
            for t in ordered
            if 20 * sum(s <= t for s in timestamps) >= parts * len(timestamps)
        ]
        assert cut == enough[0]


def test_by_user_keeps_users_whole_and_has_about_the_shares_asked_for() -> None:
    users = np.random.default_rng(1).integers(0, 2**63, 20_000).astype(np.uint64)
    once = splits.by_user(np.ones(20_000, np.int64), users, 0.7, seed=3)
    share = np.bincount(once, minlength=3) / 20_000
    np.testing.assert_allclose(share, [0.7, 0.15, 0.15], atol=0.01)
    again = splits.by_user(np.ones(20_000, np.int64), users[::-1], 0.7, seed=3)
    np.testing.assert_array_equal(again, once[::-1])
    other = splits.by_user(np.ones(20_000, np.int64), users, 0.7, seed=4)
    assert (other != once).mean() > 0.3


@pytest.mark.parametrize(
    ("stride", "most", "kept"),
    [
        (1, 0, [1, 2, 3, 4, 7]),
        (2, 0, [2, 4, 7]),
        (3, 0, [1, 4, 7]),
        (1, 2, [3, 4, 7]),
        (2, 1, [4, 7]),
        (9, 9, [4, 7]),
    ],
)
def test_train_is_thinned_from_the_newest(
    stride: int, most: int, kept: list[int]
) -> None:
    split = np.array([NO_EXAMPLE, *[TRAIN] * 4, EVAL, NO_EXAMPLE, TRAIN, TEST], np.int8)
    user = np.array([0, 0, 0, 0, 0, 0, 5, 5, 5])
    thinned = splits.thin_train(split, user, stride, most)
    assert np.flatnonzero(thinned == TRAIN).tolist() == kept
    held_out = split >= EVAL
    np.testing.assert_array_equal(thinned[held_out], split[held_out])
