"""Evaluator: the gate before a push, once for the SavedModel, once for the .tflite."""

from __future__ import annotations

from tfx import types
from tfx.components.evaluator import component as tfx_component
from tfx.dsl.components.base import executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.evaluator import executor
from components.evaluator.bounds import SPLIT
from components.evaluator.eval_config import eval_config
from configs import recommender_pb2 as pb
from configs.loader import parse_config

# Where TFX finds each gate's ``custom_extractors``.
EXTRACTORS = {
    pb.SAVED_MODEL: "components.evaluator.slices",
    pb.TFLITE: "components.evaluator.tflite_extractor",
}


class EvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """TFX's, and what our verdict and the cache need."""

    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        "config": component_spec.ExecutionParameter(type=str),
        "gate": component_spec.ExecutionParameter(type=str),
        "code_digest": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.EvaluatorSpec.INPUTS,
        "ingestion_report": component_spec.ChannelParameter(
            type=standard_artifacts.JsonValue, optional=True
        ),
        executor.TRAINED_MODEL: component_spec.ChannelParameter(
            type=standard_artifacts.Model, optional=True
        ),
        executor.STORED_EXAMPLES: component_spec.ChannelParameter(
            type=standard_artifacts.Examples, optional=True
        ),
    }


class Evaluator(tfx_component.Evaluator):
    """Measures a model on the test split and blesses it or not.

    Used twice in a pipeline, the second time ``.with_id("TFLiteEvaluator")``. Outputs
    ``evaluation`` (metrics, see `components.evaluator.verdict.read_verdict`) and
    ``blessing``.

    Args:
      examples: from TimelineExampleGen.
      model: the Trainer's model, or the bundle of TFLiteConverter.
      config: the configuration's text.
      gate: ``SAVED_MODEL`` or ``TFLITE``.
      code_digest: digest of the sources that its result depends on.
      baseline_model: the current model of the same kind, from CurrentModel; its
        artifact may be empty.
      schema: from SchemaGen.
      ingestion_report: from TimelineExampleGen, for slices by popularity.
      trained_model: of the ``TFLITE`` gate: the Trainer's model that the bundle was
        converted from; without it what the bundle is like on a device is not judged.
      stored_examples: of the ``TFLITE`` gate: the test examples stored with the current
        version, from CurrentModel; the artifact may be empty.

    Raises:
      UserError: if nothing absolute binds the gate.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        config: str,
        gate: pb.Gate,
        code_digest: str,
        baseline_model: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
        ingestion_report: types.BaseChannel | None = None,
        trained_model: types.BaseChannel | None = None,
        stored_examples: types.BaseChannel | None = None,
    ) -> None:
        spec = EvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            schema=schema,
            ingestion_report=ingestion_report,
            trained_model=trained_model,
            stored_examples=stored_examples,
            eval_config=eval_config(parse_config(config), gate),
            example_splits=json_utils.dumps([SPLIT]),
            fairness_indicator_thresholds=json_utils.dumps(None),
            module_path=EXTRACTORS[gate],
            config=config,
            gate=pb.Gate.Name(gate),
            code_digest=code_digest,
            evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        )
        # Past TFX's own constructor, which makes TFX's own specification.
        super(tfx_component.Evaluator, self).__init__(spec=spec)
