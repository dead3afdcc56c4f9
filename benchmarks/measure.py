"""What a piece of work takes, measured in a process of its own.

`measure` starts the process, which is ``python -m benchmarks.measure``.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS_PER_SAMPLE = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a call took.

    Attributes:
      result: what it returned.
      startup_seconds: until it could be called, mostly imports.
      seconds: of the call.
      cpu_seconds: of the call, of all processors together.
      peak_bytes: the most memory in use at one time by the process and those that it
        started, imports included.
    """

    result: Any
    startup_seconds: float
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(make: str, *arguments: Any) -> Usage:
    """Measures a call in a new process.

    Args:
      make: ``module:name`` of a function that imports and reads all that is needed and
        returns what is to be called, without arguments.
      *arguments: of that function; these and the call's result are put into JSON.

    Raises:
      RuntimeError: if the process fails; with what it said last.
    """
    command = [sys.executable, "-m", __name__, make, json.dumps(arguments)]
    sampled = 0
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        while process.poll() is None:
            sampled = max(sampled, _memory(process.pid))
            time.sleep(_SECONDS_PER_SAMPLE)
        errors.seek(0)
        if process.returncode:
            last = errors.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{make}: exit code {process.returncode}: {last}")
        assert process.stdout is not None
        told = json.loads(process.stdout.read().splitlines()[-1])
    return Usage(**{**told, "peak_bytes": max(told["peak_bytes"], sampled)})


def _memory(process: int) -> int:
    """Bytes that a process and its descendants hold now; 0 once it has ended."""
    folder = Path("/proc", str(process))
    try:
        pages = int((folder / "statm").read_text().split()[1])
        children = [
            int(child)
            for task in (folder / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError):
        return 0
    return pages * _PAGE + sum(map(_memory, children))


def _own_peak() -> int:
    """The most bytes that this process has held, exactly.

    Not ``ru_maxrss``: that begins with what the parent held.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _main() -> None:
    start = time.perf_counter()
    make, arguments = sys.argv[1:]
    module, _, name = make.partition(":")
    call = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    begin, cpu_begin = time.perf_counter(), os.times()
    result = call()
    end, cpu_end = time.perf_counter(), os.times()
    usage = Usage(
        result=result,
        startup_seconds=begin - start,
        seconds=end - begin,
        # All but the last, which is the time since some moment.
        cpu_seconds=sum(cpu_end[:4]) - sum(cpu_begin[:4]),
        peak_bytes=_own_peak(),
    )
    print(json.dumps(vars(usage)))


if __name__ == "__main__":
    _main()
