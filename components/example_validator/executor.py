"""Validates like TFX's ExampleValidator, then stops the run if there are anomalies."""

from __future__ import annotations

import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as tfx_executor
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.example_validator import expectations
from configs.errors import UserError
from configs.loader import parse_config


class Executor(tfx_executor.Executor):
    """TFX's executor against `expectations.expected_schema`.

    Raises:
      UserError: with the anomalies, which are written to the artifact as well.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        self._config = parse_config(exec_properties["config"])
        output = super().Do(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.ANOMALIES_KEY]
        )
        anomalies = {}
        for split in artifact_utils.decode_split_names(artifact.split_names):
            path = os.path.join(
                artifact_utils.get_split_uri([artifact], split),
                tfx_executor.DEFAULT_FILE_NAME,
            )
            found = anomalies_pb2.Anomalies()
            found.ParseFromString(io_utils.read_bytes_file(path))
            anomalies[split] = found
        lines = expectations.describe_anomalies(anomalies)
        if lines:
            raise UserError(expectations.summary(lines))
        return output

    def _Validate(
        self, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> anomalies_pb2.Anomalies:
        key = standard_component_specs.SCHEMA_KEY
        schema = expectations.expected_schema(self._config, inputs[key])
        return super()._Validate({**inputs, key: schema}, outputs)
