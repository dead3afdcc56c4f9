"""TimelineExampleGen: activity logs in, examples and a report on them out."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.timeline_example_gen import executor


class TimelineExampleGenSpec(types.ComponentSpec):
    """A folder of logs in, examples out."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "data": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str, optional=True),
        "code_digest": component_spec.ExecutionParameter(type=str, optional=True),
        "span": component_spec.ExecutionParameter(type=str, optional=True),
        "span_window": component_spec.ExecutionParameter(type=int, optional=True),
    }
    INPUTS = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "ingestion_report": component_spec.ChannelParameter(
            type=standard_artifacts.JsonValue
        ),
    }


class TimelineExampleGen(base_beam_component.BaseBeamComponent):
    """Turns activity logs into examples: an activity, and what its user did before.

    Outputs ``examples`` with the splits train, eval, test and catalogue, and
    ``ingestion_report`` (JSON): rows read and rejected, filters, counts.

    Args:
      config: text of the configuration, from `configs.loader.config_to_text`.
      data: folder of the logs.
      fingerprint: what `fingerprint.data_fingerprint` says of them as the run starts:
        the key of the cache. None where nobody can tell beforehand; then caching must
        be off.
      code_digest: digest of the sources that the result depends on.
      span: a number, a date or ``latest``, instead of the configuration's; it is
        resolved when the component runs, and the examples are labelled with its number.
      span_window: how many spans, instead of the configuration's.
    """

    SPEC_CLASS = TimelineExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        config: str,
        data: str | RuntimeParameter,
        fingerprint: str | None = None,
        code_digest: str | None = None,
        span: str | RuntimeParameter | None = None,
        span_window: int | RuntimeParameter | None = None,
    ) -> None:
        super().__init__(
            TimelineExampleGenSpec(
                config=config,
                data=data,
                fingerprint=fingerprint,
                code_digest=code_digest,
                span=span,
                span_window=span_window,
                examples=types.Channel(type=standard_artifacts.Examples),
                ingestion_report=types.Channel(type=standard_artifacts.JsonValue),
            )
        )
