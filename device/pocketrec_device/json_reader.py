"""Reads a bundle's JSON strictly: whatever stands in it, the error is one of ours."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

LARGEST_INT = 2**31 - 1  # of the model's ids and lengths, which are int32

# Half of a character, or a whole one in two halves.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_LONGEST_LINE = 2000

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80

T = TypeVar("T")


class BundleError(ValueError):
    """A bundle that is broken, incomplete or of another format; one line says why."""

    def __init__(self, message: str) -> None:
        # Names in the manifest, and what LiteRT reads in a broken file, are anything.
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        super().__init__(
            line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
        )


def parse(content: bytes, unique_keys: bool = False) -> Any:
    """What JSON in UTF-8 says.

    Args:
      content: the JSON.
      unique_keys: whether an object that has a key twice is an error.

    Raises:
      ValueError: if it is no JSON, is nested too deeply, or holds NaN, an infinite
        number or half a character.
    """
    try:
        # From bytes json.loads would guess at UTF-16, and let half characters pass.
        value = json.loads(
            content.decode(),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique if unique_keys else None,
        )
        if _SURROGATE.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def shown(value: Any) -> str:
    """A value as errors show it: on one line, not too long."""
    return _short.repr(value)


class Reader:
    """Takes checked values out of a JSON object; errors name file and key."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self.path = path
        self.values = values
        self.prefix = prefix

    def error(self, key: str, expected: str) -> BundleError:
        seen = f"is {shown(self.values[key])}" if key in self.values else "is missing"
        return BundleError(
            f"{self.path}: {self.prefix}{key} {seen}. Expected {expected}"
        )

    def value(self, key: str, kind: type[T]) -> T:
        value = self.values.get(key)
        # bool is an int to Python, but no number to JSON.
        if not isinstance(value, kind) or (
            isinstance(value, bool) and kind is not bool
        ):
            raise self.error(key, f"a value of type {kind.__name__}")
        return value

    def optional(self, key: str, kind: type[T]) -> T | None:
        return None if self.values.get(key) is None else self.value(key, kind)

    def positive(self, key: str) -> int:
        value = self.value(key, int)
        if value < 1:
            raise self.error(key, "1 or more")
        if value > LARGEST_INT:
            raise self.error(key, f"at most {LARGEST_INT}")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.value(key, str)
        if value not in allowed:
            raise self.error(key, f"one of {', '.join(allowed)}")
        return value

    def child(self, key: str) -> Reader:
        return Reader(self.path, self.value(key, dict), f"{self.prefix}{key}.")

    def children(self, key: str) -> list[Reader]:
        result = []
        for i, value in enumerate(self.value(key, list)):
            if not isinstance(value, dict):
                raise self.error(key, "a list of objects")
            result.append(Reader(self.path, value, f"{self.prefix}{key}.{i}."))
        return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice in an object")
    return result
