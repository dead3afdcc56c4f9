"""Keeps third-party noise off the terminal; our own warnings and all errors stay."""

from __future__ import annotations

import logging
import os
import sys
import warnings

OURS = ("components", "configs", "pipeline", "pocketrec_device")
# What these log as errors they raise as well; TFX logs through absl.
RAISING = ("absl", "apache_beam")


class _OursOrErrors(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        package = record.name.split(".")[0]
        if package in RAISING:
            return record.levelno >= logging.CRITICAL
        return record.levelno >= logging.ERROR or package in OURS


def silence() -> None:
    """Call before TensorFlow, Beam or TFX are imported; child processes inherit it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    warnings.simplefilter("ignore")
    # With a handler on the root, libraries that call basicConfig add none of theirs.
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.addFilter(_OursOrErrors())
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
