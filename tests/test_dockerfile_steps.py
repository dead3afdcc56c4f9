"""The Dockerfile's steps without Docker; `make test-debian13 ARGS=image-steps` does it.

Here stages are made in a folder, with commands that do no harm.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import dockerfile_steps
from scripts.dockerfile_steps import DOCKERFILE, Stage, instructions
from tests.checkout import ROOT

TEXT = """
# A comment.
FROM python AS build
RUN first \\
 && second \\
    # in between
    third
ENV A=1 \\
    B=$A/2
"""


def test_instructions_are_on_one_line() -> None:
    assert list(instructions(TEXT)) == [
        ("FROM", "python AS build"),
        ("RUN", "first && second third"),
        ("ENV", "A=1 B=$A/2"),
    ]


def test_all_of_ours_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Stage, "run", lambda self, command: ran.append(command[-1]))
    monkeypatch.setattr(Stage, "_copy", lambda self, words: None)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    stage = Stage()
    for name, rest in instructions(DOCKERFILE.read_text()):
        if name != "FROM":
            stage.take(name, rest)
    assert [command.split()[0] for command in ran] == ["pip", "uv", "useradd"]
    assert stage.user == 10001
    assert stage.variables["PATH"].startswith("/opt/pocketrec/bin:/opt/base-python/bin")
    with pytest.raises(ValueError, match="HEALTHCHECK is not known here"):
        stage.take("HEALTHCHECK", "NONE")


def test_steps_are_taken_in_the_stage(tmp_path: Path) -> None:
    stage = Stage()
    stage.take("WORKDIR", str(tmp_path / "src"))
    stage.take("COPY", "LICENSE README.md ./")
    stage.take("COPY", "configs/beam options")
    stage.take("COPY", "--from=other /opt /opt")
    stage.take("ENV", "NAME=me WHERE=$NAME/here")
    stage.take("RUN", 'echo "$WHERE" > "$PWD/said"')
    made = tmp_path / "src"
    assert (made / "said").read_text() == "me/here\n"
    assert (made / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (made / "options" / "flink.txt").exists()
    with pytest.raises(SystemExit, match="exit code 7: /bin/sh -c 'exit 7'"):
        stage.take("RUN", "exit 7")
    assert Stage(stage).variables == stage.variables


def test_it_does_nothing_outside_of_a_root_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, dockerfile_steps.__file__, "pipeline"],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Run it in a root of its own" in done.stderr
