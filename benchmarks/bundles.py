"""What a pushed bundle answers to the test examples, and how long it takes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import ranking
from components.tflite_converter.manifest import by_metric
from pocketrec_device import Bundle
from pocketrec_device.recommender import FLOOR

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

_OF_RANKS = re.compile(r"(hr|ndcg|mrr)_(\d+)_test")
# More than sums of the same numbers in another order differ by.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Answers:
    """What a bundle answered, example by example in the order of the files.

    Attributes:
      users: bytes ``[examples]``.
      ranks: float64 ``[examples]``, of the labels; infinite for a miss.
      top: raw item ids of the catalogue by example, the best first, without those left
        out.
      num_items: that the bundle may recommend.
      milliseconds: median time of one call of the model on one thread.
    """

    users: npt.NDArray[Any]
    ranks: Floats
    top: list[list[str]]
    num_items: int
    milliseconds: float


def answers(bundle: Bundle, examples: Path, top_k: int) -> Answers:
    """Runs a bundle on raw examples as the gate of the .tflite file does.

    Args:
      bundle: a loaded bundle.
      examples: folder of a split.
      top_k: length of the lists.

    Raises:
      pocketrec_device.RequestError: if the examples do not fit the bundle.
    """
    # They import TFX.
    from components.evaluator.tflite_extractor import BundleRanker, recommendable_items
    from components.tflite_converter.raw_examples import raw_columns, split_examples

    ranker = BundleRanker(bundle)
    items = recommendable_items(bundle)
    raw_ids = {index: raw for raw, index in items.items()}
    users, ranks, top, seconds = [], [], [], []
    for serialized in split_examples(str(examples)):
        columns = raw_columns(serialized)
        tensors = ranker.tensors(columns)
        begin = time.perf_counter()
        ids, scores = ranker.recommender.predict(tensors)
        seconds.append(time.perf_counter() - begin)
        users.append(columns["user_id"][0])
        ranks.append(ranker.rank_in(columns, ids, scores))
        best = ids[:top_k][scores[:top_k] > FLOOR]
        top.append([raw_ids[int(index)] for index in best])
    return Answers(
        users=np.array(users, object),
        ranks=np.array(ranks),
        top=top,
        num_items=len(items),
        milliseconds=float(np.median(seconds)) * 1000,
    )


def item_numbers_of(top: Sequence[Sequence[str]], items: npt.NDArray[Any]) -> Ints:
    """Lists of raw ids as numbers of items.

    Args:
      top: raw ids by example, lists of any length.
      items: all raw ids, sorted, int64 or bytes; an item's number is its place here.

    Returns:
      int64 ``[examples, length of the longest]``, filled up with -1, which also stands
      for an id that `items` does not have.
    """
    number = {_text(item): place for place, item in enumerate(items)}
    width = max(map(len, top), default=0)
    return np.array(
        [
            [number.get(raw, -1) for raw in best] + [-1] * (width - len(best))
            for best in top
        ],
        np.int64,
    )


def check_gate(name: str, ranks: Floats, gate: Iterable[Mapping[str, Any]]) -> None:
    """Makes sure that these are the ranks that the gate has judged.

    Args:
      name: of the run, for the message.
      ranks: ``[examples]``, infinite for a miss.
      gate: the rows of the .tflite file's gate in the manifest.

    Raises:
      RuntimeError: if the mean over the ranks is not what the gate reported.
    """
    for metric, row in by_metric(gate).items():
        found = _OF_RANKS.fullmatch(metric)
        if found is None:
            continue  # Of the bundle on a device.
        kind, k = found.groups()
        value = float(ranking.gains(ranks, kind, int(k)).mean())
        if not math.isclose(value, row["value"], rel_tol=0, abs_tol=_TOLERANCE):
            raise RuntimeError(
                f"{name}: {metric} is {value} over the ranks of its examples. "
                f"Expected {row['value']}, as its gate has reported"
            )


def _text(item: Any) -> str:
    return item.decode(errors="replace") if isinstance(item, bytes) else str(item)
