"""Applies a function in threads, in order and with little in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

# So many values for each thread are taken ahead of what is asked for.
_AHEAD = 4

Tool = TypeVar("Tool")
Value = TypeVar("Value")
Result = TypeVar("Result")


def apply(
    function: Callable[[Tool, Value], Result],
    tools: Sequence[Tool],
    values: Iterable[Value],
) -> Iterator[Result]:
    """Yields ``function(tool, value)`` for each value, in order.

    Args:
      function: what is applied.
      tools: one for each thread; none is used twice at a time.
      values: taken by the caller's thread, a few ahead.

    Raises:
      Exception: what the function or the values raise, in its place in the order.
    """
    if len(tools) == 1:
        for value in values:
            yield function(tools[0], value)
        return
    free: SimpleQueue[Tool] = SimpleQueue()
    for tool in tools:
        free.put(tool)

    def call(value: Value) -> Result:
        tool = free.get()
        try:
            return function(tool, value)
        finally:
            free.put(tool)

    pending: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(len(tools))
    try:
        for value in values:
            pending.append(threads.submit(call, value))
            if len(pending) > _AHEAD * len(tools):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
