"""Runs a bundle's model: a history in, the best items out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from pocketrec_device import features
from pocketrec_device.bundle import (
    MODEL,
    SIGNATURE,
    TOP_IDS,
    TOP_SCORES,
    Bundle,
    BundleError,
)
from pocketrec_device.features import History, Item, RequestError, Tensors

# What the model scores items that it leaves out.
FLOOR = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
      id: as the logs have it.
      title: for people.
      score: of the model, comparable within one answer only.
      index: the item's id inside the model.
    """

    id: str
    title: str
    score: float
    index: int


class Recommender:
    """Answers which items go with a history.

    Several threads may share one; they take turns.

    Example:
      >>> recommender = Recommender(Bundle.load("pushed/"))       # doctest: +SKIP
      >>> recommender.recommend([50, 172, 181], top_k=3)          # doctest: +SKIP
      [Recommendation(id='174', title='Raiders of the Lost Ark (1981)', ...), ...]

    Args:
      bundle: a loaded bundle, or the path of one or of a push destination.
      num_threads: for LiteRT. One is fastest for models of this size.

    Raises:
      BundleError: if the bundle is broken or its model's signature is not the one in
        the manifest.
    """

    def __init__(self, bundle: Bundle | str | Path, num_threads: int = 1) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        try:
            self._interpreter = Interpreter(
                model_content=self.bundle.model, num_threads=num_threads
            )
            # Here, not in the first answer, an operator that LiteRT lacks is found.
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise BundleError(
                f"{self.bundle.path / MODEL}: LiteRT cannot load it: {_line(error)}"
            ) from error
        self._runner = _checked_runner(self.bundle, self._interpreter)
        self._by_index = _by_index(self.bundle.items.values())
        self._lock = threading.Lock()

    def recommend(
        self,
        history: Sequence[Any],
        ratings: Sequence[float | None] | None = None,
        timestamps: Sequence[int | None] | None = None,
        user: Mapping[str, Any] | None = None,
        seen: Sequence[Any] | None = None,
        top_k: int = 10,
        activities: Mapping[str, Sequence[Any]] | None = None,
    ) -> list[Recommendation]:
        """The best items for a user, best first.

        What the bundle's model does not look at is ignored: ratings, times, features of
        the user and of the activities. An unknown item counts as out of vocabulary.
        Items that the bundle leaves out (its ``seen``) are not returned, so there may
        be fewer than `top_k`.

        Args:
          history: raw item ids of the user's activities, oldest first.
          ratings: one per activity; None where there is none.
          timestamps: seconds since 1970, one per activity; None where one is not known.
            A model that looks at weekdays, hours or gaps must be given them.
          user: the user's features by field, e.g. ``{"age": 31}``; all that the model
            looks at must be there, with None where the value is not known.
          seen: raw item ids to leave out, oldest first; the history unless given. Only
            for a bundle whose ``seen`` is TIMELINE.
          top_k: how many, at most the bundle's ``num_predictions``.
          activities: the activities' own features by field, one value per activity,
            e.g. ``{"device": ["phone", "tv"]}``; all that the model looks at must be
            there, with None where a value is not known.

        Raises:
          RequestError: if the request does not fit the bundle.
          BundleError: if the model's answer is no recommendation.
        """
        if not 1 <= top_k <= self.bundle.num_predictions:
            raise RequestError(
                f"top_k: {top_k} is not allowed. Expected 1 to "
                f"{self.bundle.num_predictions}, as many as the model answers"
            )
        tensors = self.tensors(history, ratings, timestamps, user, seen, activities)
        indices, scores = self.predict(tensors)
        if not np.isfinite(scores).all():
            raise BundleError(
                f"{self.bundle.path / MODEL}: answered a score that is not finite"
            )
        kept = [
            self._recommendation(int(index), float(score))
            for index, score in zip(indices, scores, strict=True)
            if score > FLOOR
        ]
        return kept[:top_k]

    def tensors(
        self,
        history: Sequence[Any],
        ratings: Sequence[float | None] | None = None,
        timestamps: Sequence[int | None] | None = None,
        user: Mapping[str, Any] | None = None,
        seen: Sequence[Any] | None = None,
        activities: Mapping[str, Sequence[Any]] | None = None,
    ) -> Tensors:
        """The model's inputs for a user, int32 or float32 ``[1, length]`` by name.

        Arguments and errors are those of `recommend`.
        """
        if seen is not None and self.bundle.seen != "TIMELINE":
            raise RequestError(
                f"seen: is not allowed. Expected none: the bundle's seen is "
                f"{self.bundle.seen}, its model takes no list of items to leave out"
            )
        return features.tensors_from_history(
            self.bundle.inputs,
            self.bundle.items,
            self.bundle.vocabularies,
            self.bundle.max_context_length,
            History(
                items=history,
                ratings=ratings,
                timestamps=timestamps,
                user=user,
                seen=history if seen is None else seen,
                activities=activities,
            ),
        )

    def predict(
        self, tensors: Mapping[str, np.ndarray[Any, Any]]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Runs the model once.

        Args:
          tensors: as `tensors` or `features.tensors_from_example` makes them.

        Returns:
          Indices of items int32 ``[K]`` and their scores float32 ``[K]``, best first,
          with left-out items, which score `FLOOR`, at the end.
        """
        with self._lock:
            answer = self._runner(**tensors)
        return answer[TOP_IDS], answer[TOP_SCORES]

    def unknown_items(self, ids: Sequence[Any]) -> list[Any]:
        """Those of the ids that the catalogue does not have, in order.

        Raises:
          RequestError: if ids are whole numbers and one of these is not.
        """
        kind = features.item_id_type(self.bundle.inputs)
        items = self.bundle.items
        return [i for i in ids if features.catalogue_key(i, kind) not in items]

    def _recommendation(self, index: int, score: float) -> Recommendation:
        item = self._by_index.get(index)
        if item is None:
            raise BundleError(
                f"{self.bundle.path / MODEL}: answered index {index}, which no item of "
                "the catalogue has"
            )
        return Recommendation(item.id, item.title, score, index)


def _by_index(items: Iterable[Item]) -> dict[int, Item]:
    """Items by index, without those that share one: they are out of vocabulary."""
    items = list(items)
    counts = Counter(item.index for item in items)
    return {item.index: item for item in items if counts[item.index] == 1}


def _checked_runner(bundle: Bundle, interpreter: Interpreter) -> Any:
    path = bundle.path / MODEL
    signatures = list(interpreter.get_signature_list())
    if signatures != [SIGNATURE]:
        raise BundleError(
            f"{path}: has the signatures {signatures}. Expected {SIGNATURE} alone"
        )
    runner = interpreter.get_signature_runner(SIGNATURE)
    _compare(
        path,
        "inputs",
        {
            name: _text(d["dtype"], d["shape"])
            for name, d in runner.get_input_details().items()
        },
        {i.name: _text(i.dtype, (1, i.length)) for i in bundle.inputs},
    )
    _compare(
        path,
        "outputs",
        {
            name: _text(d["dtype"], d["shape"])
            for name, d in runner.get_output_details().items()
        },
        {o.name: _text(o.dtype, (o.length,)) for o in bundle.outputs},
    )
    return runner


def _compare(
    path: Path, what: str, received: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    if received != expected:
        raise BundleError(
            f"{path}: {what} are {_listed(received)}. Expected {_listed(expected)}, as "
            "the manifest says"
        )


def _text(dtype: Any, shape: Sequence[int]) -> str:
    return f"{np.dtype(dtype).name} {[int(size) for size in shape]}"


def _listed(tensors: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {tensors[name]}" for name in sorted(tensors)) or "none"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
