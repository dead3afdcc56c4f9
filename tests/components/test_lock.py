"""One process at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from components.lock import LockedError, is_locked, locked
from configs.errors import UserError


def test_only_one_process_at_a_time(tmp_path: Path) -> None:
    with locked(str(tmp_path), "thing"):
        assert is_locked(str(tmp_path))
        other = multiprocessing.get_context("fork").Process(
            target=_hold, args=(str(tmp_path),)
        )
        other.start()
        other.join()
        assert other.exitcode == 7
    assert not is_locked(str(tmp_path))
    with locked(str(tmp_path), "thing"):
        pass


def _hold(folder: str) -> None:
    try:
        with locked(folder, "thing"):
            os._exit(0)
    except LockedError as error:
        expected = f"thing {folder}: another process is changing it. "
        os._exit(7 if str(error).startswith(expected) else 1)


def test_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    with locked(str(tmp_path), "thing"):
        pass
    pid = os.fork()
    if not pid:
        while True:
            is_locked(str(tmp_path))
    try:
        for _ in range(50):
            with locked(str(tmp_path), "thing"):
                time.sleep(0.001)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_folder_that_nobody_ever_held(tmp_path: Path) -> None:
    assert not is_locked(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"thing .*/file: cannot be written: Not a dir"),
        locked(str(tmp_path / "file"), "thing"),
    ):
        pass


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        with locked(str(tmp_path), "thing"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with locked(str(tmp_path), "thing"):
        pass
