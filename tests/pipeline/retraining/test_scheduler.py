"""When cycles start, and what becomes of those that fail, hang or are missed."""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
import threading
import time
import zoneinfo
from collections.abc import Callable
from pathlib import Path

import pytest

from components.lock import LockedError, locked
from configs.errors import UserError
from pipeline.retraining import scheduler, status
from pipeline.retraining.reporting import LOG_FILE, Channels
from pipeline.retraining.scheduler import Schedule, Scheduler
from pipeline.retraining.status import Cycle
from tests.checkout import ROOT

UTC = datetime.timezone.utc
# A cycle of the name "cycle" in the folder argv[1], which does argv[2].
CYCLE = f"""
import dataclasses, os, signal, sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "device")!r}]
from pathlib import Path
from components.lock import locked
from pipeline.retraining import status
output, what = Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with locked(str(output), "output"):
    cycle = status.Cycle(status.now(), status.RUNNING, process=os.getpid())
    status.begin(output, cycle)
    print("begun", flush=True)
    try:
        exec(what)
    except SystemExit as error:
        outcomes = {{0: "pushed", 3: "refused", 143: "interrupted"}}
        outcome = outcomes.get(error.code, "failed")
        cycle = dataclasses.replace(cycle, outcome=outcome, ended=status.now())
        status.end(output, cycle)
        raise
"""


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def make(
    output: Path,
    what: str,
    clock: Callable[[], datetime.datetime] | None = None,
    **knobs,
) -> Scheduler:
    output.mkdir(exist_ok=True)
    return Scheduler(
        Schedule(**{"cron": "0 3 * * *", "backoff_seconds": 0.01, **knobs}),
        Channels("shop", output),
        [sys.executable, "-c", CYCLE, str(output), what],
        clock or scheduler.utc_now,
    )


def events(output: Path) -> list[str]:
    path = output / LOG_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["event"] for line in lines]


def outcomes(output: Path) -> list[str]:
    return [cycle.outcome for cycle in status.read(output).cycles]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 3 * * *", "2024-03-01 02:59", "2024-03-01 03:00"),
        ("0 3 * * *", "2024-03-01 03:00", "2024-03-02 03:00"),
        ("*/15 * * * *", "2024-03-01 03:07", "2024-03-01 03:15"),
        # Friday, 1st of March 2024; both 0 and 7 are Sunday, 1 is Monday.
        ("0 3 * * 0", "2024-03-01 12:00", "2024-03-03 03:00"),
        ("0 3 * * 7", "2024-03-01 12:00", "2024-03-03 03:00"),
        ("0 3 * * 1-5", "2024-03-01 12:00", "2024-03-04 03:00"),
        ("0 3 * * sat", "2024-03-01 12:00", "2024-03-02 03:00"),
    ],
)
def test_the_next_start(cron: str, after: str, expected: str) -> None:
    assert scheduler.next_start(Schedule(cron), at(after)) == at(expected)


def test_a_schedule_in_a_time_zone() -> None:
    berlin = Schedule("30 3 * * *", zoneinfo.ZoneInfo("Europe/Berlin"))
    assert scheduler.next_start(berlin, at("2024-03-01 00:00")) == at(
        "2024-03-01 02:30"
    )
    # Summer time has begun.
    assert scheduler.next_start(berlin, at("2024-03-31 12:00")) == at(
        "2024-04-01 01:30"
    )


@pytest.mark.parametrize(
    "cron",
    ["", "0 3 * *", "0 3 * * * *", "60 3 * * *", "@daily", "a b c d e", "0 3 30 2 *"],
)
def test_what_is_no_cron_expression(cron: str) -> None:
    with pytest.raises(UserError, match=r"--cron: .* Expected five fields"):
        scheduler.check_cron(cron)


def test_a_cycle(tmp_path: Path) -> None:
    assert make(tmp_path, "sys.exit(0)").cycle() == 0
    assert outcomes(tmp_path) == ["pushed"]
    assert events(tmp_path) == ["started", "ended"]
    [log] = (tmp_path / scheduler.FOLDER).glob("*.log")
    assert log.read_text() == "begun\n"


@pytest.mark.parametrize("code", [1, 2, 3])
def test_what_will_not_pass_is_not_tried_again(tmp_path: Path, code: int) -> None:
    assert make(tmp_path, f"sys.exit({code})").cycle() == code
    assert events(tmp_path) == ["started", "ended"]


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    third = "sys.exit(0 if len(status.read(output).cycles) == 3 else 75)"
    assert make(tmp_path, third).cycle() == 0
    assert outcomes(tmp_path) == ["failed", "failed", "pushed"]
    again = ["started", "ended", "again"]
    assert events(tmp_path) == [*again, *again, "started", "ended"]


def test_but_not_for_ever(tmp_path: Path) -> None:
    runner = make(tmp_path, "sys.exit(75)", retries=2, backoff_seconds=0.2)
    assert runner.cycle() == 75
    assert len(outcomes(tmp_path)) == 3
    lines = map(json.loads, (tmp_path / LOG_FILE).read_text().splitlines())
    waits = [line["after_seconds"] for line in lines if line["event"] == "again"]
    assert waits == [0.2, 0.4]


def test_a_cycle_that_hangs(tmp_path: Path) -> None:
    runner = make(tmp_path, "time.sleep(600)", time_limit_seconds=10)
    assert runner.cycle() == 143
    assert outcomes(tmp_path) == ["interrupted"]
    assert events(tmp_path) == ["started", "interrupted", "ended"]


def test_a_cycle_that_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_GRACE_SECONDS", 0.5)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    runner = make(tmp_path, deaf, time_limit_seconds=10)
    assert runner.cycle() == -signal.SIGKILL
    assert outcomes(tmp_path) == ["killed"]
    [cycle] = status.read(tmp_path).cycles
    assert cycle.message == "over its time limit of 10 s"
    assert events(tmp_path) == ["started", "interrupted", "ended", "cycle"]


def test_nothing_of_a_cycle_that_hangs_goes_on(tmp_path: Path) -> None:
    """It ends when it is told to; what it has started does not."""
    worker = (
        "import subprocess; worker = subprocess.Popen(['sleep', '600']); "
        "Path(output, 'worker').write_text(str(worker.pid)); time.sleep(600)"
    )
    assert make(tmp_path, worker, time_limit_seconds=10).cycle() == 143
    worker_process = Path("/proc", (tmp_path / "worker").read_text(), "stat")
    deadline = time.monotonic() + 60
    # Killed, it may wait for somebody to ask how it ended.
    while worker_process.exists() and " Z " not in worker_process.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_cycle_that_is_killed_is_reported(tmp_path: Path) -> None:
    runner = make(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert runner.cycle() == -signal.SIGKILL
    assert outcomes(tmp_path) == ["killed"]
    assert events(tmp_path) == ["started", "ended", "cycle"]


def last_cycle(output: Path, days_ago: float) -> None:
    moment = scheduler.utc_now() - datetime.timedelta(days=days_ago)
    text = moment.isoformat(timespec="seconds")
    output.mkdir(exist_ok=True)
    status.write(output, status.Status((Cycle(text, status.PUSHED, ended=text),)))


class Running:
    """A scheduler in a thread."""

    def __init__(self, runner: Scheduler, output: Path) -> None:
        self._runner, self._output = runner, output
        self._thread = threading.Thread(target=runner.run)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.stop()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def wait_for(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < deadline, (self._output / LOG_FILE).read_text()
            time.sleep(0.05)


def test_all_that_was_missed_is_one_cycle_at_once(tmp_path: Path) -> None:
    last_cycle(tmp_path, days_ago=3.5)
    with Running(make(tmp_path, "sys.exit(0)"), tmp_path) as running:
        running.wait_for(lambda: events(tmp_path)[-2:] == ["ended", "waiting"])
    assert outcomes(tmp_path) == ["pushed", "pushed"]
    assert events(tmp_path) == [
        "waiting",
        "started",
        "ended",
        "waiting",
        "scheduler stopped",
    ]


def test_nothing_is_made_up_for_before_the_first_cycle(tmp_path: Path) -> None:
    with Running(make(tmp_path, "sys.exit(0)"), tmp_path) as running:
        running.wait_for(lambda: (tmp_path / LOG_FILE).exists())
        line = scheduler.schedule_line(tmp_path)
    start = scheduler.next_start(Schedule("0 3 * * *"), scheduler.utc_now())
    assert line == f"schedule: 0 3 * * *, next run {start:%Y-%m-%d %H:%M} UTC"
    assert outcomes(tmp_path) == []


def test_starts_are_put_off_by_less_than_the_jitter(tmp_path: Path) -> None:
    now = at("2024-03-01 02:59")
    seen = set()
    for _ in range(20):
        runner = make(tmp_path, "", lambda: now, jitter_seconds=600)
        start = next(runner._starts())
        assert at("2024-03-01 03:00") <= start < at("2024-03-01 03:10")
        seen.add(start)
    assert len(seen) > 1


def test_another_cycle_at_work_is_waited_for(tmp_path: Path) -> None:
    """As when somebody retrains by hand as the clock strikes."""
    runner = make(tmp_path, "", retries=2)
    runner._command = [sys.executable, "-c", "raise SystemExit(75)"]
    with locked(str(tmp_path), "output"):
        assert runner.cycle() == 75
    assert events(tmp_path).count("again") == 2
    # Nothing has come of it for so long that somebody has to know.
    last = json.loads((tmp_path / LOG_FILE).read_text().splitlines()[-1])
    assert last["outcome"] == "failed"
    assert last["message"] == "no try could begin, see schedule/"


def test_there_is_no_try_after_the_time_limit(tmp_path: Path) -> None:
    knobs = {"time_limit_seconds": 30, "backoff_seconds": 60}
    assert make(tmp_path, "sys.exit(75)", **knobs).cycle() == 75
    assert events(tmp_path) == ["started", "ended"]


@pytest.mark.parametrize("what", ["start a process", "read the status"])
def test_what_fails_about_the_schedule_itself_is_told_and_does_not_end_it(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_cycle(tmp_path, days_ago=3)
    runner = make(tmp_path, "sys.exit(0)")
    if what == "start a process":
        runner._command = [str(tmp_path / "no-such-program")]
    else:
        starts = runner._starts()
        start = next(starts)
        later = start + datetime.timedelta(days=1)
        monkeypatch.setattr(runner, "_starts", lambda: iter([start, later]))
        (tmp_path / status.STATUS_FILE).write_text("rubbish")
    with Running(runner, tmp_path) as running:
        running.wait_for(lambda: events(tmp_path)[-2:] == ["cycle", "waiting"])
    told = [json.loads(t) for t in (tmp_path / LOG_FILE).read_text().splitlines()]
    [failed] = [event for event in told if event["event"] == "cycle"]
    assert failed["outcome"] == "failed"
    assert failed["message"].startswith("the scheduler: ")


@pytest.mark.parametrize("code", [1, 2, 127])
def test_what_fails_before_it_has_begun_is_reported(tmp_path: Path, code: int) -> None:
    runner = make(tmp_path, "")
    runner._command = [sys.executable, "-c", f"raise SystemExit({code})"]
    for number in (1, 2):
        assert runner.cycle() == code
        assert outcomes(tmp_path) == ["failed"] * number
    assert events(tmp_path) == ["started", "ended", "cycle"] * 2


def test_it_does_not_start_again_once_it_is_stopped(tmp_path: Path) -> None:
    runner = make(tmp_path, "sys.exit(75)", backoff_seconds=600)
    thread = threading.Thread(target=runner.cycle)
    thread.start()
    while "again" not in events(tmp_path):
        time.sleep(0.05)
    runner.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert events(tmp_path) == ["started", "ended", "again"]


def test_metrics_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = make(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    runner._channels = Channels("shop", tmp_path, None, tmp_path / "file" / "a.prom")
    assert runner.cycle() == -signal.SIGKILL
    assert events(tmp_path)[-2:] == ["cycle", "metrics failed"]


def test_the_next_run_is_told_in_utc(tmp_path: Path) -> None:
    zone = zoneinfo.ZoneInfo("Asia/Tokyo")
    with Running(make(tmp_path, "sys.exit(0)", timezone=zone), tmp_path) as running:
        running.wait_for(lambda: (tmp_path / LOG_FILE).exists())
        assert scheduler.schedule_line(tmp_path).endswith(" 18:00 UTC")


def test_it_is_stopped_in_the_middle_of_a_cycle(tmp_path: Path) -> None:
    last_cycle(tmp_path, days_ago=3)
    with Running(make(tmp_path, "time.sleep(600)"), tmp_path) as running:
        running.wait_for(lambda: outcomes(tmp_path) == ["pushed", "running"])
        assert scheduler.schedule_line(tmp_path) != ""
    assert outcomes(tmp_path) == ["pushed", "interrupted"]
    assert scheduler.schedule_line(tmp_path) == ""


def test_it_is_stopped_before_a_cycle_has_begun(tmp_path: Path) -> None:
    """As while it imports TensorFlow: there was no cycle that could have failed."""
    last_cycle(tmp_path, days_ago=3)
    runner = make(tmp_path, "")
    runner._command = ["sleep", "600"]
    with Running(runner, tmp_path) as running:
        running.wait_for(lambda: "started" in events(tmp_path))
    assert outcomes(tmp_path) == ["pushed"]
    ending = ["started", "interrupted", "ended", "scheduler stopped"]
    assert events(tmp_path)[-4:] == ending


def test_two_schedulers(tmp_path: Path) -> None:
    with Running(make(tmp_path, "sys.exit(0)"), tmp_path) as running:
        running.wait_for(lambda: (tmp_path / LOG_FILE).exists())
        with pytest.raises(LockedError, match=r"schedule .* another process"):
            make(tmp_path, "sys.exit(0)").run()
    # What a killed one leaves keeps nobody out.
    with Running(make(tmp_path, "sys.exit(0)"), tmp_path):
        pass


def test_a_scheduler_that_was_killed_is_not_said_to_wait(tmp_path: Path) -> None:
    folder = tmp_path / scheduler.FOLDER
    folder.mkdir()
    told = {"cron": "c", "next_run": "2024-03-01T03:00:00+00:00"}
    (folder / "next.json").write_text(json.dumps(told))
    assert scheduler.schedule_line(tmp_path) == ""
    with locked(str(folder), "schedule"):
        expected = "schedule: c, next run 2024-03-01 03:00 UTC"
        assert scheduler.schedule_line(tmp_path) == expected
        with locked(str(tmp_path), "output"):
            expected = "schedule: c, a cycle is at work"
            assert scheduler.schedule_line(tmp_path) == expected


def test_what_cycles_print_does_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_KEPT_LOGS", 3)
    seconds = iter(range(1000))
    begin = at("2024-03-01 03:00")

    def clock() -> datetime.datetime:
        return begin + datetime.timedelta(seconds=next(seconds))

    for _ in range(5):
        make(tmp_path, "sys.exit(0)", clock).cycle()
    assert len(list((tmp_path / scheduler.FOLDER).glob("*.log"))) == 3


def test_signals_end_it_in_order(tmp_path: Path) -> None:
    """As systemd and Kubernetes stop it."""
    command = [
        *(sys.executable, "-m", "pipeline.cli", "schedule"),
        *("--config", str(ROOT / "configs" / "sample.pbtxt")),
        *("--data", str(ROOT / "data" / "sample"), "--output", str(tmp_path)),
        *("--cron", "0 3 1 1 *"),
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "waiting"
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait() == 0
        assert json.loads(rest)["event"] == "scheduler stopped"
