"""Tells how far a run is: a line when a component starts, one when it ends."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

CACHED, COMPLETE, FAILED = "cached", "complete", "failed"

_MESSAGE = re.compile(r"Component (?P<node>\S+) is (?P<event>running|finished)\.")


@dataclass(frozen=True)
class NodeRun:
    """One component's part of a run.

    Attributes:
      node: the component's id.
      state: `cached`, `complete` or `failed`.
      seconds: wall time.
    """

    node: str
    state: str
    seconds: float


class Progress(logging.Handler):
    """Follows TFX's local runner, which tells its steps in log messages only.

    Args:
      nodes: ids of all components.
      state_of: asks for the state of a component that has just finished.
      echo: receives the lines.
    """

    def __init__(
        self,
        nodes: list[str],
        state_of: Callable[[str], str],
        echo: Callable[[str], None],
    ) -> None:
        super().__init__(logging.INFO)
        self._nodes = nodes
        self._state_of = state_of
        self._echo = echo
        self._started = 0.0
        self.runs: list[NodeRun] = []

    def emit(self, record: logging.LogRecord) -> None:
        match = _MESSAGE.fullmatch(record.getMessage())
        if match is None:
            return
        node = match["node"]
        if match["event"] == "running":
            self._started = time.monotonic()
            self._echo(f"{self._place(node)} {node} ...")
        else:
            self._end(node, self._state_of(node))

    def fail(self) -> NodeRun | None:
        """Marks the component that was running, if any, as failed."""
        ended = {run.node for run in self.runs}
        running = [node for node in self._nodes if node not in ended]
        if not self._started or not running:
            return None
        return self._end(running[0], FAILED)

    def _end(self, node: str, state: str) -> NodeRun:
        run = NodeRun(node, state, time.monotonic() - self._started)
        self.runs.append(run)
        self._echo(f"{self._place(node)} {node}  {state}  {run.seconds:.1f} s")
        return run

    def _place(self, node: str) -> str:
        width = len(str(len(self._nodes)))
        return f"[{self._nodes.index(node) + 1:>{width}}/{len(self._nodes)}]"
