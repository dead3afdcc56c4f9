"""Keeps third-party noise off the terminal; our own warnings and errors stay."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator

OURS = ("components", "configs", "data", "pipeline", "pocketrec_device")
# What these log as errors they raise as well; TFX logs through absl.
RAISING = ("absl", "apache_beam")
# Lines that native code writes straight to the terminal, where no logger sees them:
# TensorFlow's probes for CUDA and oneDNN (before it reads TF_CPP_MIN_LOG_LEVEL), the
# factories that a GPU build registers twice, which kernels oneDNN has for this CPU,
# LiteRT's delegates.
NATIVE_NOISE = (
    r"WARNING: All log messages before absl::InitializeLog\(\) is called",
    r"[IW][0-9]{4} [0-9:.]+ +[0-9]+ [^ ]+\.cc:[0-9]+\] ",
    r"(E[0-9]{4}|[0-9-]+ [0-9:.]+: E) .*\.cc:[0-9]+\] Unable to register cu[A-Z]+ ",
    r"(E[0-9]{4}|[0-9-]+ [0-9:.]+: E) .*\.cc:[0-9]+\] failed call to cuInit: ",
    r"(E[0-9]{4}|[0-9-]+ [0-9:.]+: E) .*\.cc:[0-9]+\] oneDNN supports DT_",
    r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+: [IW] [^ ]+\.cc:[0-9]+\] ",
    r"INFO: (Created|Initialized) TensorFlow Lite ",
)


class _OursOrErrors(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        package = record.name.split(".")[0]
        if package in RAISING:
            return record.levelno >= logging.CRITICAL
        return record.levelno >= logging.ERROR or package in OURS


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Enter before TensorFlow, Beam or TFX are imported; child processes inherit it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    # With a handler on the root, libraries that call basicConfig add none of theirs.
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.addFilter(_OursOrErrors())
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings(), native_noise_hidden():
            warnings.simplefilter("ignore")
            for package in OURS:
                warnings.filterwarnings("default", module=rf"{package}(\.|$)")
            # Of no use to a user; protobuf's C++ puts those of its callers on us.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def native_noise_hidden() -> Iterator[None]:
    """Passes file descriptor 2 through grep, which drops the lines of `NATIVE_NOISE`.

    It runs beside us, so that the last words of a process that crashes get through.
    """
    grep = shutil.which("grep")
    if grep is None or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    pattern = f"^({'|'.join(NATIVE_NOISE)})"
    command = [grep, "--line-buffered", "--text", "--invert-match", "-E", pattern]
    # Ctrl-C is for us; what we then say still has to pass.
    filtering = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=terminal,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    )
    assert filtering.stdin is not None
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # The filter may have been killed.
            sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        # A process that we leave behind may hold its input open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            filtering.wait(timeout=1)
