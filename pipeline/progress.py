"""Tells how far a run is: a line when a component starts, one when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

CACHED, COMPLETE, FAILED = "cached", "complete", "failed"


@dataclass(frozen=True)
class NodeRun:
    """One component's part of a run.

    Attributes:
      node: the component's id.
      state: `CACHED`, `COMPLETE` or `FAILED`.
      seconds: wall time.
    """

    node: str
    state: str
    seconds: float


class Progress:
    """Follows a run that starts and ends one component after the other.

    Args:
      nodes: ids of all components.
      state_of: asks for the state of a component that has just ended.
      echo: receives the lines.
    """

    def __init__(
        self,
        nodes: list[str],
        state_of: Callable[[str], str],
        echo: Callable[[str], None],
    ) -> None:
        self._nodes = nodes
        self._state_of = state_of
        self._echo = echo
        self._running = ""
        self._started = 0.0
        self.runs: list[NodeRun] = []

    def start(self, node: str) -> None:
        """A component starts."""
        self._running = node
        self._started = time.monotonic()
        self._echo(f"{self._place()} {node} ...")

    def end(self, node: str) -> None:
        """A component has ended well."""
        self._end(self._state_of(node))

    def fail(self) -> str:
        """The component that was running has failed; returns its id."""
        self._end(FAILED)
        return self.runs[-1].node

    def _end(self, state: str) -> None:
        run = NodeRun(self._running, state, time.monotonic() - self._started)
        self.runs.append(run)
        self._echo(f"{self._place()} {run.node}  {state}  {run.seconds:.1f} s")

    def _place(self) -> str:
        number = len({run.node for run in self.runs} | {self._running})
        width = len(str(len(self._nodes)))
        return f"[{number:>{width}}/{len(self._nodes)}]"
