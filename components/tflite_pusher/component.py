"""TFLitePusher: what both gates have blessed becomes the current version."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.tflite_pusher import executor


class TFLitePusherSpec(types.ComponentSpec):
    """Bundle, its training side and both verdicts in, a pushed version out."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "push_destination": component_spec.ExecutionParameter(type=str),
        "source_revision": component_spec.ExecutionParameter(type=str),
        "code_digest": component_spec.ExecutionParameter(type=str),
        "nonce": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "tflite_model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "current_tflite_model": component_spec.ChannelParameter(
            type=standard_artifacts.Model
        ),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model_blessing": component_spec.ChannelParameter(
            type=standard_artifacts.ModelBlessing
        ),
        "model_evaluation": component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
        "tflite_blessing": component_spec.ChannelParameter(
            type=standard_artifacts.ModelBlessing
        ),
        "tflite_evaluation": component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
    }
    OUTPUTS = {
        "pushed_model": component_spec.ChannelParameter(
            type=standard_artifacts.PushedModel
        ),
    }


class TFLitePusher(base_component.BaseComponent):
    """Pushes the bundle if both gates have blessed it.

    Args:
      tflite_model: the bundle, from TFLiteConverter.
      current_tflite_model: from CurrentModel; if another version has become the
        current one since, nothing is pushed.
      model: from the Trainer.
      model_run: from the Trainer; its checkpoints are kept beside the bundle.
      transform_graph: from Transform.
      examples: from TimelineExampleGen; the test split is kept beside the bundle.
      model_blessing: from the Evaluator of the SavedModel.
      model_evaluation: its metrics.
      tflite_blessing: from the Evaluator of the .tflite file.
      tflite_evaluation: its metrics.
      config: the configuration's text.
      push_destination: folder of the versions.
      source_revision: of the code, for the manifest.
      code_digest: digest of the sources that its result depends on.
      nonce: different in each run, so that a push never comes from the cache: the
        destination may have been deleted or rolled back since.
    """

    SPEC_CLASS = TFLitePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        tflite_model: types.BaseChannel,
        current_tflite_model: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        transform_graph: types.BaseChannel,
        examples: types.BaseChannel,
        model_blessing: types.BaseChannel,
        model_evaluation: types.BaseChannel,
        tflite_blessing: types.BaseChannel,
        tflite_evaluation: types.BaseChannel,
        config: str,
        push_destination: str | RuntimeParameter,
        source_revision: str,
        code_digest: str,
        nonce: str,
    ) -> None:
        super().__init__(
            TFLitePusherSpec(
                tflite_model=tflite_model,
                current_tflite_model=current_tflite_model,
                model=model,
                model_run=model_run,
                transform_graph=transform_graph,
                examples=examples,
                model_blessing=model_blessing,
                model_evaluation=model_evaluation,
                tflite_blessing=tflite_blessing,
                tflite_evaluation=tflite_evaluation,
                config=config,
                push_destination=push_destination,
                source_revision=source_revision,
                code_digest=code_digest,
                nonce=nonce,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
