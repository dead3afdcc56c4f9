"""Tells how far an experiment is: a bar on a terminal, else lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

_BAR = "{n_fmt}/{total_fmt} {bar:12} {elapsed}<{remaining}{postfix}"
_SIZE: dict[str, Any] = {"ncols": 80, "nrows": 24}


class Progress(Protocol):
    """What is told how far an experiment is."""

    def start(self, total: int, done: int) -> None:
        """So many trainings there are, of which so many are done already."""

    def begin(self, name: str) -> None:
        """A training begins."""

    def detail(self, line: str) -> None:
        """An epoch of it, or a warning."""

    def end(self, outcome: str) -> None:
        """It has ended."""

    def note(self, line: str) -> None:
        """Something else takes time."""

    def close(self) -> None:
        """All is done."""


def progress_on(stream: TextIO | None = None) -> Progress:
    """A bar if the stream is a terminal, else lines.

    Args:
      stream: None: the standard output. (The other may be filtered line by line, in
        which a bar would be stuck.)
    """
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        return Bar(stream)
    return Lines(lambda line: print(line, file=stream, flush=True))


class Lines:
    """A line when a training begins, and one when it ends.

    Args:
      echo: receives the lines.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo
        self._total = 0
        self._done = 0
        self._started = 0.0

    def start(self, total: int, done: int) -> None:
        self._total, self._done = total, done
        self._echo(f"{total} trainings, of which {done} are done already")

    def begin(self, name: str) -> None:
        self._started = time.monotonic()
        self._done += 1
        self._echo(f"{self._place()} {name} ...")

    def detail(self, line: str) -> None:
        if line.startswith("warning"):
            self.note(line)

    def end(self, outcome: str) -> None:
        seconds = time.monotonic() - self._started
        self._echo(f"{self._place()} {outcome}, {seconds:.1f} s")

    def note(self, line: str) -> None:
        self._echo(f"{' ' * len(self._place())} {line}")

    def close(self) -> None:
        pass

    def _place(self) -> str:
        width = len(str(self._total))
        return f"[{self._done:>{width}}/{self._total}]"


class Bar:
    """A bar that moves with each training, its last epoch behind it.

    Args:
      stream: a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from tqdm import tqdm

        self._make = lambda total, done: tqdm(
            total=total,
            initial=done,
            file=stream,
            bar_format=_BAR,
            # Nothing would be drawn on a terminal that does not tell its size.
            **({"dynamic_ncols": True} if _has_size(stream) else _SIZE),
        )
        self._bar = None
        self._name = ""

    def start(self, total: int, done: int) -> None:
        self._bar = self._make(total, done)

    def begin(self, name: str) -> None:
        self._name = name
        self.detail("")

    def detail(self, line: str) -> None:
        self._show(", ".join(part for part in (self._name, line) if part))

    def end(self, outcome: str) -> None:
        self._name = ""
        if self._bar is not None:
            self._bar.update()

    def note(self, line: str) -> None:
        self._show(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str("")
            self._bar.close()

    def _show(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text)


def _has_size(stream: TextIO) -> bool:
    try:
        return all(os.get_terminal_size(stream.fileno()))
    except (AttributeError, OSError, ValueError):
        return False
