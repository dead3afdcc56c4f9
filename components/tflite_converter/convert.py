"""Converts a SavedModel to TFLite, quantizes and tries it, in a process of its own.

Failures of a converter, and of LiteRT with what that wrote, are aborts of the process,
not exceptions, so they run as `components.tflite_converter.converter_process`; here the
log is kept and what happened is reported.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from components.child_process import run_python
from configs import recommender_pb2 as pb
from configs.errors import UserError

_PROGRAM = ("-m", "components.tflite_converter.converter_process")
_LOG_LINES = 3


class ConversionError(UserError):
    """The converter failed, aborted, took too long or wrote no model that runs."""


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
      quantization: of the weights: ``FLOAT32``, ``FLOAT16`` or ``DYNAMIC_RANGE``.
      log: file that receives all that the converter prints.
      timeout_seconds: the process is ended after that.

    Raises:
      ConversionError: with what happened and the end of the log.
    """
    name = pb.Quantization.Name(quantization)
    command = ["convert", str(saved_model), str(output), name]
    _run(command, Path(output), log, timeout_seconds)


def quantize(
    float_model: str | Path,
    samples: str | Path,
    output: str | Path,
    log: str | Path,
    timeout_seconds: float,
) -> None:
    """Quantizes weights and activations to 8 bits in a subprocess.

    The scale of each activation is that of Jacob et al., "Quantization and Training of
    Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018), from the
    least and largest value that the samples give.

    Args:
      float_model: a ``FLOAT32`` file of `convert`.
      samples: an ``.npz`` file of the model's inputs by name, ``[samples, length]``.
      output: the ``.tflite`` file to write.
      log: file that receives all that the quantizer prints.
      timeout_seconds: the process is ended after that.

    Raises:
      ConversionError: with what happened and the end of the log.
    """
    command = ["quantize", str(float_model), str(samples), str(output)]
    _run(command, Path(output), log, timeout_seconds)


def answer_canary(
    bundle: str | Path, start: int, log: str | Path, timeout_seconds: float
) -> dict[str, Any] | None:
    """Has LiteRT answer the canary of a bundle in a subprocess.

    Args:
      bundle: its folder, with a manifest.
      start: of the canary's history, seconds since 1970.
      log: file that receives all that LiteRT prints.
      timeout_seconds: the process is ended after that.

    Returns:
      The manifest's entry; None where the answer is no recommendation.

    Raises:
      ConversionError: with what happened and the end of the log.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "canary.json"
        command = ["canary", str(bundle), str(start), str(output)]
        _run(command, output, log, timeout_seconds, "the converted model")
        answer: dict[str, Any] | None = json.loads(output.read_text())
    return answer


def _run(
    arguments: list[str],
    output: Path,
    log: str | Path,
    timeout_seconds: float,
    what: str = "the TFLite converter",
) -> None:
    # INT8 takes two steps, with one log.
    with open(log, "ab") as stream:
        try:
            done = run_python(
                [*_PROGRAM, *arguments],
                timeout_seconds,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"push.conversion_timeout_seconds: {what} took longer than "
                f"{timeout_seconds:g} s. Expected a limit that it keeps; its log: {log}"
            ) from error
    if done.returncode or not output.exists() or not output.stat().st_size:
        raise ConversionError(f"{what} {_how(done.returncode, log)}")


def _how(status: int, log: str | Path) -> str:
    text = Path(log).read_text(encoding="utf-8", errors="replace")
    end = [line.strip() for line in text.splitlines() if line.strip()][-_LOG_LINES:]
    if status < 0:
        how = f"was ended by signal {-status}"
    elif status:
        how = f"exited with {status}"
    else:
        how = "wrote nothing"
    return f"{how}: {' | '.join(end) or 'it said nothing'} (whole log: {log})"
