"""Follows a push destination: a new version takes over while requests go on."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pocketrec_device.bundle import MANIFEST, Bundle, find_bundle, read_file
from pocketrec_device.json_reader import BundleError
from pocketrec_device.recommender import Recommendation, Recommender

_log = logging.getLogger(__name__)


class LiveRecommender:
    """A `Recommender` of the current version, whichever that is.

    A thread looks at the destination again and again. A version that is new there is
    loaded beside the one in use, answers its canary if it has one, and takes over
    between two requests. One that is broken is reported and left until something of it
    changes; the one in use goes on. Going back to an older version is no different.

    Example:
      >>> with LiveRecommender("pushed/") as recommender:         # doctest: +SKIP
      ...     recommender.recommend([50, 172, 181], top_k=3)

    Args:
      destination: a push destination, or a bundle's own folder.
      interval_seconds: how long the thread waits between two looks.
      on_error: is called with the error of a version that cannot be used, in the thread
        that found it; by default it is logged as a warning.
      num_threads: for LiteRT.

    Raises:
      BundleError: if the current version cannot be used: there is no other one yet.
      ValueError: if the interval is not allowed.
    """

    def __init__(
        self,
        destination: str | Path,
        interval_seconds: float = 10.0,
        on_error: Callable[[Exception], None] | None = None,
        num_threads: int = 1,
    ) -> None:
        if not 0 < interval_seconds <= threading.TIMEOUT_MAX:
            raise ValueError(
                f"interval_seconds: {interval_seconds} is not allowed. Expected more "
                f"than 0, at most {threading.TIMEOUT_MAX}"
            )
        self._destination = Path(destination)
        self._interval = interval_seconds
        self._on_error = on_error or self._warn
        self._num_threads = num_threads
        self._checking = threading.Lock()
        self._closed = threading.Event()
        self._served = self._tried = _state(self._destination)
        self._recommender = self._load(self._served)
        self._thread = threading.Thread(
            target=self._watch, name="pocketrec-live", daemon=True
        )
        self._thread.start()

    @property
    def recommender(self) -> Recommender:
        """The one in use now; for calls that belong together, e.g. tensors, predict."""
        return self._recommender

    @property
    def bundle(self) -> Bundle:
        """The bundle in use now."""
        return self._recommender.bundle

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
        """The best items for a user: `Recommender.recommend` of the version in use."""
        return self._recommender.recommend(
            history, ratings, timestamps, user, seen, top_k, activities
        )

    def unknown_items(self, ids: Sequence[Any]) -> list[Any]:
        """`Recommender.unknown_items` of the version in use."""
        return self._recommender.unknown_items(ids)

    def check(self) -> bool:
        """Looks at the destination at once, e.g. after a push.

        Returns:
          Whether another version, or the same one anew, has taken over.
        """
        with self._checking:
            state = _state(self._destination)
            if state == self._tried:
                return False
            self._tried = state
            if state == self._served:
                return False
            try:
                self._recommender = self._load(state)
            # Whatever it is, the version in use goes on.
            except Exception as error:
                self._report(error)
                return False
            self._served = state
            return True

    def close(self) -> None:
        """Ends the thread, after a load that it is at; what is loaded stays usable."""
        self._closed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> LiveRecommender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _watch(self) -> None:
        while not self._closed.wait(self._interval):
            self.check()

    def _load(self, state: tuple[object, ...]) -> Recommender:
        # Not where the pointer is by now: what is served is what was looked at.
        folder = state[0] if isinstance(state[0], Path) else self._destination
        recommender = Recommender(folder, self._num_threads)
        if recommender.bundle.canary is not None:
            recommender.self_test()
        return recommender

    def _report(self, error: Exception) -> None:
        try:
            self._on_error(error)
        # The app's own mistake must not end the thread that watches.
        except Exception:
            _log.exception("on_error failed")

    def _warn(self, error: Exception) -> None:
        _log.warning("%s; version %s stays in use", error, self.bundle.version)


def _state(destination: Path) -> tuple[object, ...]:
    """Another one whenever a version could be another, or no longer broken."""
    try:
        folder = find_bundle(destination)
        return folder, read_file(folder / MANIFEST), *sorted(_files(folder))
    except (BundleError, OSError) as error:
        return (str(error),)


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of all files: a copy may be mended under its manifest."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            yield path, status.st_size, status.st_mtime_ns
