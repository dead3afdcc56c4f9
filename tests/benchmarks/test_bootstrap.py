"""The paired bootstrap on arrays whose interval is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bootstrap import Difference, paired_difference


def test_equal_arrays_differ_by_nothing():
    hits = np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    found = paired_difference(hits, hits)
    assert found == Difference(0.0, 0.0, 0.0)
    assert not found.excludes_zero


@pytest.mark.parametrize("gain", [0.25, -0.25])
def test_a_gain_that_is_the_same_for_all_is_certain(gain):
    gains = np.array([0.0, 0.5, 0.25, 1.0])
    found = paired_difference(gains + gain, gains)
    assert (found.mean, found.low, found.high) == (gain, gain, gain)
    assert found.excludes_zero


def test_the_interval_of_a_normal_difference():
    rng = np.random.default_rng(7)
    drawn = rng.normal(size=400)
    # Mean 0.3 and standard deviation 1, so the mean's is 1 / 20.
    difference = 0.3 + (drawn - drawn.mean()) / drawn.std()
    hard = rng.normal(scale=50, size=400)  # For both: the pairing takes it away.
    found = paired_difference(hard + difference, hard)
    assert found.mean == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 1.96 / 20, abs=0.005)
    assert found.high == pytest.approx(0.3 + 1.96 / 20, abs=0.005)


def test_a_difference_that_one_user_makes_may_be_chance():
    found = paired_difference(np.array([1.0, 0, 0, 0]), np.zeros(4))
    # Without that user, drawn by none of four, in 0.75^4 = 32 % of the resamples.
    assert (found.mean, found.low, found.high) == (0.25, 0.0, 0.75)
    assert not found.excludes_zero


def test_of_several_seeds_the_mean_counts():
    seeds = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    baseline = np.array([0.5, 0.0, 0.5])
    found = paired_difference(seeds, baseline)
    assert found == paired_difference(np.array([0.5, 0.0, 1.0]), baseline)
    assert found.mean == pytest.approx(0.5 / 3)


def test_users_are_drawn_with_all_their_examples():
    model = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    users = np.array([b"a", b"a", b"a", b"a", b"b"])
    found = paired_difference(model, np.zeros(5), users)
    # Two users: a twice is 1, b twice 0, one of each 4 of 5.
    assert (found.mean, found.low, found.high) == (0.8, 0.0, 1.0)
    same = paired_difference(model, np.zeros(5), [3, 1, 4, 0, 5])
    assert same == paired_difference(model, np.zeros(5))


def test_the_seed_decides():
    model, baseline = np.random.default_rng(1).normal(size=(2, 50))
    first = paired_difference(model, baseline, resamples=200)
    assert first == paired_difference(model, baseline, resamples=200)
    assert first != paired_difference(model, baseline, resamples=200, seed=1)


def test_a_wider_level_is_a_wider_interval():
    model, baseline = np.random.default_rng(1).normal(size=(2, 50))
    wide = paired_difference(model, baseline, level=0.99)
    narrow = paired_difference(model, baseline, level=0.8)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


@pytest.mark.parametrize(
    ("model", "baseline", "message"),
    [
        ([0.0, 1.0], [0.0], r"\[2\] and \[1\]"),
        ([], [], r"\[0\] and \[0\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(model, baseline, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(np.array(model), np.array(baseline))


def test_each_example_has_a_user():
    with pytest.raises(ValueError, match=r"of 2 examples. Received: \[3\]"):
        paired_difference(np.zeros(2), np.zeros(2), [1, 2, 3])
