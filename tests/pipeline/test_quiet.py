"""What the terminal shows of the logs: ours, and errors that nobody raises."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from pipeline.quiet import quiet

ROOT = Path(__file__).parents[2]

LOGS = """
import logging, sys, warnings
from pipeline.quiet import quiet
with quiet():
    name, level = sys.argv[1:]
    logging.getLogger(name).log(int(level), "shown")
    warnings.warn("a warning")
"""
WARNS = """
import sys, warnings
from pipeline.quiet import quiet
with quiet():
    warnings.warn_explicit("no", DeprecationWarning, "file.py", 6, module=sys.argv[1])
    warnings.warn_explicit("shown", UserWarning, "file.py", 7, module=sys.argv[1])
"""
WRITES = """
import os, subprocess, sys
from pipeline.quiet import quiet
with quiet():
    text = sys.stdin.read()
    os.write(2, text.encode())
    subprocess.run(["sh", "-c", "cat >&2"], input=text.encode())
os.write(2, text.encode())
"""
CRASHES = """
import os
from pipeline.quiet import quiet
with quiet():
    os.write(2, b"F0000 00:00:1795588791.7 10 core.cc:1] last words\\n")
    os.abort()
"""
# Each as TensorFlow 2.16 or 2.21 and LiteRT print it.
NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to "
    "STDERR",
    "I0000 00:00:1795588791.772961      10 port.cc:153] oneDNN custom operations are",
    "W0000 00:00:1795588791.772961      10 gpu_device.cc:2342] Cannot dlopen some GPU "
    "libraries.",
    "E0000 00:00:1795588791.772961      10 cuda_dnn.cc:8579] Unable to register cuDNN "
    "factory: Attempting to register factory for plugin cuDNN when one has already",
    "2026-11-25 06:47:39.666640: I external/local_tsl/tsl/cuda/cudart_stub.cc:32] "
    "Could not find cuda drivers on your machine, GPU will not be used.",
    "2026-11-25 06:47:40.962342: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:"
    "38] TF-TRT Warning: Could not find TensorRT",
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "E0000 00:00:1795600295.247485      73 cuda_platform.cc:52] failed call to cuInit: "
    "INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)",
    "2026-11-25 06:47:39.685666: E external/local_xla/xla/stream_executor/cuda/"
    "cuda_fft.cc:479] Unable to register cuFFT factory: Attempting to register",
    "2026-11-25 15:56:29.372877: E tensorflow/core/util/util.cc:131] oneDNN supports "
    "DT_INT32 only on platforms with AVX-512. Falling back to the default Eigen-based",
)
NEWS = (
    "E0000 00:00:1795588791.772961      10 node_def_util.cc:675] NodeDef mentions what",
    "2026-11-25 06:47:39.666640: E tensorflow/core/framework/op.cc:1] no such op",
    "ERROR: Node number 3 (FlexErf) failed to prepare.",
    "WARNING components.trainer: loss is not finite",
    "Traceback (most recent call last):",
    "naïve café \xff",
)


def program(text: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", text, *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("components.trainer", logging.WARNING, True),
        ("pipeline.local_runner", logging.ERROR, True),
        ("components.trainer", logging.INFO, False),
        ("tensorflow", logging.WARNING, False),
        ("tensorflow", logging.ERROR, True),
        ("absl", logging.ERROR, False),
        ("apache_beam.runners.common", logging.ERROR, False),
        ("apache_beam.runners.common", logging.CRITICAL, True),
        ("apache_beamer", logging.ERROR, True),
    ],
)
def test_what_is_shown(name: str, level: int, shown: bool) -> None:
    done = program(LOGS, name, str(level))
    expected = f"{logging.getLevelName(level)} {name}: shown\n" if shown else ""
    assert (done.returncode, done.stdout, done.stderr) == (0, "", expected)


@pytest.mark.parametrize(
    ("module", "shown"),
    [
        ("components.trainer.losses", True),
        ("data", True),
        ("google.api_core", False),
        ("database", False),
    ],
)
def test_warnings_of_our_own_are_shown(module: str, shown: bool) -> None:
    done = program(WARNS, module)
    expected = "file.py:7: UserWarning: shown\n" if shown else ""
    assert (done.returncode, done.stderr) == (0, expected)


def test_what_native_code_writes_is_shown_but_for_known_noise() -> None:
    """From this process and its children, and everything again afterwards."""
    lines = [line for pair in zip(NEWS, NOISE, strict=False) for line in pair]
    lines += NOISE[len(NEWS) :]
    text = "".join(f"{line}\n" for line in lines)
    done = program(WRITES, stdin=text)
    news = "".join(f"{line}\n" for line in NEWS)
    assert (done.returncode, done.stderr) == (0, news + news + text)


def test_last_words_of_a_crash_are_shown() -> None:
    done = program(CRASHES)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr == "F0000 00:00:1795588791.7 10 core.cc:1] last words\n"


def test_nothing_is_lost_where_there_is_no_grep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    done = program(
        "from pipeline.quiet import quiet\nwith quiet(): import nothing_here"
    )
    assert "ModuleNotFoundError" in done.stderr


def test_quiet_leaves_nothing_behind(tmp_path: Path) -> None:
    before = (logging.getLogger().handlers[:], warnings.filters[:], os.fstat(2))
    with quiet():
        assert os.fstat(2) != before[2]
    assert (logging.getLogger().handlers, warnings.filters, os.fstat(2)) == before
