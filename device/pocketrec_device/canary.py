"""A canary: one request with its answer, by which a bundle is tried on the device."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pocketrec_device.features import History
from pocketrec_device.json_reader import LARGEST_INT, Reader

CANARY = "canary"

_REQUEST = ("history", "ratings", "timestamps", "user", "activities")
_ANSWER = ("request", "indices", "scores")

# Devices add in another order than the machine that made the bundle.
_ABSOLUTE = _RELATIVE = 1e-3


@dataclass(frozen=True)
class Canary:
    """A request and the answer that is expected to it on every device.

    Attributes:
      request: what is asked; what it leaves out is its own history.
      indices: of the items of the answer, best first.
      scores: one for each of the indices.
    """

    request: History
    indices: tuple[int, ...]
    scores: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of it."""
        request = self.request
        return {
            "request": {
                "history": request.items,
                "ratings": request.ratings,
                "timestamps": request.timestamps,
                "user": request.user,
                "activities": request.activities,
            },
            "indices": list(self.indices),
            "scores": list(self.scores),
        }


def read_canary(manifest: Reader) -> Canary | None:
    """The canary of a manifest; None where it has none.

    Raises:
      BundleError: if there is one, and it is not as it should be.
    """
    if manifest.values.get(CANARY) is None:
        return None
    at = manifest.child(CANARY)
    _check_keys(at, _ANSWER)
    indices = _list_of(at, "indices", _is_index, f"whole numbers, 0 to {LARGEST_INT}")
    scores = [
        float(score) for score in _list_of(at, "scores", _is_number, "finite numbers")
    ]
    if len(set(indices)) < len(indices):
        raise at.error("indices", "each once")
    if len(scores) != len(indices):
        raise at.error("scores", f"one for each of the {len(indices)} indices")
    if scores != sorted(scores, reverse=True):
        raise at.error("scores", "the best first")
    return Canary(_request(at.child("request")), tuple(indices), tuple(scores))


def difference(
    canary: Canary, indices: Sequence[int], scores: Sequence[float], full: bool
) -> str | None:
    """What an answer has that is not as the canary expects it; None if nothing.

    Args:
      canary: what is expected.
      indices: of the items of the answer, best first.
      scores: one for each of the indices.
      full: whether the answer is as long as it can be: then an item may have been cut
        off that scores as the last one does.
    """
    if len(indices) != len(canary.indices):
        return f"{len(indices)} items. Expected {len(canary.indices)}"
    if len(set(indices)) < len(indices):
        return "an item more than once"
    expected = dict(zip(canary.indices, canary.scores, strict=True))
    for place, (index, score) in enumerate(zip(indices, scores, strict=True), 1):
        there = canary.scores[place - 1]
        own = expected.get(index, canary.scores[-1] if full else None)
        if own is None or not (_close(score, there) and _close(score, own)):
            return (
                f"{index} with the score {score:.6g} in place {place}. Expected "
                f"{canary.indices[place - 1]} with {there:.6g}"
            )
    for index in expected.keys() - set(indices):
        if not _close(scores[-1], expected[index]):
            return f"no {index}. Expected it with the score {expected[index]:.6g}"
    return None


def _close(score: float, expected: float) -> bool:
    return abs(score - expected) <= _ABSOLUTE + _RELATIVE * abs(expected)


def _request(at: Reader) -> History:
    _check_keys(at, _REQUEST)
    history = _list_of(at, "history", _is_id, "ids, texts or whole numbers")
    user = at.optional("user", dict)
    activities = at.optional("activities", dict)
    return History(
        items=history,
        ratings=_optional_list(at, "ratings", _is_number, "numbers or null"),
        timestamps=_optional_list(at, "timestamps", _is_whole, "seconds or null"),
        user=user and _by_field(at.child("user"), several=True),
        activities=activities and _by_field(at.child("activities"), several=False),
    )


def _by_field(at: Reader, several: bool) -> dict[str, Any]:
    """Features by field: of the user one value or several, of activities a list."""
    for field, value in at.values.items():
        if isinstance(value, list) or not several:
            _list_of(at, field, _or_null(_is_value), "values or null")
        elif not _or_null(_is_value)(value):
            raise at.error(field, "a value, a list of values, or null")
    return dict(at.values)


def _optional_list(
    at: Reader, key: str, fits: Callable[[Any], bool], expected: str
) -> list[Any] | None:
    given = at.optional(key, list) is not None
    return _list_of(at, key, _or_null(fits), expected) if given else None


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _list_of(
    at: Reader, key: str, fits: Callable[[Any], bool], expected: str
) -> list[Any]:
    values = at.value(key, list)
    if not all(map(fits, values)):
        raise at.error(key, f"a list of {expected}")
    return values


def _check_keys(at: Reader, known: Sequence[str]) -> None:
    for key in at.values:
        if key not in known:
            raise at.error(key, f"none but {', '.join(known)}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_index(value: Any) -> bool:
    return _is_whole(value) and 0 <= value <= LARGEST_INT


def _is_number(value: Any) -> bool:
    if not (_is_whole(value) or isinstance(value, float)):
        return False
    # A whole number of JSON may be too large for a float, and a float infinite.
    return abs(value) <= sys.float_info.max


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or _is_whole(value)


def _is_value(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)
