"""Trainer: TFX's, with the length of training as properties of its own."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.trainer import component as tfx_component
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.trainer import executor


class TrainerSpec(standard_component_specs.TrainerSpec):
    """TFX's, and what a runner may choose when it runs."""

    PARAMETERS = {
        **standard_component_specs.TrainerSpec.PARAMETERS,
        **{
            name: component_spec.ExecutionParameter(type=int, optional=True)
            for name in executor.CHOSEN_AT_RUN_TIME
        },
    }


class Trainer(tfx_component.Trainer):
    """Trains a model on transformed examples.

    Outputs ``model`` (``Format-Serving`` and ``Format-Device``) and ``model_run``.

    Args:
      examples: from Transform.
      transform_graph: from Transform.
      schema: from SchemaGen.
      run_fn: dotted name of the function that trains.
      custom_config: for it; JSON can hold it.
      hyperparameters: from Tuner.
      base_model: from CurrentModel, of a warm start; its artifact may be empty.
      num_epochs: in place of ``train.num_epochs``; None or 0: that of the
        configuration.
      steps_per_epoch: likewise.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        run_fn: str,
        custom_config: dict[str, Any],
        hyperparameters: types.BaseChannel | None = None,
        base_model: types.BaseChannel | None = None,
        num_epochs: int | RuntimeParameter | None = None,
        steps_per_epoch: int | RuntimeParameter | None = None,
    ) -> None:
        spec = TrainerSpec(
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            base_model=base_model,
            hyperparameters=hyperparameters,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            module_file=None,
            run_fn=run_fn,
            custom_config=json_utils.dumps(custom_config),
            num_epochs=num_epochs,
            steps_per_epoch=steps_per_epoch,
            model=types.Channel(type=standard_artifacts.Model),
            model_run=types.Channel(type=standard_artifacts.ModelRun),
        )
        # Past TFX's own constructor, which makes TFX's own specification.
        super(tfx_component.Trainer, self).__init__(spec=spec)
