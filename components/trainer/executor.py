"""The Trainer's work within TFX: what was chosen at run time, then TFX's executor."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.trainer import executor as tfx_executor
from tfx.utils import json_utils

# Fields of `train` that are properties of the component, too.
CHOSEN_AT_RUN_TIME = ("num_epochs", "steps_per_epoch")
# Where `run_fn` finds them in its custom_config.
CHOSEN = "chosen"


class Executor(tfx_executor.GenericExecutor):
    """Hands the chosen values on in ``custom_config``."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        custom_config = json_utils.loads(exec_properties["custom_config"])
        # Kubeflow gives whole numbers as floats.
        custom_config[CHOSEN] = {
            name: int(exec_properties[name])
            for name in CHOSEN_AT_RUN_TIME
            if exec_properties.get(name)
        }
        properties = {
            **exec_properties,
            "custom_config": json_utils.dumps(custom_config),
        }
        super().Do(input_dict, output_dict, properties)
