"""How the commands end; what they do is told by the tests of whole runs."""

from __future__ import annotations

import dataclasses
import errno
import http.client
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
import tensorflow as tf
from click.testing import CliRunner, Result

from components.lock import LockedError, locked
from configs.errors import UserError
from pipeline import local_runner
from pipeline.cli import main
from pipeline.retraining import cycle, housekeeping, reporting, scheduler, status
from pipeline.retraining.cycle import is_passing
from pipeline.retraining.status import Cycle
from tests.checkout import ROOT
from tests.components.tflite_pusher.conftest import bundle

CONFIG = ROOT / "configs" / "sample.pbtxt"
SAMPLE = ROOT / "data" / "sample"
GATES = {"tflite": [{"metric": "hr_10_test", "slice": "", "value": 0.25}]}


def call(output: Path, *arguments: str, command: str = "retrain") -> Result:
    options = ["--config", str(CONFIG), "--data", str(SAMPLE), "--output", str(output)]
    return CliRunner().invoke(main, [command, *options, *arguments])


def raising(error: BaseException) -> Any:
    def run(*_: object, **__: object) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "outcome", "message"),
    [
        (
            UserError("Trainer: the loss is nan"),
            1,
            "failed",
            "Trainer: the loss is nan",
        ),
        (ValueError("a bug"), 1, "failed", "ValueError: a bug"),
        (OSError(errno.ENOSPC, "No space left"), 1, "failed", "OSError: [Errno 28] No"),
        (OSError(errno.ESTALE, "Stale handle"), 75, "failed", "OSError: [Errno 116] S"),
        (tf.errors.UnavailableError(None, None, "gone"), 75, "failed", "Unavailable"),
        (KeyboardInterrupt(), 1, "interrupted", "it was told to stop"),
        (SystemExit(143), 143, "interrupted", "it was told to stop"),
    ],
)
def test_a_cycle_that_fails(
    error: BaseException,
    code: int,
    outcome: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_runner, "run", raising(error))
    done = call(tmp_path)
    assert done.exit_code == code, done.output
    [failed] = status.read(tmp_path).cycles
    assert failed.outcome == outcome
    assert failed.message.startswith(message)
    assert failed.ended
    [line] = (tmp_path / reporting.LOG_FILE).read_text().splitlines()
    assert json.loads(line)["outcome"] == outcome
    # The next one is not kept from its work, and knows that this was not done.
    monkeypatch.setattr(local_runner, "run", raising(UserError("again")))
    assert call(tmp_path).exit_code == 1
    assert len(status.read(tmp_path).cycles) == 2


def ended(outcome: str) -> Cycle:
    now = status.now()
    return Cycle(now, outcome, ended=now, message="why")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (status.PUSHED, 0),
        (status.UNCHANGED, 0),
        (status.NOTHING_NEW, 0),
        (status.SKIPPED, 0),
        (status.REFUSED, 3),
    ],
)
def test_exit_codes(
    outcome: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle, "retrain", lambda *_: ended(outcome))
    assert call(tmp_path).exit_code == code


def test_the_webhook_is_no_argument_of_a_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody on the machine may see those."""
    started: list[tuple[list[str], str]] = []

    class Scheduler(scheduler.Scheduler):
        def run(self) -> None:
            started.append((self._command, os.environ["POCKETREC_WEBHOOK"]))

    # Both are set by the command, for its process.
    monkeypatch.setenv("POCKETREC_WEBHOOK", "https://other.example")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(scheduler, "Scheduler", Scheduler)
    url = "https://alarm.example/secret"
    options = ("--cron", "0 3 * * *", "--webhook", url)
    done = call(tmp_path / "output", *options, command="schedule")
    assert done.exit_code == 0, done.output
    [(command, variable)] = started
    assert url not in command
    assert variable == url


def test_another_cycle_is_at_work(tmp_path: Path) -> None:
    with locked(str(tmp_path), "output"):
        done = call(tmp_path)
    assert done.exit_code == 75
    assert "another process is changing it" in done.output
    assert not (tmp_path / status.STATUS_FILE).exists()


def test_what_has_been_done_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_runner, "run", raising(AssertionError("it ran")))
    request = cycle.Request(
        config=cycle.pb.RecommenderConfig(),
        data=SAMPLE,
        output=tmp_path,
        push_destination=str(tmp_path / "push"),
    )
    from configs.loader import load_config

    request = dataclasses.replace(request, config=load_config(CONFIG))
    key = cycle.look(request).key
    done = dataclasses.replace(ended(status.REFUSED), key=key)
    status.write(tmp_path, status.Status((done,)))
    for _ in range(2):
        result = call(tmp_path)
        assert result.exit_code == 0, result.output
        assert "Nothing new: the last cycle had the same data" in result.output
    assert [c.outcome for c in status.read(tmp_path).cycles] == [
        "refused",
        "nothing new",
    ]
    # Another configuration, or another way to begin, is something new.
    for change in (["--set", "train.seed=2"], ["--from-scratch"]):
        assert "AssertionError" in repr(call(tmp_path, *change).exception)


@pytest.mark.parametrize("how", ["it is stopped", "it is killed", "it fails"])
@pytest.mark.parametrize("before", [None, 1])
def test_what_was_pushed_before_a_cycle_was_cut_short_is_not_trained_again(
    how: str, before: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = tmp_path / "push"

    def push_version(version: int) -> None:
        bundle(push / "versions" / str(version) / "bundle", gates=GATES)
        (push / "CURRENT").write_text(f"{version}\n")

    def run(*_: object, **__: object) -> None:
        push_version((before or 0) + 1)
        raise SystemExit(143) if how == "it is stopped" else ValueError("a bug")

    if before:
        push_version(before)
    monkeypatch.setattr(local_runner, "check", lambda *_: None)
    monkeypatch.setattr(local_runner, "run", run)
    options = ("--set", "train.seed=2", "--push-destination", str(push))
    if before:
        # Another cycle has come to a result since the first version.
        done = dataclasses.replace(ended(status.REFUSED), key="another")
        status.write(tmp_path, status.Status((done,)))
    assert call(tmp_path, *options).exit_code != 0
    if how == "it is killed":
        found = status.read(tmp_path)
        last = dataclasses.replace(found.cycles[-1], outcome="running", ended="")
        cycles = (*found.cycles[:-1], last)
        status.write(tmp_path, status.Status(cycles))

    assert "Nothing new" in call(tmp_path, *options, "--dry-run").output
    again = call(tmp_path, *options)
    assert again.exit_code == 0, again.output
    assert "Nothing new" in again.output
    *_, pushed, last = status.read(tmp_path).cycles
    assert (pushed.outcome, pushed.version) == ("pushed", (before or 0) + 1)
    assert (pushed.metric, pushed.value) == ("hr_10_test", 0.25)
    assert last.outcome == "nothing new"
    totals = {name: n for name, n in status.read(tmp_path).totals.items() if n}
    assert totals == {"pushed": 1, "nothing new": 1}


def test_the_model_of_a_cycle_that_failed_before_it_pushed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = tmp_path / "push"
    bundle(push / "versions" / "1" / "bundle", gates=GATES)
    (push / "CURRENT").write_text("1\n")
    monkeypatch.setattr(local_runner, "check", lambda *_: None)
    for _ in range(2):
        monkeypatch.setattr(local_runner, "run", raising(UserError("no")))
        failed = call(tmp_path, "--from-scratch", "--push-destination", str(push))
        assert failed.exit_code == 1, failed.output
    assert [c.outcome for c in status.read(tmp_path).cycles] == ["failed", "failed"]


def test_a_destination_that_was_removed_is_filled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the last cycle came to."""
    monkeypatch.setattr(local_runner, "run", raising(AssertionError("it ran")))
    call(tmp_path)
    [failed] = status.read(tmp_path).cycles
    pushed = dataclasses.replace(failed, outcome=status.PUSHED, version=1)
    refused = dataclasses.replace(failed, outcome=status.REFUSED)
    status.write(tmp_path, status.Status((refused,)))
    assert "Nothing new" in call(tmp_path, "--dry-run").output
    status.write(tmp_path, status.Status((pushed, refused)))
    assert "Training begins from scratch" in call(tmp_path, "--dry-run").output


def test_a_full_disk_can_free_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = []
    monkeypatch.setattr(housekeeping, "prune", lambda *_: pruned.append(1) or [])
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(status, "write", raising(full))
    assert call(tmp_path).exit_code == 1
    assert pruned == [1]


def test_a_signal_is_heard_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports take half a minute."""
    from configs import loader

    heard: list[object] = []

    def load_config(*_: object) -> None:
        heard.append(signal.getsignal(signal.SIGTERM))
        raise UserError("enough")

    monkeypatch.setattr(loader, "load_config", load_config)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        call(tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard != [signal.SIG_DFL]


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "output"
    done = call(output, "--dry-run")
    assert done.exit_code == 0, done.output
    assert done.output == "Training begins from scratch\n"
    assert not output.exists()


def test_guards_skip_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data.daily import cut, read_ratings, write_day

    monkeypatch.setattr(local_runner, "run", raising(AssertionError("it ran")))
    days = cut(read_ratings(SAMPLE), 8)
    few = days[1].take(days[1].user < 20)
    for index, ratings in enumerate((days[0], few)):
        write_day(SAMPLE, tmp_path / "data", index, ratings)
    arguments = [
        *("retrain", "--config", str(ROOT / "configs" / "sample_daily.pbtxt")),
        *("--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")),
    ]
    skipped = CliRunner().invoke(main, arguments)
    assert skipped.exit_code == 0, skipped.output
    stop = ["--set", "retrain.guards.0.action=STOP"]
    stopped = CliRunner().invoke(main, [*arguments, *stop])
    assert stopped.exit_code == 1
    assert "stopped before training: row_count_ratio 0.0" in stopped.output
    warned = CliRunner().invoke(
        main, [*arguments, "--set", "retrain.guards.0.action=WARN"]
    )
    assert "AssertionError" in repr(warned.exception)
    first, second, _ = status.read(tmp_path / "output").cycles
    assert (first.outcome, first.span) == ("skipped", "2024-03-02 (19784)")
    assert first.message.startswith("row_count_ratio 0.0")
    assert second.outcome == "failed"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--cron", "0 3 * *"], "--cron: '0 3 * *' is not allowed"),
        (
            ["--cron", "0 3 * * *", "--timezone", "Mars/Base"],
            "'Mars/Base' is not known",
        ),
        (["--cron", "0 3 * * *", "--set", "train.seed=x"], "train.seed"),
    ],
)
def test_a_schedule_is_checked_as_it_begins(
    arguments: list[str], part: str, tmp_path: Path
) -> None:
    done = call(tmp_path / "output", *arguments, command="schedule")
    assert done.exit_code == 1
    assert part in done.output
    assert not (tmp_path / "output").exists()


def test_status(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["status", str(tmp_path)])
    assert (shown.exit_code, shown.output) == (0, "no cycle yet\n")
    status.write(tmp_path, status.Status((ended(status.REFUSED),)))
    shown = CliRunner().invoke(main, ["status", str(tmp_path)])
    assert shown.output.splitlines()[-1] == "    why"
    push = tmp_path / "push"
    for text, told in ((None, "none"), ("2\n", "2"), ("9\n", "broken: ")):
        if text is not None:
            (push / "versions" / "2" / "bundle").mkdir(parents=True, exist_ok=True)
            (push / "versions" / "2" / "bundle" / "manifest.json").write_text("{}")
            (push / "CURRENT").write_text(text)
        found = status.Status((ended(status.PUSHED),), push_destination=str(push))
        status.write(tmp_path, found)
        shown = CliRunner().invoke(main, ["status", str(tmp_path)])
        last = shown.output.splitlines()[-1]
        assert last.startswith(f"current version: {told}"), shown.output
    missing = CliRunner().invoke(main, ["status", str(tmp_path / "no")])
    assert missing.exit_code == 1
    assert "does not exist, expected a folder" in missing.output


def test_what_may_pass() -> None:
    for passing in (
        LockedError("busy"),
        TimeoutError("timed out"),
        http.client.RemoteDisconnected("closed"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        requests.ConnectionError(),
        requests.ReadTimeout(),
    ):
        assert is_passing(passing)
    try:
        raise UserError("cannot be written") from OSError(errno.ETIMEDOUT, "timed out")
    except UserError as error:
        assert is_passing(error)
    try:
        try:
            raise OSError(errno.EIO, "broken")
        except OSError:
            # Whose cause was judged to be none.
            raise UserError("bad input") from None
    except UserError as error:
        assert not is_passing(error)
    assert not is_passing(UserError("bad input"))
    assert not is_passing(socket.gaierror(socket.EAI_NONAME, "Name not known"))
    assert not is_passing(OSError(errno.EACCES, "denied"))
    assert not is_passing(None)
