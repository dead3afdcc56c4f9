"""The converter's failures reach the user as one error with its log kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.tflite_converter import convert
from configs import recommender_pb2 as pb


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, timeout: float = 60
) -> str:
    """Runs `program` in the converter's place; returns the error's text."""
    (tmp_path / "python").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(convert.ConversionError) as error:
        convert.convert(
            tmp_path / "model",
            tmp_path / "model.tflite",
            pb.FLOAT32,
            tmp_path / "conversion.log",
            timeout,
        )
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_abort_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run(tmp_path, monkeypatch, "echo 'bad operator' >&2; kill -ABRT $$")
    assert "ended by signal 6" in text
    assert "bad operator" in text
    assert "bad operator" in (tmp_path / "conversion.log").read_text()


def test_an_exit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run(tmp_path, monkeypatch, "echo first; echo last; exit 3")
    assert "exited with 3" in text
    assert "first | last" in text


@pytest.mark.parametrize("script", ["exit 0", 'for last; do :; done; : > "$5"'])
def test_no_model_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    text = run(tmp_path, monkeypatch, script)
    assert "wrote nothing: it said nothing" in text


def test_a_time_limit_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the user's to mend."""
    text = run(tmp_path, monkeypatch, "exec sleep 600", timeout=0.2)
    assert text.startswith("push.conversion_timeout_seconds: ")
    assert "longer than 0.2 s" in text


def test_a_model_that_is_missing_is_an_error_of_the_real_converter(
    tmp_path: Path,
) -> None:
    with pytest.raises(convert.ConversionError, match="exited with 1"):
        convert.convert(
            tmp_path / "absent",
            tmp_path / "model.tflite",
            pb.FLOAT16,
            tmp_path / "conversion.log",
            120,
        )
    assert not (tmp_path / "model.tflite").exists()
