"""TFLiteConverter: from the trained model to the bundle that the gate looks at."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.tflite_converter import executor


class TFLiteConverterSpec(types.ComponentSpec):
    """Model, vocabularies and catalogue in, bundle out."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "code_digest": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph
        ),
        "ingestion_report": component_spec.ChannelParameter(
            type=standard_artifacts.JsonValue
        ),
    }
    OUTPUTS = {
        "tflite_model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }


class TFLiteConverter(base_component.BaseComponent):
    """Writes the bundle: model.tflite, vocabularies, catalogue, manifest.

    It takes no blessing: a push changes the baseline, hence the gate's result, and the
    conversion would run again although the model is the same.

    Args:
      model: from the Trainer.
      examples: from TimelineExampleGen; its catalogue is read.
      transform_graph: from Transform.
      ingestion_report: from TimelineExampleGen.
      config: the configuration's text.
      code_digest: digest of the sources that its result depends on.
    """

    SPEC_CLASS = TFLiteConverterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        ingestion_report: types.BaseChannel,
        config: str,
        code_digest: str,
    ) -> None:
        super().__init__(
            TFLiteConverterSpec(
                model=model,
                examples=examples,
                transform_graph=transform_graph,
                ingestion_report=ingestion_report,
                config=config,
                code_digest=code_digest,
                tflite_model=types.Channel(type=standard_artifacts.Model),
            )
        )
