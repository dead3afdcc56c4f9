"""Which files are read: names and patterns below the data folder, and their spans."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.timeline_example_gen import spans, storage
from configs import recommender_pb2 as pb
from configs.errors import UserError

SPAN_FOLDER = "data.span_folder"
ACTIVITIES_FILES = "data.files.activities_files"

_MAX_LISTED = 10


@dataclass(frozen=True)
class Wanted:
    """What a kind of source reads.

    Attributes:
      activities: names and patterns of the logs.
      tables: names of files that must be there.
      optional_tables: names of files that are read if they are there.
    """

    activities: tuple[str, ...]
    tables: tuple[str, ...] = ()
    optional_tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """The files that were found.

    Attributes:
      activities: paths of the logs, those of the oldest span first.
      tables: path of each table that is there, by its name.
      window: the spans, if the data comes in spans.
    """

    activities: tuple[str, ...]
    tables: dict[str, str] = field(default_factory=dict)
    window: spans.Window | None = None


def find_inputs(
    data: pb.DataConfig,
    folder: str,
    wanted: Wanted,
    kind: str,
    whole_window: bool = True,
) -> Inputs:
    """Finds the files of a source.

    A table is taken from the newest span of the window that has it, else from the data
    folder itself.

    Args:
      data: names the spans.
      folder: the data folder.
      wanted: what the source reads.
      kind: the source's, for messages.
      whole_window: whether no span of the window may be missing, see `spans.select`.

    Raises:
      UserError: if a file is missing, or a span of the window.
    """
    names = [_below(data.span_folder, name) for name in wanted.activities]
    window = None
    if any(map(spans.has_placeholders, names)):
        window = _find_window(data, folder, names, whole_window)
        found = [name for span in window.spans for name in window.files[span]]
    else:
        _check_no_span(data)
        found = _find_all(folder, names, kind)
    tables = {}
    for name in (*wanted.tables, *wanted.optional_tables):
        path = _find_table(data, folder, name, window)
        if path is not None:
            tables[name] = storage.join(folder, path)
        elif name in wanted.tables:
            raise _missing(folder, _below(data.span_folder, name), kind)
    return Inputs(
        activities=_each_once([storage.join(folder, name) for name in found]),
        tables=tables,
        window=window,
    )


def has_spans(data: pb.DataConfig) -> bool:
    """Whether the activities come in spans."""
    names = (data.span_folder, *data.files.activities_files)
    return any(map(spans.has_placeholders, names))


def there_is(data: pb.DataConfig, folder: str, name: str) -> bool:
    """Whether any span has a file of this name, or the data folder."""
    full = _below(data.span_folder, name)
    if spans.has_placeholders(full):
        pattern = spans.parse_pattern(full, SPAN_FOLDER)
        return any(pattern.match(n) for n in _matching(folder, pattern.glob))
    return storage.is_file(storage.join(folder, full))


def listing(folder: str) -> str:
    """What a folder holds, for messages."""
    names = storage.list_files(folder)
    shown = ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
    return shown or "no file"


def _check_no_span(data: pb.DataConfig) -> None:
    """Refuses to choose among spans where there are none."""
    for name, value, default in (
        ("span", data.span, spans.LATEST),
        ("span_window", data.span_window, 1),
    ):
        if value != default:
            raise UserError(
                f"data.{name}: {value!r} is not allowed. Expected {default}, since "
                f"neither {SPAN_FOLDER} nor {ACTIVITIES_FILES} holds a placeholder "
                "such as {SPAN}"
            )


def _find_all(folder: str, names: Sequence[str], kind: str) -> list[str]:
    found = []
    for name in names:
        matches = _matching(folder, name)
        if not matches:
            raise _missing(folder, name, kind)
        found += matches
    return found


def _each_once(paths: Sequence[str]) -> tuple[str, ...]:
    """Two patterns may find the same file, and so may links."""
    found: dict[str, str] = {}
    for path in paths:
        found.setdefault(storage.real_path(path), path)
    return tuple(found.values())


def _find_window(
    data: pb.DataConfig, folder: str, names: Sequence[str], whole: bool
) -> spans.Window:
    patterns = []
    for name in names:
        field = SPAN_FOLDER if data.span_folder else ACTIVITIES_FILES
        patterns.append(spans.parse_pattern(name, field))
    there = {n for pattern in patterns for n in _matching(folder, pattern.glob)}
    try:
        window = spans.select(patterns, there, data.span, data.span_window, whole)
        for pattern in patterns:
            _check_nothing_newer(folder, pattern, window, data.span == spans.LATEST)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    return window


def _check_nothing_newer(
    folder: str, pattern: spans.Pattern, window: spans.Window, latest: bool
) -> None:
    """Refuses older files while the folder of a newer span or version has others."""
    for folders in pattern.folders():
        for name in storage.match_folders(folder, folders.glob):
            key = folders.match(name)
            if key is not None and _is_newer(key, window, latest):
                raise UserError(
                    f"span {spans.span_text(key[0], window.dated)} is not complete: "
                    f"{name} holds {listing(storage.join(folder, name))}. Expected "
                    f"{pattern.text}"
                )


def _is_newer(key: spans.Key, window: spans.Window, latest: bool) -> bool:
    span, version = key
    if span in window.versions:
        return version > window.versions[span]
    return latest and span > window.newest


def _find_table(
    data: pb.DataConfig, folder: str, name: str, window: spans.Window | None
) -> str | None:
    """Name of a table's file below the data folder; None if there is none."""
    full = _below(data.span_folder, name)
    if window is not None and spans.has_placeholders(full):
        found = _find_in_window(folder, full, window)
        if found is not None:
            return found
        full = name
    if spans.has_placeholders(full):
        return None
    return full if storage.is_file(storage.join(folder, full)) else None


def _find_in_window(folder: str, text: str, window: spans.Window) -> str | None:
    pattern = spans.parse_pattern(text, SPAN_FOLDER)
    keys = {name: pattern.match(name) for name in _matching(folder, pattern.glob)}
    for span in reversed(window.spans):
        version = window.versions[span] if pattern.versioned else 0
        found = [name for name, key in keys.items() if key == (span, version)]
        if len(found) > 1:
            raise UserError(
                f"{folder}: span {spans.span_text(span, window.dated)} has more than "
                f"one file {text}: {', '.join(found)}"
            )
        if found:
            return found[0]
    return None


def _matching(folder: str, pattern: str) -> list[str]:
    """Files of a name or pattern, by their names below the folder, sorted."""
    if not re.search(r"[*?]", pattern):
        return [pattern] if storage.is_file(storage.join(folder, pattern)) else []
    return storage.match_files(folder, pattern)


def _below(folder: str, name: str) -> str:
    return posixpath.normpath(f"{folder.strip('/')}/{name}" if folder else name)


def _missing(folder: str, name: str, kind: str) -> UserError:
    return UserError(
        f"{storage.join(folder, name)} does not exist. Expected for data.source "
        f"{kind}; the folder holds {listing(folder)}"
    )
