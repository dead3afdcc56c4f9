"""Converts a SavedModel to TFLite in a process of its own.

The converter's failures are aborts of the process, not exceptions, so the parent runs
this module as a command, keeps its log and reports what happened.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from configs import recommender_pb2 as pb
from configs.errors import UserError

SIGNATURE = "serving_default"
_LOG_LINES = 3


class ConversionError(RuntimeError):
    """The converter failed or aborted."""


def convert(
    saved_model: str | Path,
    output: str | Path,
    quantization: pb.Quantization,
    log: str | Path,
    timeout_seconds: float,
) -> None:
    """Converts in a subprocess.

    Args:
      saved_model: a SavedModel with the one signature ``serving_default``.
      output: the ``.tflite`` file to write.
      quantization: of the weights.
      log: file that receives all that the converter prints.
      timeout_seconds: the process is ended after that.

    Raises:
      UserError: if it took longer.
      ConversionError: with the exit status and the end of the log.
    """
    command = [
        sys.executable,
        "-m",
        "components.tflite_converter.convert",
        f"--saved-model={saved_model}",
        f"--output={output}",
        f"--quantization={pb.Quantization.Name(quantization)}",
    ]
    # The child finds our packages where this process found them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with open(log, "wb") as stream:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"push.conversion_timeout_seconds: the TFLite converter took longer "
                f"than {timeout_seconds:g} s. Expected a limit that it keeps; its log: "
                f"{log}"
            ) from error
    if done.returncode or not os.path.exists(output):
        end = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        how = (
            f"was ended by signal {-done.returncode}"
            if done.returncode < 0
            else f"exited with {done.returncode}"
        )
        raise ConversionError(
            f"the TFLite converter {how}: {' | '.join(end[-_LOG_LINES:])} "
            f"(whole log: {log})"
        )


def _convert_here(saved_model: str, output: str, quantization: str) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[SIGNATURE]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantization != pb.Quantization.Name(pb.FLOAT32):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == pb.Quantization.Name(pb.FLOAT16):
        converter.target_spec.supported_types = [tf.float16]
    Path(output).write_bytes(converter.convert())


def main() -> None:
    """Command line of the subprocess."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--saved-model", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--quantization", required=True, choices=pb.Quantization.keys())
    arguments = parser.parse_args()
    _convert_here(arguments.saved_model, arguments.output, arguments.quantization)


if __name__ == "__main__":
    main()
