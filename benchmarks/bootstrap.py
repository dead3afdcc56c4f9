"""How sure a difference between two rankings of the same users is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

RESAMPLES = 10_000
LEVEL = 0.95

# Numbers drawn at a time.
_DRAWN = 4_000_000


@dataclass(frozen=True)
class Difference:
    """A mean difference and its confidence interval.

    Attributes:
      mean: over all examples.
      low: lower end of the interval.
      high: upper end of the interval.
    """

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


def paired_difference(
    model: Floats,
    baseline: Floats,
    users: npt.ArrayLike | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Difference:
    """Mean of `model` minus `baseline`, with a percentile bootstrap interval.

    Users are drawn with replacement, as many as there are, each with all of its
    examples under both models (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, chapters 8 and 13). So what one user finds hard for both does not widen the
    interval, and examples of one user do not count as independent.

    Args:
      model: ``[examples]``, or ``[seeds, examples]`` of one configuration that was
        trained several times: then the mean over the seeds stands for each example.
      baseline: ``[examples]``, on the same examples.
      users: ``[examples]``, whose each example is; one of its own for each if not
        given.
      resamples: how many times users are drawn.
      level: share of the resampled means that the interval holds.
      seed: of the drawing.

    Raises:
      ValueError: if the shapes do not fit, or there is no example.
    """
    model = np.atleast_2d(model).mean(axis=0)
    if model.shape != baseline.shape or not model.size:
        raise ValueError(
            "model and baseline are of the same examples, at least one. Received: "
            f"{list(model.shape)} and {list(baseline.shape)}"
        )
    difference = model - baseline  # [examples]
    owner = np.arange(model.size) if users is None else np.asarray(users)
    if owner.shape != model.shape:
        raise ValueError(
            f"users has one entry for each of {model.size} examples. Received: "
            f"{list(owner.shape)}"
        )
    _, user, count = np.unique(owner, return_inverse=True, return_counts=True)
    total = np.bincount(user, difference)  # [users]
    low, high = np.quantile(
        _resampled_means(total, count, resamples, seed),
        [(1 - level) / 2, (1 + level) / 2],
    )
    return Difference(float(difference.mean()), float(low), float(high))


def _resampled_means(
    total: npt.NDArray[Any], count: npt.NDArray[np.integer], resamples: int, seed: int
) -> Floats:
    """Means over the examples of resampled users, ``[resamples]``.

    Args:
      total: ``[users]``, sum over each user's examples.
      count: ``[users]``, how many examples each has.
      resamples: how many means.
      seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    users = total.size
    rows = max(1, _DRAWN // users)
    means = []
    for begin in range(0, resamples, rows):
        drawn = rng.integers(users, size=(min(rows, resamples - begin), users))
        means.append(total[drawn].sum(axis=1) / count[drawn].sum(axis=1))
    return np.concatenate(means)
