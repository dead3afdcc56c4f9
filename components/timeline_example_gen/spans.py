"""Spans: data that comes in numbered or dated pieces, and the window that is read.

Patterns are those of TFX's ExampleGen (``{SPAN}``, ``{VERSION}``, ``{YYYY}``, ``{MM}``,
``{DD}``; ``{SPAN:2}`` is a span of two digits); a date is the span of its days since
1970-01-01, as TFX counts them.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from configs.errors import UserError

LATEST = "latest"
EPOCH = datetime.date(1970, 1, 1)

_PLACEHOLDERS = ("SPAN", "VERSION", "YYYY", "MM", "DD")
_PLACEHOLDER = re.compile(r"\{([^{}:/]*)(?::([^{}/]*))?\}")
_WIDTH = re.compile("[1-9][0-9]?")
_DIGITS = {"YYYY": "[0-9]{4}", "MM": "[0-9]{2}", "DD": "[0-9]{2}"}
_SHOWN = 10

# Span and version of a file.
Key = tuple[int, int]


@dataclass(frozen=True)
class Pattern:
    """The name of a file, with placeholders, ``*`` and ``?``.

    Attributes:
      text: as configured.
      dated: whether spans are dates.
    """

    text: str
    dated: bool

    @property
    def glob(self) -> str:
        """A pattern for the file system that finds at least all files of this one."""
        return _PLACEHOLDER.sub("*", self.text)

    @property
    def versioned(self) -> bool:
        """Whether files have versions."""
        return any(name == "VERSION" for name, _ in _PLACEHOLDER.findall(self.text))

    def match(self, name: str) -> Key | None:
        """Span and version of a file; None if it has another name.

        Raises:
          UserError: for a date that there is not, such as 2024-02-30.
        """
        groups = self.digits(name)
        if groups is None:
            return None
        version = int(groups.get("VERSION") or 0)
        if not self.dated:
            return int(groups["SPAN"]), version
        parts = [groups[part] for part in ("YYYY", "MM", "DD")]
        try:
            day = datetime.date(*map(int, parts))
        except ValueError:
            raise UserError(
                f"{name}: {'-'.join(parts)} is no date, which {self.text!r} asks for"
            ) from None
        return (day - EPOCH).days, version

    def folders(self) -> list[Pattern]:
        """Patterns of the folders that hold files of one span, the innermost first."""
        parts = self.text.split("/")
        texts = ["/".join(parts[:depth]) for depth in range(len(parts) - 1, 0, -1)]
        return [Pattern(text, self.dated) for text in texts if _tells_span(text)]

    def digits(self, name: str) -> dict[str, str] | None:
        """What each placeholder stands for in a file's name; None if it has another."""
        found = re.fullmatch(self._regex(), name)
        return None if found is None else found.groupdict()

    def _regex(self) -> str:
        regex, seen = "", set[str]()
        for part in re.split(r"(\{[^{}/]*\}|\*|\?)", self.text):
            placeholder = _PLACEHOLDER.fullmatch(part)
            if placeholder is None:
                regex += {"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
                continue
            name, width = placeholder.groups()
            digits = f"[0-9]{{{width}}}" if width else _DIGITS.get(name, "[0-9]+")
            # The same placeholder twice must stand for the same digits.
            regex += f"(?P={name})" if name in seen else f"(?P<{name}>{digits})"
            seen.add(name)
        return regex


def has_placeholders(text: str) -> bool:
    """Whether a name holds a placeholder, a known one or not."""
    return _PLACEHOLDER.search(text) is not None


def parse_pattern(text: str, field: str) -> Pattern:
    """Reads a pattern.

    Args:
      text: with at least one placeholder.
      field: of the configuration, for messages.

    Raises:
      UserError: if a placeholder is not known, or the placeholders tell no span.
    """
    found = list(_PLACEHOLDER.finditer(text))
    names = {match[1] for match in found}
    unknown = [match[0] for match in found if not _is_known(match)]
    date = names & set(_DIGITS)
    if unknown:
        raise UserError(
            f"{field}: {unknown[0]} in {text!r} is not allowed. Expected one of "
            + ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
            + ", the first two also with a number of digits: {SPAN:2}"
        )
    if not _tells_span(text) or (date and "SPAN" in names):
        raise UserError(
            f"{field}: {text!r} is not allowed. Expected {{SPAN}}, or all of {{YYYY}}, "
            "{MM} and {DD}"
        )
    return Pattern(text, dated=bool(date))


def _is_known(placeholder: re.Match[str]) -> bool:
    name, width = placeholder.groups()
    if width is None:
        return name in _PLACEHOLDERS
    return name in ("SPAN", "VERSION") and _WIDTH.fullmatch(width) is not None


def _tells_span(text: str) -> bool:
    names = {name for name, _ in _PLACEHOLDER.findall(text)}
    return "SPAN" in names or names >= set(_DIGITS)


@dataclass(frozen=True)
class Window:
    """The spans that are read together.

    Attributes:
      spans: ascending, without a gap unless `select` was to allow them.
      files: by span, in the order of `spans`: its files.
      versions: by span; 0 where there are none.
      dated: whether spans are dates.
    """

    spans: tuple[int, ...]
    files: Mapping[int, tuple[str, ...]]
    versions: Mapping[int, int]
    dated: bool

    @property
    def newest(self) -> int:
        """The span that the examples are labelled with."""
        return self.spans[-1]


def select(
    patterns: Sequence[Pattern],
    names: Iterable[str],
    span: str,
    size: int,
    whole: bool = True,
) -> Window:
    """Chooses the window: the wanted span and those just before it.

    Of a span that has several versions, the newest is taken.

    Args:
      patterns: of the activities' files, each with files in every span.
      names: that there are; others are not looked at.
      span: a number, a date such as 2024-03-01, or ``latest``.
      size: how many spans; fewer where the first of all comes after that.
      whole: whether none may be missing; else those that are do not count.

    Raises:
      UserError: if a span of the window is missing, naming those that exist.
    """
    dated = patterns[0].dated
    if any(pattern.dated != dated for pattern in patterns):
        raise UserError(
            "data.files.activities_files: "
            + " and ".join(repr(pattern.text) for pattern in patterns)
            + " count spans differently. Expected {SPAN} in all of them, or dates"
        )
    found: dict[Key, list[list[str]]] = {}
    for index, pattern in enumerate(patterns):
        spelled: dict[tuple[int, str, int], tuple[str, str]] = {}
        for name in sorted(names):
            key = pattern.match(name)
            if key is not None:
                found.setdefault(key, [[] for _ in patterns])[index].append(name)
                _check_spelling(pattern, name, key[0], spelled)
    texts = ", ".join(pattern.text for pattern in patterns)
    if not found:
        raise UserError(f"no file is named as {texts}: there is no span")
    versions: dict[int, int] = {}
    for number, version in found:
        versions[number] = max(version, versions.get(number, version))
    existing = sorted(versions)
    newest = existing[-1] if span == LATEST else number_of(span)
    # Where the data has only begun, a window is as long as the data.
    first = min(newest, max(newest - size + 1, existing[0]))
    wanted: Sequence[int] = range(first, newest + 1)
    if not whole:
        earlier = [n for n in existing if n < newest and all(found[n, versions[n]])]
        wanted = [*earlier[max(len(earlier) - size + 1, 0) :], newest]
    for number in reversed(wanted):
        if number not in versions:
            what = f"span {span_text(number, dated)} does not exist"
            if number != newest:
                what += (
                    f", which the window of {size} up to "
                    f"{span_text(newest, dated)} needs"
                )
            raise UserError(
                f"{what} ({texts}). There are {ranges_text(existing, dated)}"
            )
    for number in wanted:
        in_span = found[number, versions[number]]
        for pattern, of_pattern in zip(patterns, in_span, strict=True):
            if not of_pattern:
                raise UserError(
                    f"span {span_text(number, dated)} has no file {pattern.text}"
                )
    return Window(
        spans=tuple(wanted),
        files={
            n: tuple(dict.fromkeys(itertools.chain(*found[n, versions[n]])))
            for n in wanted
        },
        versions={n: versions[n] for n in wanted},
        dated=dated,
    )


def _check_spelling(
    pattern: Pattern,
    name: str,
    span: int,
    spelled: dict[tuple[int, str, int], tuple[str, str]],
) -> None:
    """Refuses ``span-2`` beside ``span-02``: which of them is span 2?

    Args:
      pattern: that the file is of.
      name: of the file.
      span: of the file.
      spelled: gets how the span and its versions are written, and the first such file.
    """
    for part, digits in (pattern.digits(name) or {}).items():
        other_digits, other = spelled.setdefault(
            (span, part, int(digits)), (digits, name)
        )
        if digits != other_digits:
            raise UserError(
                f"span {span_text(span, pattern.dated)} is there twice: {other} and "
                f"{name}"
            )


def number_of(span: str) -> int:
    """The number of a span: itself, or a date's days since 1970-01-01.

    Raises:
      UserError: for other text.
    """
    if re.fullmatch(r"[0-9]{1,18}", span):
        return int(span)
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", span):
            return (datetime.date.fromisoformat(span) - EPOCH).days
    except ValueError:
        pass  # told below
    hint = ""
    if span.startswith("[["):
        hint = ": the scheduler was to put a date in its place, and did not"
    raise UserError(
        f"data.span: {span!r} is not allowed. Expected a number, a date (2024-03-01) "
        f"or {LATEST}{hint}"
    )


def span_text(span: int, dated: bool) -> str:
    """A span for people: its number, and the date where spans are dates."""
    if not dated:
        return str(span)
    return f"{date_text(span)} ({span})"


def date_text(span: int) -> str:
    """The date of a span; for one outside years 1 to 9999, its day of the count."""
    try:
        return (EPOCH + datetime.timedelta(days=span)).isoformat()
    except OverflowError:
        return f"day {span}"


def ranges_text(spans: Sequence[int], dated: bool) -> str:
    """Spans for people, as ranges: ``1 to 3, 5``."""
    ranges: list[list[int]] = []
    for span in spans:
        if ranges and span == ranges[-1][1] + 1:
            ranges[-1][1] = span
        else:
            ranges.append([span, span])
    texts = [
        span_text(first, dated)
        if first == last
        else f"{span_text(first, dated)} to {span_text(last, dated)}"
        for first, last in ranges
    ]
    # The newest are those that somebody looks for.
    if len(texts) > _SHOWN:
        texts = ["…", *texts[-_SHOWN:]]
    return ", ".join(texts)
