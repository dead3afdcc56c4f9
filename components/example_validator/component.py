"""ExampleValidator that stops the run, which TFX's own does not."""

from __future__ import annotations

import json

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from components.example_validator import executor


class ExampleValidatorSpec(types.ComponentSpec):
    """Statistics and schema in, anomalies out."""

    PARAMETERS = {
        standard_component_specs.EXCLUDE_SPLITS_KEY: (
            component_spec.ExecutionParameter(type=str)
        ),
        "config": component_spec.ExecutionParameter(type=str),
        "code_digest": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        standard_component_specs.STATISTICS_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
        standard_component_specs.SCHEMA_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.Schema
        ),
    }
    OUTPUTS = {
        standard_component_specs.ANOMALIES_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies
        ),
    }


class ExampleValidator(base_component.BaseComponent):
    """Compares statistics with the schema and the configuration.

    Args:
      statistics: from StatisticsGen.
      schema: from SchemaGen.
      config: the configuration's text.
      code_digest: digest of the sources that its result depends on.
      exclude_splits: splits that are not validated.
    """

    SPEC_CLASS = ExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        config: str,
        code_digest: str,
        exclude_splits: list[str],
    ) -> None:
        super().__init__(
            ExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                exclude_splits=json.dumps(exclude_splits),
                config=config,
                code_digest=code_digest,
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
