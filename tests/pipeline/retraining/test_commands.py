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
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.lock import LockedError, locked
from components.tflite_pusher.executor import NOT_BLESSED, OUTCOME, PUSHED, VERSION
from configs.errors import UserError
from pipeline import local_runner
from pipeline.cli import main
from pipeline.paths import ARTIFACTS, METADATA
from pipeline.retraining import cycle, housekeeping, reporting, scheduler, status
from pipeline.retraining.cycle import is_passing
from pipeline.retraining.status import Cycle
from tests.checkout import ROOT
from tests.components.tflite_pusher.conftest import bundle

CONFIG = ROOT / "configs" / "sample.pbtxt"
SAMPLE = ROOT / "data" / "sample"


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


class PusherStore:
    """ML Metadata of an output folder, as TFX leaves it after a push."""

    def __init__(self, output: Path) -> None:
        (output / ARTIFACTS).mkdir(exist_ok=True)
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(output / METADATA)
        config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
        self._store = metadata_store.MetadataStore(config)

    def add(self, pipeline: str, outcome: str, version: int) -> None:
        store = self._store
        contexts = []
        for kind, name in (("node", f"{pipeline}.TFLitePusher"), ("pipeline_run", "a")):
            number = store.put_context_type(mlmd.ContextType(name=kind))
            contexts += store.put_contexts([mlmd.Context(type_id=number, name=name)])
        kind = store.put_execution_type(mlmd.ExecutionType(name="TFLitePusher"))
        done = mlmd.Execution.COMPLETE
        execution = mlmd.Execution(type_id=kind, last_known_state=done)
        [number] = store.put_executions([execution])
        kind = store.put_artifact_type(mlmd.ArtifactType(name="PushedModel"))
        artifact = mlmd.Artifact(type_id=kind, uri="pushed")
        artifact.custom_properties[OUTCOME].string_value = outcome
        artifact.custom_properties[VERSION].int_value = version
        [artifact.id] = store.put_artifacts([artifact])
        event = mlmd.Event(
            artifact_id=artifact.id, execution_id=number, type=mlmd.Event.OUTPUT
        )
        event.path.steps.add().key = "pushed_model"
        store.put_events([event])
        store.put_attributions_and_associations(
            [mlmd.Attribution(artifact_id=artifact.id, context_id=c) for c in contexts],
            [mlmd.Association(execution_id=number, context_id=c) for c in contexts],
        )


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
@pytest.mark.parametrize("between", [False, True])
def test_what_was_pushed_before_a_cycle_was_cut_short_is_not_trained_again(
    how: str, between: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = tmp_path / "push"
    store = PusherStore(tmp_path)

    def run(*_: object, **__: object) -> None:
        bundle(push / "versions" / "2" / "bundle")
        (push / "CURRENT").write_text("2\n")
        store.add("sample", PUSHED, 2)
        raise SystemExit(143) if how == "it is stopped" else ValueError("a bug")

    monkeypatch.setattr(local_runner, "check", lambda *_: None)
    monkeypatch.setattr(local_runner, "run", run)
    # Another cycle has come to a result before.
    done = dataclasses.replace(ended(status.REFUSED), key="another")
    status.write(tmp_path, status.Status((done,)))
    assert call(tmp_path).exit_code != 0
    [_, last] = status.read(tmp_path).cycles
    if how == "it is killed":
        last = dataclasses.replace(last, outcome="running", ended="", message="")
        status.write(tmp_path, status.Status((done, last)))
    if between:
        # A try that did not come so far as to look at the data.
        found = status.read(tmp_path).cycles
        status.write(tmp_path, status.Status((*found, ended(status.FAILED))))

    assert "Nothing new" in call(tmp_path, "--dry-run").output
    again = call(tmp_path)
    assert again.exit_code == 0, again.output
    assert "Nothing new" in again.output
    cycles = status.read(tmp_path).cycles
    [pushed] = [one for one in cycles if one.key == last.key and one.version]
    assert (pushed.outcome, pushed.version) == ("pushed", 2)
    assert pushed.message.startswith("cut short after it had pushed")
    assert cycles[-1].outcome == "nothing new"
    assert status.read(tmp_path).totals["pushed"] == 1


@pytest.mark.parametrize(
    "who", ["nobody", "another pipeline", "a run since", "refused"]
)
def test_a_cycle_that_failed_before_it_pushed_is_made_again(
    who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = tmp_path / "push"
    monkeypatch.setattr(local_runner, "check", lambda *_: None)
    monkeypatch.setattr(local_runner, "run", raising(UserError("no")))
    assert call(tmp_path).exit_code == 1
    if who != "nobody":
        bundle(push / "versions" / "1" / "bundle")
        (push / "CURRENT").write_text("1\n")
        store = PusherStore(tmp_path)
        name = "other" if who == "another pipeline" else "sample"
        outcome = NOT_BLESSED if who == "refused" else PUSHED
        if who == "a run since":
            [failed] = status.read(tmp_path).cycles
            early = "2020-01-01T03:00:00+00:00"
            long_ago = dataclasses.replace(failed, started=early, ended=early)
            status.write(tmp_path, status.Status((long_ago,)))
        store.add(name, outcome, 1)
    assert "Nothing new" not in call(tmp_path, "--dry-run").output
    assert call(tmp_path).exit_code == 1
    assert [c.outcome for c in status.read(tmp_path).cycles] == ["failed", "failed"]


def test_a_refused_model_ends_it_where_nothing_is_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every cycle would train the same again."""
    monkeypatch.setattr(local_runner, "run", raising(AssertionError("it ran")))
    call(tmp_path)
    [failed] = status.read(tmp_path).cycles
    pushed = dataclasses.replace(failed, outcome=status.PUSHED, version=1, key="b")
    refused = dataclasses.replace(failed, outcome=status.REFUSED)
    status.write(tmp_path, status.Status((pushed, refused)))
    assert "Nothing new" in call(tmp_path, "--dry-run").output


def test_a_destination_that_was_removed_is_filled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the last cycle came to."""
    monkeypatch.setattr(local_runner, "run", raising(AssertionError("it ran")))
    call(tmp_path)
    [failed] = status.read(tmp_path).cycles
    pushed = dataclasses.replace(failed, outcome=status.PUSHED, version=1)
    refused = dataclasses.replace(failed, outcome=status.REFUSED, replaces=1)
    for done in (pushed, refused):
        status.write(tmp_path, status.Status((done,)))
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
    [handler] = heard
    assert callable(handler)
    with pytest.raises(SystemExit, match="143"):
        handler()


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
    assert not is_passing(requests.exceptions.SSLError("certificate has expired"))
    assert not is_passing(socket.gaierror(socket.EAI_NONAME, "Name not known"))
    assert not is_passing(OSError(errno.EACCES, "denied"))
    assert not is_passing(None)
