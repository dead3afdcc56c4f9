"""Runs a bundle's model: a history in, the best items out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec_device import canary, features, in_order
from pocketrec_device.bundle import MANIFEST, MODEL, Bundle
from pocketrec_device.canary import Canary
from pocketrec_device.features import History, Item, RequestError, Tensors
from pocketrec_device.json_reader import BundleError
from pocketrec_device.model import Model

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
        self._num_threads = num_threads
        self._model = Model(self.bundle, num_threads)
        self._by_index = _by_index(self.bundle.items.values())

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
        self._check_top_k(top_k)
        request = History(history, ratings, timestamps, user, seen, activities)
        return self._recommend(self._model, request, top_k)

    def recommend_many(
        self, requests: Iterable[History], num_workers: int = 1, top_k: int = 10
    ) -> Iterator[list[Recommendation]]:
        """Recommends for many users, e.g. for all of a log.

        Requests are taken as answers are: few of them are in memory at a time.

        LiteRT lets other threads run while it computes, which is about two thirds of a
        request to a model of MovieLens 100K; so workers can make it three times as fast
        at most. That takes cores that are idle: on two busy ones, where two processes
        were no faster than one either, neither were two workers.

        Args:
          requests: what `recommend` is given, each as a `features.History`.
          num_workers: threads, each with a LiteRT interpreter of its own; they share
            the rest of the bundle.
          top_k: how many items for each.

        Returns:
          What `recommend` answers to each request, in order.

        Raises:
          RequestError: if a request does not fit the bundle; the error names the
            request's number, the first is 1.
          BundleError: as `recommend`, with the request's number too.
        """
        self._check_top_k(top_k)
        if num_workers < 1:
            raise RequestError(
                f"num_workers: {num_workers} is not allowed. Expected 1 or more"
            )

        def answer(model: Model, numbered: tuple[int, History]) -> list[Recommendation]:
            number, request = numbered
            try:
                if not isinstance(request, History):
                    raise RequestError(f"is {request!r}. Expected a History")
                return self._recommend(model, request, top_k)
            except (RequestError, BundleError) as error:
                raise type(error)(f"request {number}: {error}") from error

        more = [Model(self.bundle, self._num_threads) for _ in range(num_workers - 1)]
        return in_order.apply(answer, [self._model, *more], enumerate(requests, 1))

    def answer(
        self, request: History
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """All that the model predicts for a user and does not leave out.

        Args:
          request: what `recommend` is given.

        Returns:
          Indices of items int32 ``[n]`` and their scores float32 ``[n]``, best first.

        Raises:
          RequestError: if the request does not fit the bundle.
          BundleError: if the model's answer is no recommendation.
        """
        return self._answer(self._model, request)

    def make_canary(self, request: History) -> Canary:
        """A canary for the bundle's manifest: the request with the answer to it.

        Args:
          request: what `recommend` is given, without items to leave out.

        Raises:
          RequestError: if the request does not fit the bundle.
          BundleError: if the model's answer is no recommendation.
        """
        if request.seen is not None:
            raise RequestError(
                "seen: is not allowed. Expected none: a canary leaves out its own items"
            )
        indices, scores = self.answer(request)
        return Canary(request, tuple(indices.tolist()), tuple(scores.tolist()))

    def self_test(self) -> None:
        """Tries whether this machine answers the bundle's canary as it should.

        Scores may differ by a thousandth, and by a thousandth of themselves; items
        that are as close may change places, also with one that was cut off.

        Raises:
          BundleError: if the bundle has no canary, or the answer is another.
        """
        manifest = self.bundle.path / MANIFEST
        expected = self.bundle.canary
        if expected is None:
            raise BundleError(f"{manifest}: has no {canary.CANARY} to test it by")
        try:
            indices, scores = self.answer(expected.request)
        except RequestError as error:
            raise BundleError(
                f"{manifest}: {canary.CANARY}.request does not fit: {error}"
            ) from error
        full = len(indices) == self.bundle.num_predictions
        found = canary.difference(expected, indices.tolist(), scores.tolist(), full)
        if found is not None:
            raise BundleError(
                f"{self.bundle.path / MODEL}: does not answer the canary as it should: "
                f"{found}"
            )

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
        request = History(history, ratings, timestamps, user, seen, activities)
        return self._tensors(request)

    def predict(
        self, tensors: Mapping[str, np.ndarray[Any, Any]]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Runs the model once.

        Args:
          tensors: as `tensors` or `features.tensors_from_example` makes them.

        Returns:
          Indices of items int32 ``[K]`` and their scores float32 ``[K]``, best first,
          with left-out items, which score `FLOOR`, at the end.

        Raises:
          BundleError: if LiteRT cannot run the model.
        """
        return self._model.run(tensors)

    def unknown_items(self, ids: Sequence[Any]) -> list[Any]:
        """Those of the ids that the catalogue does not have, in order.

        Raises:
          RequestError: if ids are whole numbers and one of these is not.
        """
        kind = features.item_id_type(self.bundle.inputs)
        items = self.bundle.items
        return [i for i in ids if features.catalogue_key(i, kind) not in items]

    def _check_top_k(self, top_k: int) -> None:
        whole = isinstance(top_k, int) and not isinstance(top_k, bool)
        if not whole or not 1 <= top_k <= self.bundle.num_predictions:
            raise RequestError(
                f"top_k: {top_k!r} is not allowed. Expected 1 to "
                f"{self.bundle.num_predictions}, as many as the model answers"
            )

    def _recommend(
        self, model: Model, request: History, top_k: int
    ) -> list[Recommendation]:
        indices, scores = self._answer(model, request)
        best = zip(indices[:top_k].tolist(), scores[:top_k].tolist(), strict=True)
        return [_recommendation(self._by_index[i], score) for i, score in best]

    def _answer(
        self, model: Model, request: History
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        indices, scores = model.run(self._tensors(request))
        if not np.isfinite(scores).all():
            raise BundleError(
                f"{self.bundle.path / MODEL}: answered a score that is not finite"
            )
        kept = scores > FLOOR
        indices, scores = indices[kept], scores[kept]
        for index in indices.tolist():
            if index not in self._by_index:
                raise BundleError(
                    f"{self.bundle.path / MODEL}: answered index {index}, which no "
                    "item of the catalogue has"
                )
        return indices, scores

    def _tensors(self, request: History) -> Tensors:
        if request.seen is not None and self.bundle.seen != "TIMELINE":
            raise RequestError(
                f"seen: is not allowed. Expected none: the bundle's seen is "
                f"{self.bundle.seen}, its model takes no list of items to leave out"
            )
        return features.tensors_from_history(
            self.bundle.inputs,
            self.bundle.items,
            self.bundle.vocabularies,
            self.bundle.max_context_length,
            request,
        )


def _recommendation(item: Item, score: float) -> Recommendation:
    return Recommendation(item.id, item.title, score, item.index)


def _by_index(items: Iterable[Item]) -> dict[int, Item]:
    """Items by index, without those that share one: they are out of vocabulary."""
    items = list(items)
    counts = Counter(item.index for item in items)
    return {item.index: item for item in items if counts[item.index] == 1}
