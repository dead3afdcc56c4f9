"""The command line explains itself, and does not make the reader wait for TFX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main

COMMANDS = (
    "run",
    "examples",
    "train",
    "export",
    "recommend",
    "retrain",
    "schedule",
    "status",
    "versions",
    "rollback",
    "inspect-bundle",
    "validate-config",
    "download",
    "experiment",
    "graph",
    "kubeflow",
)
HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "tensorflow_transform", "numpy"}
ROOT = Path(__file__).parents[2]


def test_these_are_all_commands() -> None:
    assert set(main.commands) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples(command: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert f"pocketrec {command} " in shown.output.split("Options:")[0].replace(
        f"Usage: main {command}", ""
    )
    for parameter in main.commands[command].params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name


def test_the_groups_help_names_every_command_and_a_first_run() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in shown.output
    example = "pocketrec run --config configs/sample.pbtxt --data data/sample"
    assert example in shown.output


def imported(*arguments: str) -> tuple[int, set[str]]:
    """Exit code of a command in a fresh process, and the heavy modules it imported."""
    program = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        f"finally: print('\\n', *({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'device'}", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    return done.returncode, set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        *((command, "--help") for command in COMMANDS),
        ("validate-config", "configs/sample.pbtxt"),
        ("validate-config", "--explain"),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) == (0, set())


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--config", "absent.pbtxt", "--data", "data/sample"),
        ("run", "--config", "configs/sample.pbtxt", "--data", "absent"),
        (
            *("run", "--config", "configs/sample.pbtxt", "--data", "data/sample"),
            *("--output", "setup.py"),
        ),
        (
            *("train", "--config", "configs/sample.pbtxt", "--examples", "data/sample"),
            *("--output", "setup.py/training"),
        ),
        (
            *("export", "--config", "configs/sample.pbtxt", "--output", "absent"),
            *("--examples", "data", "--training", "data", "--checkpoint", "absent"),
        ),
        ("experiment", "absent.pbtxt", "--data", "data/sample"),
        ("experiment", "configs/experiments/encoders.pbtxt", "--data", "absent"),
        ("graph", "--config", "configs/sample.pbtxt", "--output", "data"),
        ("graph", "--config", "configs/sample.pbtxt", "--output", "setup.py/a.png"),
    ],
    ids=[
        "config",
        "data",
        "output",
        "output in a file",
        "checkpoint",
        "grid",
        "data of a grid",
        "picture of another format",
        "picture in a file",
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_imported(
    arguments: tuple[str, ...],
) -> None:
    assert imported(*arguments) == (1, set())
