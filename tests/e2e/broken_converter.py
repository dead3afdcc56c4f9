"""Stands in for the process that converts: ``FAULT COMMAND ...``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main() -> None:
    fault, _, *arguments = sys.argv[1:]
    print("about to convert")
    sys.stdout.flush()
    if fault == "abort":
        os.abort()
    if fault == "hang":
        time.sleep(600)
    if fault == "write nothing":
        Path(arguments[1]).touch()
    if fault == "write rubbish":
        Path(arguments[1]).write_bytes(b"rubbish" * 1000)


if __name__ == "__main__":
    main()
