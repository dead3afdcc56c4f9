"""A bundle is tried as a device would: by the client, in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile

from tfx.utils import io_utils

from components.child_process import run_python
from configs.errors import UserError

_TIMEOUT_SECONDS = 600


def check_answers(bundle: str) -> None:
    """Has the client load a bundle and answer its canary, without TensorFlow.

    Args:
      bundle: its folder, local or any that TFX's fileio reaches.

    Raises:
      UserError: if it does not answer as it should, with what the client says.
    """
    if "://" not in bundle:
        _check(bundle)
        return
    with tempfile.TemporaryDirectory() as folder:
        io_utils.copy_dir(bundle, folder)
        _check(folder)


def _check(bundle: str) -> None:
    try:
        done = run_python(
            ["-m", "pocketrec_device", bundle], _TIMEOUT_SECONDS, capture_output=True
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{bundle}: the client took longer than {_TIMEOUT_SECONDS} s for one answer"
        ) from error
    if done.returncode:
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else ""
        lines = done.stderr.strip().splitlines() or [how or "it said nothing"]
        raise UserError(f"the bundle does not answer as it should: {lines[-1]}")
