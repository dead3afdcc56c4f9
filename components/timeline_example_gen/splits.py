"""Which split each activity is a label of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.timeline_example_gen import hashing, timelines

TRAIN, EVAL, TEST = 0, 1, 2
NO_EXAMPLE = -1
LABELLED_SPLITS = ("train", "eval", "test")
CATALOGUE_SPLIT = "catalogue"
SPLITS = (*LABELLED_SPLITS, CATALOGUE_SPLIT)

Ints = npt.NDArray[np.int64]
Splits = npt.NDArray[np.int8]

# Seconds to a bucket of the coarse histogram; 18 hours.
_BUCKET = 1 << 16


@dataclass(frozen=True)
class Cuts:
    """The last seconds of train and of eval."""

    train_end: int
    eval_end: int


def leave_one_out(position: Ints, length: Ints) -> Splits:
    """A timeline's last activity to test, the one before to eval, the rest to train.

    Args:
      position: int64 ``[rows]``, activities of the user before this one.
      length: int64 ``[rows]``, activities of the user.

    Returns:
      int8 ``[rows]``, ``NO_EXAMPLE`` where nothing comes before.
    """
    left = length - 1 - position
    split = np.where(left == 0, TEST, np.where(left == 1, EVAL, TRAIN))
    return _with_context(split, position)


def temporal(position: Ints, timestamp: Ints, cuts: Cuts) -> Splits:
    """Labels up to the first cut to train, up to the second to eval, the rest to test.

    The context of a label comes before it in time, so train holds nothing that is later
    than the first cut.
    """
    split = np.where(
        timestamp <= cuts.train_end,
        TRAIN,
        np.where(timestamp <= cuts.eval_end, EVAL, TEST),
    )
    return _with_context(split, position)


def random(
    position: Ints,
    timestamp: Ints,
    user_hash: hashing.Hashes,
    item_hash: hashing.Hashes,
    train_fraction: float,
    seed: int,
) -> Splits:
    """By a seeded hash of user, item and time; leaks the future into train.

    Args:
      position: int64 ``[rows]``.
      timestamp: int64 ``[rows]``.
      user_hash: uint64 ``[rows]``.
      item_hash: uint64 ``[rows]``.
      train_fraction: share of the examples in train; eval and test halve the rest.
      seed: another one gives another split.
    """
    pair = hashing.combine(user_hash, item_hash)
    example = hashing.combine(pair, timestamp.astype(np.uint64))
    # Not the seed of the order within a second: the two must not be related.
    part = hashing.fraction(hashing.seeded(hashing.mix(example), seed))
    eval_end = train_fraction + (1 - train_fraction) / 2
    split = np.where(
        part < train_fraction, TRAIN, np.where(part < eval_end, EVAL, TEST)
    )
    return _with_context(split, position)


def by_user(
    position: Ints, user_hash: hashing.Hashes, train_fraction: float, seed: int
) -> Splits:
    """By a seeded hash of the user; leaks other users' future into train.

    Args:
      position: int64 ``[rows]``.
      user_hash: uint64 ``[rows]``.
      train_fraction: share of the users in train; eval and test halve the rest.
      seed: another one gives another split.
    """
    part = hashing.fraction(hashing.seeded(hashing.mix(user_hash), seed))
    eval_end = train_fraction + (1 - train_fraction) / 2
    split = np.where(
        part < train_fraction, TRAIN, np.where(part < eval_end, EVAL, TEST)
    )
    return _with_context(split, position)


def thin_train(split: Splits, user: Ints, stride: int, most: int) -> Splits:
    """Leaves out train examples, counted from each user's newest.

    Args:
      split: int8 ``[rows]``, sorted by user, then time.
      user: int64 ``[rows]``.
      stride: every so many-th is kept, the newest first of all.
      most: of one user that are kept; 0: no limit.

    Returns:
      int8 ``[rows]``, ``NO_EXAMPLE`` where one is left out.
    """
    newest_first = np.flatnonzero(split == TRAIN)[::-1]
    rank, _ = timelines.positions(user[newest_first])
    kept = rank % stride == 0
    if most:
        kept &= rank // stride < most
    thinned = split.copy()
    thinned[newest_first[~kept]] = NO_EXAMPLE
    return thinned


def _with_context(split: npt.NDArray[np.int64], position: Ints) -> Splits:
    return np.where(position >= 1, split, NO_EXAMPLE).astype(np.int8)


def coarse_histogram(timestamps: Ints) -> dict[int, int]:
    """How many timestamps each bucket of 2^16 seconds has."""
    bucket, count = np.unique(timestamps // _BUCKET, return_counts=True)
    return dict(zip(bucket.tolist(), count.tolist(), strict=True))


def fine_histogram(
    timestamps: Ints, coarse: Mapping[int, int], train_fraction: float
) -> dict[int, int]:
    """How many timestamps each second has, of the buckets that hold the cuts.

    Args:
      timestamps: int64 ``[rows]``.
      coarse: the histogram of all timestamps.
      train_fraction: as for `find_cuts`.
    """
    buckets = {bucket for bucket, _ in _cut_buckets(coarse, train_fraction)}
    inside = timestamps[np.isin(timestamps // _BUCKET, list(buckets))]
    second, count = np.unique(inside, return_counts=True)
    return dict(zip(second.tolist(), count.tolist(), strict=True))


def find_cuts(
    coarse: Mapping[int, int], fine: Mapping[int, int], train_fraction: float
) -> Cuts:
    """Exact quantiles of the timestamps, from two histograms.

    The first cut is the first second up to which there are at least `train_fraction` of
    all activities; the second halves the rest in the same way.

    Args:
      coarse: see `coarse_histogram`.
      fine: see `fine_histogram`.
      train_fraction: share of the activities up to the first cut.

    Returns:
      The cuts; 0 and 0 if there is no timestamp.
    """
    if not coarse:
        return Cuts(0, 0)
    cuts = []
    for bucket, rank in _cut_buckets(coarse, train_fraction):
        for second in sorted(s for s in fine if s // _BUCKET == bucket):
            rank -= fine[second]
            if rank <= 0:
                cuts.append(second)
                break
    return Cuts(*cuts)


def _cut_buckets(
    coarse: Mapping[int, int], train_fraction: float
) -> list[tuple[int, int]]:
    """Bucket of each cut, and the cut's rank in it (from 1)."""
    total = sum(coarse.values())
    found = []
    for share in (train_fraction, train_fraction + (1 - train_fraction) / 2):
        # 0.8 of 10 is 8, although 0.8 * 10 may come out a little above.
        rank = max(1, math.ceil(share * total - 1e-6))
        for bucket in sorted(coarse):
            if rank <= coarse[bucket]:
                found.append((bucket, rank))
                break
            rank -= coarse[bucket]
    return found
