"""What the Tuner chose, as a configuration that a run can be started with."""

from __future__ import annotations

import json
from pathlib import Path

from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text
from configs.tuned import tuned_config

TUNED = "tuned.pbtxt"
NOT_TUNED = "warning: tune is left out, only the pipeline tunes"

_RESULTS = "tuner_results.json"


def write_tuned_config(
    config: pb.RecommenderConfig, tuner_results: str, output: Path
) -> list[str]:
    """Writes ``tuned.pbtxt``: the configuration with the best values, without tuning.

    Args:
      config: the one that was tuned.
      tuner_results: folder of the Tuner's output of that name.
      output: an existing folder.

    Returns:
      Lines for the terminal.

    Raises:
      UserError: if the Tuner's output is gone.
    """
    file = Path(tuner_results) / _RESULTS
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{file}: {error.strerror}. Expected what the Tuner wrote; --no-cache runs "
            "it again"
        ) from error
    # Without those that failed; the best one first.
    trials = json.loads(text)
    fields = [tuned.field for tuned in config.tune.fields]
    values = {field: trials[0][field] for field in fields}
    path = output / TUNED
    path.write_text(config_to_text(tuned_config(config, values)), encoding="utf-8")
    return [
        f"Tuned on eval (finished trials: {len(trials)}):",
        *(f"  {field}: {value}" for field, value in values.items()),
        f"  written to {path}",
    ]
