"""Lines of progress from the runner's log messages."""

from __future__ import annotations

import logging

from pipeline.progress import Progress


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("absl", logging.INFO, "", 0, message, arguments, None)


def test_a_line_at_the_start_and_at_the_end_of_each_component() -> None:
    lines: list[str] = []
    states = {"First": "cached", "Second.x": "complete"}
    progress = Progress(list(states), states.__getitem__, lines.append)
    progress.handle(record("Component %s is running.", "First"))
    progress.handle(record("Some other message"))
    progress.handle(record("Component %s is finished.", "First"))
    progress.handle(record("Component Second.x is running."))
    progress.handle(record("Component Second.x is finished."))
    assert lines[0] == "[1/2] First ..."
    assert lines[1].startswith("[1/2] First  cached  ")
    assert lines[2] == "[2/2] Second.x ..."
    assert [(run.node, run.state) for run in progress.runs] == list(states.items())
    assert progress.fail() is None


def test_the_component_that_was_running_has_failed() -> None:
    lines: list[str] = []
    progress = Progress(["First", "Second"], lambda _: "complete", lines.append)
    assert progress.fail() is None
    progress.handle(record("Component First is running."))
    failed = progress.fail()
    assert failed is not None
    assert (failed.node, failed.state) == ("First", "failed")
    assert "First  failed" in lines[-1]
