"""Runs the command line as a user does."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"


# For `tiny_data`: two kinds of features, two encoders, quickly trained.
TINY_CONFIG = """
name: "tiny"
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 8 feature_length: 6 }
    features { feature_name: "context_movie_rating" feature_type: FLOAT
               feature_length: 6 scaling: Z_SCORE }
    encoder_type: BOW
  }
  activity_feature_groups {
    features { feature_name: "context_movie_genre" embedding_dim: 4
               feature_length: 12 }
    encoder_type: CNN
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 8 }
}
model { hidden_layer_dims: 16 num_predictions: 20 seen: TIMELINE }
train { num_epochs: 2 batch_size: 64 learning_rate: 0.01 }
eval {
  bounds { metric: "hr_10_test" lower_bound: 0.001 }
  # Hardly trained, it recommends few.
  bounds { metric: "distinct_items" lower_bound: 1 }
  bounds { metric: "first_item_share" upper_bound: 1 }
}
"""


@dataclass(frozen=True)
class Command:
    """What a command of `pocketrec` printed and how it ended."""

    code: int
    out: str
    err: str


def pocketrec(
    *arguments: str | Path,
    cwd: Path | None = None,
    afresh: bool = False,
    fault: Callable[[], None] | None = None,
) -> Command:
    """Runs the command line as a user does, in a process of its own.

    Whatever becomes of it, unless it is killed, nothing may be left in the folder of
    temporary files but the log of a conversion that failed, which the error names.

    Args:
      arguments: of the command.
      cwd: the folder to be in; None: where the tests run.
      afresh: starts Python, as a user does; by default TFX, which takes half a minute,
        is imported already.
      fault: what to break in the command's process before it begins.
    """
    with tempfile.TemporaryDirectory() as folder:
        temporary, printed = Path(folder, "tmp"), Path(folder, "printed")
        temporary.mkdir()
        printed.mkdir()
        for name in ("out", "err"):
            (printed / name).touch()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TMPDIR": str(temporary),
        }
        texts = [str(argument) for argument in arguments]
        where = str(cwd or Path.cwd())
        if afresh:
            code = _run_afresh(texts, where, environment, printed)
        else:
            code = _run_forked(texts, where, environment, printed, fault)
        # TensorFlow 2.21 leaves the bytecode of what AutoGraph makes, some kilobytes.
        left = {
            name
            for name in os.listdir(temporary)
            if name != "__pycache__" and not name.endswith("-conversion.log")
        }
        out, err = ((printed / name).read_text() for name in ("out", "err"))
    assert not left or code < 0, f"{left} left in the temporary folder"
    return Command(code, out, err)


def _run_afresh(
    arguments: list[str], cwd: str, environment: dict[str, str], printed: Path
) -> int:
    with open(printed / "out", "wb") as out, open(printed / "err", "wb") as err:
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            check=False,
        ).returncode


def _run_forked(
    arguments: list[str],
    cwd: str,
    environment: dict[str, str],
    printed: Path,
    fault: Callable[[], None] | None,
) -> int:
    outputs = printed / "out", printed / "err"
    return Forked(arguments, cwd, environment, outputs, fault).wait()


class Forked:
    """A running command, with what `subprocess.Popen` has of methods.

    Args:
      arguments: of `pocketrec`.
      cwd: the folder to be in.
      environment: its variables.
      outputs: files for what it prints, and for what it complains of; or one pipe for
        both, whose name may go once this is made.
      fault: what to break in its process before it begins.

    Attributes:
      stdout: the file for what it prints, or the pipe.
    """

    def __init__(
        self,
        arguments: list[str],
        cwd: str,
        environment: dict[str, str],
        outputs: tuple[Path, ...],
        fault: Callable[[], None] | None = None,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.e2e.preload"])
        self._process = context.Process(
            target=_be_the_command,
            args=(arguments, cwd, environment, outputs, fault),
        )
        self._process.start()
        self.stdout: IO[str] | None = None
        if stat.S_ISFIFO(outputs[0].stat().st_mode):
            # Opened here when it is there; read to its end by who has started it.
            self.stdout = open(outputs[0])  # noqa: SIM115

    def wait(self) -> int:
        """Waits for its end; returns the exit code, of a signal below 0."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        """Sends a signal, unless it has ended."""
        if self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, sig)


def _be_the_command(
    arguments: list[str],
    cwd: str,
    environment: dict[str, str],
    outputs: tuple[Path, ...],
    fault: Callable[[], None] | None,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(cwd)
    files = [os.open(os.devnull, os.O_RDONLY)]
    files += [os.open(path, os.O_WRONLY) for path in outputs]
    # Where there is one for both, that.
    for number, file in enumerate((*files, files[-1])[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["pocketrec", *arguments]
    if fault is not None:
        fault()
    try:
        runpy.run_module("pipeline.cli", run_name="__main__", alter_sys=True)
    finally:
        # multiprocessing leaves them out, and TensorFlow tidies up in one.
        atexit._run_exitfuncs()
