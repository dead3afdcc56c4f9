"""What the Kubeflow commands say where kfp is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from configs.errors import UserError
from pipeline.cli import main
from pipeline.kubeflow_commands import require_kfp


@pytest.mark.parametrize(
    ("python", "parts"),
    [
        ((3, 10, 13), ('pip install "pocketrec[kfp]"',)),
        ((3, 11, 7), ('pip install "pocketrec[kfp]"',)),
        ((3, 12, 1), ("This is Python 3.12", "Python 3.11 alone", "PYTHON=3.11")),
        ((3, 13, 0), ("This is Python 3.13", "Python 3.11 alone", "PYTHON=3.11")),
    ],
)
def test_how_to_get_it(python: tuple[int, ...], parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as error:
        require_kfp(python, "no_such_package")
    assert all(part in str(error.value) for part in parts), error.value
    assert "\n" not in str(error.value)


def test_help_needs_no_kfp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["kubeflow", "compile", "--help"])
    assert (done.exit_code, "--pipeline-root" in done.output) == (0, True)


def test_a_command_without_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    options = {
        "--config": "configs/sample.pbtxt",
        "--data": "gs://recommender/data",
        "--pipeline-root": "gs://recommender/runs",
        "--push-destination": "gs://recommender/push",
        "--image": "pocketrec",
        "--output": str(tmp_path / "pipeline.yaml"),
    }
    flat = [text for option in options.items() for text in option]
    done = CliRunner().invoke(main, ["kubeflow", "compile", *flat])
    assert done.exit_code == 1
    [line] = done.output.splitlines()
    assert line.startswith("Error: kfp, Kubeflow's compiler, is not installed. ")
    assert not list(tmp_path.iterdir())
