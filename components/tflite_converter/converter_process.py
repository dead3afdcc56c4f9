"""The process that converts: ``convert SAVED_MODEL OUTPUT QUANTIZATION``, ``quantize
FLOAT_MODEL SAMPLES OUTPUT`` or ``canary BUNDLE START OUTPUT``, see
`components.tflite_converter.convert`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from components.tflite_converter.canary import make_canary
from components.trainer.names import CANDIDATE_SCORES, RANKING_HEAD
from configs import recommender_pb2 as pb
from pocketrec_device import BundleError

SIGNATURE = "serving_default"

# What holds most of the weights. The rest stays in floats: in a recurrent encoder its
# errors would add up from step to step, and the lowest float, which items that are left
# out score, would leave no range for the scores.
_DENSE = ("FULLY_CONNECTED", "BATCH_MATMUL")
_IN_8_BITS = (*_DENSE, "CONV_2D", "GATHER")
# Operators that give scores. In 256 steps many scores would be equal, so that these
# have weights in 8 bits alone.
_SCORES = f"^{CANDIDATE_SCORES};?$|.*{RANKING_HEAD}.*"


def convert(saved_model: str, output: str, quantization: str) -> None:
    """Writes a SavedModel's signature ``serving_default`` as a ``.tflite`` file.

    Args:
      saved_model: its folder.
      output: the file.
      quantization: ``FLOAT32``, ``FLOAT16`` or ``DYNAMIC_RANGE``.
    """
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


def quantize(float_model: str, samples: str, output: str) -> None:
    """Writes a ``.tflite`` file of floats with weights and activations in 8 bits.

    Args:
      float_model: the file of floats.
      samples: an ``.npz`` file of inputs by name, ``[samples, length]``.
      output: the file.
    """
    # litert_quantizer uses it without importing it.
    import numpy.typing
    from litert_quantizer import calibrator, qtyping, quantizer, recipe_manager
    from litert_quantizer.utils import qsv_utils, tfl_interpreter_utils

    recipe = recipe_manager.RecipeManager()
    for name in _IN_8_BITS:
        operation = qtyping.TFLOperationName(name)
        recipe.add_static_config(".*", operation, 8, 8)
    for name in _DENSE:
        operation = qtyping.TFLOperationName(name)
        recipe.add_dynamic_config(_SCORES, operation, 8)
    with numpy.load(samples) as columns:
        inputs = {name: columns[name] for name in columns.files}
    count = len(next(iter(inputs.values())))
    rows = [
        {name: values[i : i + 1] for name, values in inputs.items()}
        for i in range(count)
    ]
    floats = Path(float_model).read_bytes()
    # Quantizer.calibrate would take moving averages, beyond which values are cut off.
    calibration = calibrator.Calibrator(
        floats, num_threads=1, qsv_update_func=qsv_utils.min_max_update
    )
    # It would run on XNNPACK, which fuses operators and so leaves some tensors empty.
    calibration._tfl_interpreter = tfl_interpreter_utils.create_tfl_interpreter(
        floats, use_xnnpack=False, num_threads=1
    )
    calibration.calibrate({SIGNATURE: rows}, recipe)
    job = quantizer.Quantizer(float_model, recipe.get_quantization_recipe())
    result = job.quantize(calibration.get_model_qsvs())
    Path(output).write_bytes(result.quantized_model)


def canary(bundle: str, start: str, output: str) -> None:
    """Writes what `components.tflite_converter.canary.make_canary` gives, as JSON."""
    try:
        answer = make_canary(bundle, int(start))
    except BundleError as error:
        sys.exit(str(error))
    Path(output).write_text(json.dumps(answer))


def main() -> None:
    """Command line of the process."""
    command, *arguments = sys.argv[1:]
    {"convert": convert, "quantize": quantize, "canary": canary}[command](*arguments)


if __name__ == "__main__":
    main()
