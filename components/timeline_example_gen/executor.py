"""The component's work within TFX: artifacts in, plain function, artifacts out."""

from __future__ import annotations

from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.timeline_example_gen.fingerprint import data_fingerprint
from components.timeline_example_gen.generate import generate_examples
from components.timeline_example_gen.splits import SPLITS
from configs.errors import UserError
from configs.loader import parse_config

FINGERPRINT_PROPERTY = "fingerprint"

_PAYLOAD = example_gen_pb2.FORMAT_TF_EXAMPLE


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs `generate_examples`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills ``examples`` and ``ingestion_report``.

        Raises:
          UserError: if the data cannot be used, or is not what the runner took its
            fingerprint of.
        """
        del input_dict
        config = parse_config(exec_properties["config"])
        if exec_properties.get("span"):
            config.data.span = exec_properties["span"]
        if exec_properties.get("span_window"):
            # Kubeflow gives whole numbers as floats.
            config.data.span_window = int(exec_properties["span_window"])
        data = exec_properties["data"]
        beam_args = self._beam_pipeline_args or []
        # Files are looked at before there is a pipeline.
        FileSystems.set_options(PipelineOptions(list(map(str, beam_args))))
        expected = exec_properties.get("fingerprint")
        fingerprint = data_fingerprint(config, data)
        if expected and fingerprint != expected:
            # Its result would be served from the cache for other data.
            raise UserError(
                f"{data}: the files have changed since the run was started "
                f"(fingerprint {fingerprint[:12]}, expected {expected[:12]}). Start it "
                "again"
            )
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        report = generate_examples(
            config, data, examples.uri, make_beam_pipeline=self._make_beam_pipeline
        )
        examples.splits = list(SPLITS)
        window = report["spans"]
        examples.span = window["newest"] if window else 0
        examples_utils.set_payload_format(examples, _PAYLOAD)
        examples_utils.set_file_format(examples, "tfrecords_gzip")
        examples.set_string_custom_property(FINGERPRINT_PROPERTY, fingerprint)
        artifact_utils.get_single_instance(
            output_dict["ingestion_report"]
        ).value = report
