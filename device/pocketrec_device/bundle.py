"""Reads a bundle and checks that it is whole: what ships to the device.

A bundle is a folder with ``manifest.json``, ``model.tflite``, ``items.jsonl`` and
``vocabularies/<name>.txt``. The manifest names size and SHA-256 of every other file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pocketrec_device import clock
from pocketrec_device.features import (
    GAP,
    INDEX_OF_FIRST_TERM,
    OF_TIME,
    InputSpec,
    Item,
)

FORMAT_VERSION = 1
SIGNATURE = "serving_default"
MANIFEST = "manifest.json"
MODEL = "model.tflite"
ITEMS = "items.jsonl"
VOCABULARIES = "vocabularies"
CURRENT = "CURRENT"
VERSIONS = "versions"
BUNDLE = "bundle"

TOP_IDS = "top_prediction_ids"
TOP_SCORES = "top_prediction_scores"

SEEN_MODES = ("KEPT", "CONTEXT", "TIMELINE")
ROLES = ("context", "user", "seen")
SOURCES = (
    *("item_id", "item", "value", "timestamp", "activity", "weekday", "hour"),
    *("gap", "user", "seen"),
)
DTYPES = {"STRING": "int32", "INT": "int32", "FLOAT": "float32"}

# Rows of a table of ids that are weekdays or hours, 0 and the last among them.
_ROWS_OF_TIME = {"weekday": 8, "hour": 24}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[1-9][0-9]*")

T = TypeVar("T")


class BundleError(ValueError):
    """A bundle that is broken, incomplete or of another format; one line says why."""


@dataclass(frozen=True)
class OutputSpec:
    """One output of the model: ``length`` values of ``dtype``."""

    name: str
    dtype: str
    length: int


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of a file: its SHA-256 in hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files have all been read and compared with its manifest.

    Attributes:
      path: its folder.
      manifest: as parsed from ``manifest.json``.
      name: of the recommender.
      version: number under the push destination; None before it is pushed.
      item_field: field that identifies an item, e.g. ``movie_id``.
      inputs: of the model, in the manifest's order.
      outputs: of the model: the best items' indices and scores.
      max_context_length: how many of the last activities the model looks at.
      num_predictions: items per answer.
      seen: what recommendations leave out: ``"KEPT"`` nothing, ``"CONTEXT"`` the items
        of the context, ``"TIMELINE"`` the items of the seen input too.
      files: by path relative to the folder.
      model: content of ``model.tflite``.
      items: the catalogue, by raw item id.
      vocabularies: by name, the id of each term (UTF-8); the first term's id is 2.
    """

    path: Path
    manifest: Mapping[str, Any]
    name: str
    version: int | None
    item_field: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    max_context_length: int
    num_predictions: int
    seen: str
    files: Mapping[str, FileEntry]
    model: bytes
    items: Mapping[str, Item]
    vocabularies: Mapping[str, Mapping[bytes, int]]

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Reads and checks a bundle.

        Args:
          path: the bundle's folder, or a push destination, whose current version is
            taken.

        Raises:
          BundleError: if there is none, its format is another, or a file is missing,
            altered or does not fit the manifest.
        """
        folder = find_bundle(path)
        manifest = _read_manifest(folder / MANIFEST)
        at = _Reader(folder / MANIFEST, manifest)
        version = at.value("format_version", int)
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{folder / MANIFEST}: format_version is {version}. Expected "
                f"{FORMAT_VERSION}, the one that this client reads"
            )
        inputs, outputs = _signature(at.child("signature"))
        contents = _read_files(folder, at)
        vocabularies = {
            name: _vocabulary(folder, contents, name)
            for name in dict.fromkeys(i.vocabulary for i in inputs if i.vocabulary)
        }
        for spec in inputs:
            _check_rows(folder, spec, vocabularies)
        return cls(
            path=folder,
            manifest=manifest,
            name=at.value("name", str),
            version=at.value("version", int) if "version" in manifest else None,
            item_field=at.value("item_field", str),
            inputs=inputs,
            outputs=outputs,
            max_context_length=at.positive("max_context_length"),
            num_predictions=_num_predictions(at, outputs),
            seen=at.one_of("seen", SEEN_MODES),
            files={name: entry for name, (entry, _) in contents.items()},
            model=_content(folder, contents, MODEL),
            items=_items(folder / ITEMS, _content(folder, contents, ITEMS)),
            vocabularies=vocabularies,
        )


def find_bundle(path: str | Path) -> Path:
    """The folder of a bundle.

    Args:
      path: that folder, or a push destination (``CURRENT`` and ``versions/N/bundle``).

    Raises:
      BundleError: if there is neither.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(f"{path}: no such folder. Expected a bundle")
    if (path / MANIFEST).is_file():
        return path
    pointer = path / CURRENT
    if not pointer.is_file():
        raise BundleError(
            f"{path}: is no bundle. Expected {MANIFEST} in it, or {CURRENT}, as a push "
            "destination has"
        )
    text = _read(pointer).decode("utf-8", "replace").strip()
    if not _VERSION.fullmatch(text):
        raise BundleError(
            f"{pointer}: {text[:40]!r} names no version. Expected the number of a "
            f"folder in {path / VERSIONS}"
        )
    folder = path / VERSIONS / text / BUNDLE
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            f"{pointer}: names version {text}, but {folder} holds no {MANIFEST}"
        )
    return folder


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(path))
    except ValueError as error:
        raise BundleError(f"{path}: is no JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: holds no JSON object")
    return manifest


class _Reader:
    """Takes checked values out of a JSON object; errors name file and key."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self.path = path
        self.values = values
        self.prefix = prefix

    def error(self, key: str, expected: str) -> BundleError:
        seen = f"is {self.values[key]!r}" if key in self.values else "is missing"
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

    def positive(self, key: str) -> int:
        value = self.value(key, int)
        if value < 1:
            raise self.error(key, "1 or more")
        return value

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.value(key, str)
        if value not in allowed:
            raise self.error(key, f"one of {', '.join(allowed)}")
        return value

    def child(self, key: str) -> _Reader:
        return _Reader(self.path, self.value(key, dict), f"{self.prefix}{key}.")

    def children(self, key: str) -> list[_Reader]:
        result = []
        for i, value in enumerate(self.value(key, list)):
            if not isinstance(value, dict):
                raise self.error(key, "a list of objects")
            result.append(_Reader(self.path, value, f"{self.prefix}{key}.{i}."))
        return result


def _signature(at: _Reader) -> tuple[tuple[InputSpec, ...], tuple[OutputSpec, ...]]:
    at.one_of("name", (SIGNATURE,))
    inputs = tuple(_input_spec(child) for child in at.children("inputs"))
    names = [spec.name for spec in inputs]
    if not names or len(set(names)) < len(names):
        raise at.error("inputs", "at least one input, each with a name of its own")
    outputs = tuple(
        OutputSpec(
            child.value("name", str),
            child.one_of("dtype", ("int32", "float32")),
            child.positive("length"),
        )
        for child in at.children("outputs")
    )
    kinds = {output.name: output.dtype for output in outputs}
    if kinds != {TOP_IDS: "int32", TOP_SCORES: "float32"}:
        raise at.error("outputs", f"{TOP_IDS} (int32) and {TOP_SCORES} (float32)")
    return inputs, outputs


def _input_spec(at: _Reader) -> InputSpec:
    feature_type = at.one_of("feature_type", tuple(DTYPES))
    at.one_of("dtype", (DTYPES[feature_type],))
    vocabulary = None
    if at.values.get("vocabulary") is not None:
        vocabulary = at.value("vocabulary", str)
    if feature_type == "FLOAT" and vocabulary is not None:
        raise at.error("vocabulary", "null for a FLOAT feature")
    if feature_type == "STRING" and vocabulary is None:
        raise at.error("vocabulary", "a name: STRING features have a vocabulary")
    source = at.one_of("source", SOURCES)
    multi_valued = at.value("multi_valued", bool)
    if multi_valued and (source in ("activity", GAP) or source in OF_TIME):
        raise at.error("multi_valued", f"false for the source {source}")
    if source == GAP and feature_type != "FLOAT":
        raise at.error("feature_type", "FLOAT for the source gap")
    return InputSpec(
        name=at.value("name", str),
        dtype=DTYPES[feature_type],
        length=at.positive("length"),
        role=at.one_of("role", ROLES),
        field=at.value("field", str),
        source=source,
        feature_type=feature_type,
        multi_valued=multi_valued,
        vocabulary=vocabulary,
        vocab_size=at.value("vocab_size", int),
        timezone=_timezone(at, source),
        values_per_step=_values_per_step(at, source, multi_valued),
    )


def _values_per_step(at: _Reader, source: str, multi_valued: bool) -> int:
    if not at.values.get("values_per_step"):
        return 0
    if source != "item" or not multi_valued:
        raise at.error("values_per_step", "none, or multi_valued of the source item")
    number = at.positive("values_per_step")
    if at.value("length", int) % number:
        raise at.error("length", f"a multiple of values_per_step, {number}")
    return number


def _timezone(at: _Reader, source: str) -> str | None:
    given = at.values.get("timezone") is not None
    if source not in OF_TIME:
        if given:
            raise at.error("timezone", f"none for the source {source}")
        return None
    if not given:
        return clock.UTC
    name = at.value("timezone", str)
    try:
        clock.time_zone(name)
    except ValueError as error:
        raise at.error(
            "timezone",
            "a time zone that this machine knows; Python's package tzdata has them all",
        ) from error
    return name


def _num_predictions(at: _Reader, outputs: tuple[OutputSpec, ...]) -> int:
    value = at.positive("num_predictions")
    if any(output.length != value for output in outputs):
        raise at.error("num_predictions", "the length of the signature's outputs")
    return value


_Contents = Mapping[str, tuple[FileEntry, bytes]]


def _read_files(folder: Path, at: _Reader) -> _Contents:
    files = at.child("files")
    contents = {}
    for name in files.values:
        entry = files.child(name)
        size, sha256 = entry.value("size", int), entry.value("sha256", str)
        if not _SHA256.fullmatch(sha256):
            raise entry.error("sha256", "64 lower-case hexadecimal digits")
        content = _read(_inside(folder, at.path, name))
        if len(content) != size:
            raise BundleError(
                f"{folder / name}: has {len(content)} bytes. Expected {size}, the size "
                f"in {MANIFEST}"
            )
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise BundleError(
                f"{folder / name}: was altered: its SHA-256 is {digest}. Expected "
                f"{sha256}, as in {MANIFEST}"
            )
        contents[name] = FileEntry(sha256, size), content
    return contents


def _inside(folder: Path, manifest: Path, name: str) -> Path:
    path = PurePosixPath(name)
    parts = path.parts
    # Backslash and colon lead out of the folder on Windows.
    outside = (
        path.is_absolute() or not parts or ".." in parts or set(name) & {"\\", ":"}
    )
    if outside or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{manifest}: files names {name!r}, which is outside the bundle. Expected "
            "a path in its folder"
        )
    return folder / name


def _content(folder: Path, contents: _Contents, name: str) -> bytes:
    if name not in contents:
        raise BundleError(f"{folder / MANIFEST}: files does not list {name}")
    return contents[name][1]


def _vocabulary(folder: Path, contents: _Contents, name: str) -> dict[bytes, int]:
    file = f"{VOCABULARIES}/{name}.txt"
    terms = _content(folder, contents, file).split(b"\n")
    if terms[-1] == b"":
        terms.pop()  # What follows the last newline.
    result = {term: i for i, term in enumerate(terms, INDEX_OF_FIRST_TERM)}
    if len(result) < len(terms):
        raise BundleError(f"{folder / file}: a term stands in it more than once")
    return result


def _check_rows(
    folder: Path, spec: InputSpec, vocabularies: Mapping[str, Mapping[bytes, int]]
) -> None:
    if spec.vocabulary is None:
        of_ids = _ROWS_OF_TIME.get(spec.source, 2)
        least = 0 if spec.feature_type == "FLOAT" else of_ids
        fits, expected = spec.vocab_size >= least, f"{least} or more"
    else:
        rows = len(vocabularies[spec.vocabulary]) + INDEX_OF_FIRST_TERM
        fits = spec.vocab_size == rows
        expected = f"{rows}: the terms of {VOCABULARIES}/{spec.vocabulary}.txt and two"
    if not fits:
        raise BundleError(
            f"{folder / MANIFEST}: vocab_size of {spec.name} is {spec.vocab_size}. "
            f"Expected {expected}"
        )


def _items(path: Path, content: bytes) -> dict[str, Item]:
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    items: dict[str, Item] = {}
    for number, parsed in enumerate(_json_lines(path, lines), 1):
        item = _item(parsed)
        if item is None:
            raise BundleError(
                f"{path}:{number}: {lines[number - 1][:80].decode()!r} is no item. "
                "Expected an object with index, id, title and features (lists)"
            )
        if item.id in items:
            raise BundleError(f"{path}:{number}: a second item has the id {item.id!r}")
        items[item.id] = item
    if not items:
        raise BundleError(f"{path}: holds no item")
    return items


def _item(parsed: Any) -> Item | None:
    match parsed:
        case {
            "index": int(index),
            "id": str(item_id),
            "title": str(title),
            "features": dict(features),
        } if all(isinstance(values, list) for values in features.values()):
            return Item(index, item_id, title, features)
    return None


def _json_lines(path: Path, lines: list[bytes]) -> list[Any]:
    try:
        # One call of the parser is several times as fast as one for each line.
        parsed = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        parsed = None
    if parsed is not None and len(parsed) == len(lines):
        return list(parsed)
    return [_parse_line(path, number, line) for number, line in enumerate(lines, 1)]


def _parse_line(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BundleError(f"{path}:{number}: is no JSON: {error}") from error
