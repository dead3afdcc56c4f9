"""Measuring a call in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.measure import measure

WORK = """
import subprocess, sys, time

time.sleep(0.2)

HOLD = "x = bytearray(b'1') * (200 * 2**20); import time; time.sleep(0.5)"

def prepare(seconds, mebibytes):
    def call():
        end = time.process_time() + seconds
        held = bytearray(b"1") * (mebibytes * 2**20)
        while time.process_time() < end:
            pass
        return len(held)
    print("not a result")
    return call

def prepare_child():
    return lambda: subprocess.run([sys.executable, "-c", HOLD]).returncode

def prepare_failure():
    raise ValueError("no such thing")
"""


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "measured_work.py").write_text(WORK)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def test_time_and_memory_of_a_call() -> None:
    usage = measure("measured_work:prepare", 0.3, 100)
    assert usage.result == 100 * 2**20
    assert usage.startup_seconds >= 0.2
    assert 0.25 <= usage.cpu_seconds <= usage.seconds + 0.1
    assert 100 * 2**20 < usage.peak_bytes < 200 * 2**20


def test_memory_of_child_processes_counts() -> None:
    usage = measure("measured_work:prepare_child")
    assert usage.result == 0
    assert usage.peak_bytes > 200 * 2**20


def test_a_failure_is_told_with_its_reason() -> None:
    with pytest.raises(RuntimeError, match=r"exit code 1(.|\n)*no such thing"):
        measure("measured_work:prepare_failure")
