"""Lines of progress while components start and end."""

from __future__ import annotations

from pipeline.progress import Progress


def test_a_line_at_the_start_and_at_the_end_of_each_component() -> None:
    lines: list[str] = []
    states = {"First": "cached", "Second.x": "complete"}
    progress = Progress(list(states), states.__getitem__, lines.append)
    for node in states:
        progress.start(node)
        progress.end(node)
    assert lines[0] == "[1/2] First ..."
    assert lines[1].startswith("[1/2] First  cached  ")
    assert lines[2] == "[2/2] Second.x ..."
    assert lines[3].startswith("[2/2] Second.x  complete  ")
    assert [(run.node, run.state) for run in progress.runs] == list(states.items())


def test_the_component_that_was_running_has_failed() -> None:
    lines: list[str] = []
    progress = Progress(["First", "Second"], lambda _: "complete", lines.append)
    progress.start("First")
    progress.end("First")
    progress.start("Second")
    assert progress.fail() == "Second"
    assert lines[-1].startswith("[2/2] Second  failed  ")
