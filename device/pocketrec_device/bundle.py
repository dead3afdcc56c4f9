"""Reads a bundle and checks that it is whole: what ships to the device.

A bundle is a folder with ``manifest.json``, ``model.tflite``, ``items.jsonl`` and
``vocabularies/<name>.txt``. The manifest names size and SHA-256 of every other file;
its own SHA-256 is in ``manifest.sha256``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pocketrec_device import clock
from pocketrec_device.canary import Canary, read_canary
from pocketrec_device.features import (
    GAP,
    INDEX_OF_FIRST_TERM,
    OF_TIME,
    InputSpec,
    Item,
    RequestError,
    check_item,
)
from pocketrec_device.json_reader import (
    LARGEST_INT,
    BundleError,
    Reader,
    parse,
    shown,
)

FORMAT_VERSION = 1
SIGNATURE = "serving_default"
MANIFEST = "manifest.json"
MANIFEST_SHA256 = "manifest.sha256"
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
_VERSION = re.compile(r"[1-9][0-9]{0,17}")

# No manifest is as large, nor what names the current version.
_LARGEST_TEXT = 2**24
_LONGEST_NAME = 255
# Lines that are parsed in one go: other threads have to wait for each.
_BLOCK = 500


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
      canary: a request with its answer, to try the bundle by; None if it has none.
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
    canary: Canary | None

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
        try:
            return cls._load(folder)
        except BundleError:
            # Of a destination another version may have taken over while this one was
            # read, and have had it removed.
            again = find_bundle(path)
            if again == folder:
                raise
            return cls._load(again)

    @classmethod
    def _load(cls, folder: Path) -> Bundle:
        for name in (MANIFEST, MANIFEST_SHA256):
            if not _stays_in(folder, folder / name):
                raise BundleError(f"{folder / name}: leads out of the bundle")
        content = read_file(folder / MANIFEST)
        manifest = _parse_manifest(folder / MANIFEST, content)
        at = Reader(folder / MANIFEST, manifest)
        version = at.value("format_version", int)
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{folder / MANIFEST}: format_version is {version}. Expected "
                f"{FORMAT_VERSION}, the one that this client reads"
            )
        _check_manifest(folder, content)
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
            version=at.positive("version") if "version" in manifest else None,
            item_field=at.value("item_field", str),
            inputs=inputs,
            outputs=outputs,
            max_context_length=at.positive("max_context_length"),
            num_predictions=_num_predictions(at, outputs),
            seen=at.one_of("seen", SEEN_MODES),
            files={name: entry for name, (entry, _) in contents.items()},
            model=_content(folder, contents, MODEL),
            items=_items(folder / ITEMS, _content(folder, contents, ITEMS), inputs),
            vocabularies=vocabularies,
            canary=read_canary(at),
        )


def find_bundle(path: str | Path) -> Path:
    """The folder of a bundle.

    Args:
      path: that folder, or a push destination (``CURRENT`` and ``versions/N/bundle``).

    Raises:
      BundleError: if there is neither.
    """
    path = Path(path)
    # Those of os.path take a folder that may not be read for none.
    if not os.path.isdir(path):
        raise BundleError(f"{path}: no such folder. Expected a bundle")
    if os.path.isfile(path / MANIFEST):
        return path
    pointer = path / CURRENT
    if not os.path.isfile(pointer):
        raise BundleError(
            f"{path}: is no bundle. Expected {MANIFEST} in it, or {CURRENT}, as a push "
            "destination has"
        )
    text = read_file(pointer).decode("utf-8", "replace").strip()
    if not _VERSION.fullmatch(text):
        raise BundleError(
            f"{pointer}: {text[:40]!r} names no version. Expected the number of a "
            f"folder in {path / VERSIONS}"
        )
    folder = path / VERSIONS / text / BUNDLE
    if not (_stays_in(path, pointer) and _stays_in(path, folder)):
        raise BundleError(f"{path}: version {text} leads out of it")
    if not os.path.isfile(folder / MANIFEST):
        raise BundleError(
            f"{pointer}: names version {text}, but {folder} holds no {MANIFEST}"
        )
    return folder


def read_file(path: Path, largest: int = _LARGEST_TEXT) -> bytes:
    """The content of a file.

    Args:
      path: of the file.
      largest: how many bytes it may have.

    Raises:
      BundleError: if it cannot be read, is no file or is larger.
    """
    try:
        status = path.stat()
        # A pipe would have us wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path}: is no file")
        if status.st_size > largest:
            raise BundleError(
                f"{path}: has {status.st_size} bytes. Expected at most {largest}"
            )
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise BundleError(f"{path}: does not fit into the memory") from error


def _check_manifest(folder: Path, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if read_file(folder / MANIFEST_SHA256) != f"{digest}  {MANIFEST}\n".encode():
        raise BundleError(
            f"{folder / MANIFEST}: was altered: its SHA-256 is {digest}. Expected the "
            f"one in {MANIFEST_SHA256}"
        )


def _parse_manifest(path: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest = parse(content, unique_keys=True)
    except ValueError as error:
        raise BundleError(f"{path}: is no JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: holds no JSON object")
    return manifest


def _signature(at: Reader) -> tuple[tuple[InputSpec, ...], tuple[OutputSpec, ...]]:
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


def _input_spec(at: Reader) -> InputSpec:
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


def _values_per_step(at: Reader, source: str, multi_valued: bool) -> int:
    if not at.values.get("values_per_step"):
        return 0
    if source != "item" or not multi_valued:
        raise at.error("values_per_step", "none, or multi_valued of the source item")
    number = at.positive("values_per_step")
    if at.value("length", int) % number:
        raise at.error("length", f"a multiple of values_per_step, {number}")
    return number


def _timezone(at: Reader, source: str) -> str | None:
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


def _num_predictions(at: Reader, outputs: tuple[OutputSpec, ...]) -> int:
    value = at.positive("num_predictions")
    if any(output.length != value for output in outputs):
        raise at.error("num_predictions", "the length of the signature's outputs")
    return value


_Contents = Mapping[str, tuple[FileEntry, bytes]]


def _read_files(folder: Path, at: Reader) -> _Contents:
    files = at.child("files")
    contents = {}
    for name in files.values:
        path = _inside(folder, at.path, name)
        entry = files.child(name)
        size, sha256 = entry.value("size", int), entry.value("sha256", str)
        if not 0 <= size <= LARGEST_INT:
            raise entry.error("size", f"0 to {LARGEST_INT}")
        if not _SHA256.fullmatch(sha256):
            raise entry.error("sha256", "64 lower-case hexadecimal digits")
        content = read_file(path, largest=size)
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
    if not (_is_plain(name) and _stays_in(folder, folder / name)):
        raise BundleError(
            f"{manifest}: files names {shown(name)}, which is outside the bundle. "
            "Expected a path in its folder"
        )
    return folder / name


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        return False
    # Backslash and colon lead out of the folder on Windows.
    return (
        len(name) <= _LONGEST_NAME and name.isprintable() and not set(name) & {*"\\:"}
    )


def _stays_in(folder: Path, path: Path) -> bool:
    """Whether it does where links lead."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # Links in a circle.
        return False


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
        fits = least <= spec.vocab_size <= LARGEST_INT
        expected = f"{least} or more, at most {LARGEST_INT}"
    else:
        rows = len(vocabularies[spec.vocabulary]) + INDEX_OF_FIRST_TERM
        fits = spec.vocab_size == rows
        expected = f"{rows}: the terms of {VOCABULARIES}/{spec.vocabulary}.txt and two"
    if not fits:
        raise BundleError(
            f"{folder / MANIFEST}: vocab_size of {spec.name} is {spec.vocab_size}. "
            f"Expected {expected}"
        )


def _items(
    path: Path, content: bytes, inputs: tuple[InputSpec, ...]
) -> dict[str, Item]:
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    items: dict[str, Item] = {}
    for number, parsed in enumerate(_json_lines(path, lines), 1):
        item = _item(parsed)
        if item is None:
            raise BundleError(
                f"{path}:{number}: {shown(parsed)} is no item. Expected an object with "
                "index, id, title and features (lists)"
            )
        if item.id in items:
            raise BundleError(
                f"{path}:{number}: a second item has the id {shown(item.id)}"
            )
        try:
            check_item(inputs, item)
        except RequestError as error:
            raise BundleError(f"{path}:{number}: {error}") from error
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
        } if (
            1 <= index <= LARGEST_INT
            and not isinstance(index, bool)
            and all(isinstance(values, list) for values in features.values())
        ):
            return Item(index, item_id, title, features)
    return None


def _json_lines(path: Path, lines: list[bytes]) -> Iterator[Any]:
    for start in range(0, len(lines), _BLOCK):
        block = lines[start : start + _BLOCK]
        try:
            # One call of the parser is several times as fast as one for each line.
            parsed = parse(b"[" + b",".join(block) + b"]")
        except ValueError:
            parsed = []
        if len(parsed) == len(block):
            yield from parsed
        else:
            for number, line in enumerate(block, start + 1):
                yield _parse_line(path, number, line)


def _parse_line(path: Path, number: int, line: bytes) -> Any:
    try:
        return parse(line)
    except ValueError as error:
        raise BundleError(f"{path}:{number}: is no JSON: {error}") from error
