"""`pocketrec versions` and `pocketrec rollback`, at a destination with two versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.tflite_pusher import push, rollback
from pipeline.cli import main
from tests.components.tflite_pusher.conftest import bundle, make_training


@pytest.fixture
def destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # The bundles have no model that runs.
    monkeypatch.setattr(rollback, "check_answers", lambda bundle: None)
    training = make_training(tmp_path)
    folder = tmp_path / "runs" / "mine" / "push"
    for version in (1, 2):
        source = bundle(tmp_path / f"bundle-{version}", b"%d" % version)
        push.push(str(folder), version, source, training)
    return folder


def pocketrec(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--verbose"])


def test_back_and_the_story_of_it(destination: Path) -> None:
    done = pocketrec("rollback")
    assert done.exit_code == 0, done.output
    assert "version 1 is current, in place of 2" in done.output
    shown = pocketrec("versions", "--log").output.splitlines()
    assert [line.split()[-1] for line in shown[1:3]] == ["current", "back"]
    assert shown[-1].endswith("version 1 made current again in place of 2")


@pytest.mark.parametrize("command", ["versions", "rollback"])
def test_the_destination_must_be_clear(destination: Path, command: str) -> None:
    other = destination.parents[1] / "other" / "push"
    push.push(str(other), 1, bundle(destination.parents[2] / "other"), {})
    refused = pocketrec(command)
    assert refused.exit_code == 1
    assert "runs/mine/push, runs/other/push" in refused.output
    chosen = pocketrec(command, "--push-destination", str(destination))
    assert chosen.exit_code == 0, chosen.output


def test_nothing_pushed_is_told(tmp_path: Path) -> None:
    for command in ("versions", "rollback"):
        refused = pocketrec(command, "--push-destination", str(tmp_path))
        assert refused.exit_code == 1
        assert "nothing is pushed there" in refused.output
