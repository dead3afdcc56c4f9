"""What the Tuner chose, as a configuration that a run can be started with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx.utils import io_utils

from configs import recommender_pb2 as pb
from configs.loader import config_to_text
from configs.tuned import tuned_config

TUNED = "tuned.pbtxt"

_BEST = "best_hyperparameters.txt"


def write_tuned_config(
    config: pb.RecommenderConfig, best_hyperparameters: str, output: Path
) -> list[str]:
    """Writes ``tuned.pbtxt``: the configuration with the best values, without tuning.

    Args:
      config: the one that was tuned.
      best_hyperparameters: folder of the Tuner's output of that name.
      output: an existing folder.

    Returns:
      Lines for the terminal.
    """
    text = io_utils.read_string_file(f"{best_hyperparameters}/{_BEST}")
    values: dict[str, Any] = json.loads(text)["values"]
    path = output / TUNED
    path.write_text(config_to_text(tuned_config(config, values)), encoding="utf-8")
    return [
        f"Tuned on eval, in {config.tune.num_trials} trials:",
        *(f"  {field}: {value}" for field, value in values.items()),
        f"  written to {path}",
    ]
