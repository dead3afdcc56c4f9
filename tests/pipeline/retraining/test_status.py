"""What is remembered of cycles, however they ended."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest

from components.lock import locked
from configs.errors import UserError
from pipeline.retraining import status
from pipeline.retraining.status import Cycle, Status

FIRST = Cycle("2024-03-01T03:00:00+00:00", status.RUNNING, span="1", key="a")
PUSHED = dataclasses.replace(
    FIRST,
    outcome=status.PUSHED,
    ended="2024-03-01T03:01:30+00:00",
    version=1,
    metric="hr_10_test",
    value=0.25,
)


def run(output: Path, cycle: Cycle) -> None:
    status.begin(output, dataclasses.replace(cycle, outcome=status.RUNNING, ended=""))
    status.end(output, cycle)


def nothing_new(span: str = "1") -> Cycle:
    moment = "2024-03-02T03:00:00+00:00"
    return Cycle(moment, status.NOTHING_NEW, ended=moment, span=span)


def test_before_the_first_cycle(tmp_path: Path) -> None:
    assert status.read(tmp_path) == Status()
    assert status.lines(Status(), is_running=False) == ["no cycle yet"]


def test_a_cycle_that_runs_and_ends(tmp_path: Path) -> None:
    status.begin(tmp_path, FIRST)
    assert status.read(tmp_path).cycles == (FIRST,)
    assert status.read(tmp_path).done is None
    status.end(tmp_path, PUSHED)
    found = status.read(tmp_path)
    assert found.cycles == (PUSHED,)
    assert found.done == PUSHED
    assert found.totals == {"pushed": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_what_the_last_result_was_whatever_came_since(tmp_path: Path) -> None:
    run(tmp_path, PUSHED)
    for outcome in (status.FAILED, status.INTERRUPTED, status.NOTHING_NEW):
        run(tmp_path, dataclasses.replace(PUSHED, outcome=outcome, key="b"))
        assert status.read(tmp_path).done == PUSHED
    refused = dataclasses.replace(PUSHED, outcome=status.REFUSED, key="b")
    run(tmp_path, refused)
    assert status.read(tmp_path).done == refused


def test_days_without_news_are_one_line(tmp_path: Path) -> None:
    run(tmp_path, PUSHED)
    for _ in range(3):
        run(tmp_path, nothing_new())
    run(tmp_path, PUSHED)
    run(tmp_path, nothing_new())
    found = status.read(tmp_path)
    assert [(c.outcome, c.times) for c in found.cycles] == [
        ("pushed", 1),
        ("nothing new", 3),
        ("pushed", 1),
        ("nothing new", 1),
    ]
    assert found.totals == {"pushed": 2, "nothing new": 4}


def test_a_cycle_that_was_killed(tmp_path: Path) -> None:
    status.begin(tmp_path, FIRST)
    assert "running" in status.lines(status.read(tmp_path), is_running=True)[1]
    assert "killed" in status.lines(status.read(tmp_path), is_running=False)[1]
    [first] = status.begin(tmp_path, FIRST)
    assert first.outcome == "killed"
    found = status.read(tmp_path)
    assert [c.outcome for c in found.cycles] == ["killed", "running"]
    assert found.totals == {"killed": 1}
    killed = status.bury(tmp_path, "its time was up")
    assert killed is not None
    assert (killed.outcome, killed.message) == ("killed", "its time was up")
    assert status.bury(tmp_path, "again") is None
    assert status.read(tmp_path).totals == {"killed": 2}


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for number in range(105):
        run(tmp_path, dataclasses.replace(PUSHED, version=number))
    found = status.read(tmp_path)
    assert [c.version for c in found.cycles] == list(range(5, 105))
    assert found.totals == {"pushed": 105}


def test_lines() -> None:
    refused = dataclasses.replace(
        PUSHED, outcome=status.REFUSED, version=None, value=0.5, message="too\nbad"
    )
    again = dataclasses.replace(nothing_new(), times=12)
    found = status.lines(Status((PUSHED, refused, again)), is_running=False)
    assert [" ".join(line.split()) for line in found] == [
        "started took span outcome version metric",
        "2024-03-01 03:00 90 s 1 pushed 1 hr_10_test 0.2500",
        "2024-03-01 03:00 90 s 1 refused hr_10_test 0.5000",
        "too",
        "bad",
        "2024-03-02 03:00 0 s 1 nothing new, 12 times",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"cycles": [{}]}', '{"cycles": [], "other": 1}', '{"cycles": 1}'],
)
def test_a_broken_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / status.STATUS_FILE).write_text(text)
    with pytest.raises(UserError, match=r"status.json: is no status of a pipeline: "):
        status.read(tmp_path)


def test_killed_while_it_is_written(tmp_path: Path) -> None:
    """Whatever the moment, what is there can be read."""
    run(tmp_path, PUSHED)
    for _ in range(20):
        pid = os.fork()
        if not pid:
            while True:
                status.write(tmp_path, status.read(tmp_path))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert status.read(tmp_path).cycles == (PUSHED,)


def test_nobody_is_buried_alive(tmp_path: Path) -> None:
    status.begin(tmp_path, FIRST)
    with locked(str(tmp_path), "output"), pytest.raises(UserError, match="another"):
        status.bury(tmp_path, "dead")
    assert json.loads((tmp_path / status.STATUS_FILE).read_text())["cycles"][0][
        "outcome"
    ] == ("running")
