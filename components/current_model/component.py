"""CurrentModel: the version in use, as artifacts that the gates compare with."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.current_model import executor


class CurrentModelSpec(types.ComponentSpec):
    """A push destination in, its current models out."""

    PARAMETERS = {
        "push_destination": component_spec.ExecutionParameter(type=str),
        "current_digest": component_spec.ExecutionParameter(type=str, optional=True),
        "code_digest": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {}
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "tflite_model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "training": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }


class CurrentModel(base_component.BaseComponent):
    """Finds the models that ``CURRENT`` points to.

    Outputs ``model`` (the SavedModel), ``tflite_model`` (the bundle), ``training``
    (what a warm start needs, see `components.trainer.warm_start`) and ``examples``
    (those of test that it was judged by). The artifacts always exist; where nothing is
    pushed yet they are empty.

    Args:
      push_destination: folder of the pushed versions.
      code_digest: digest of the sources that its result depends on.
      current_digest: what `components.current_model.current.current_digest` says of the
        destination as the run starts: the key of the cache. None where nobody can tell
        beforehand; then caching must be off.
    """

    SPEC_CLASS = CurrentModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        push_destination: str | RuntimeParameter,
        code_digest: str,
        current_digest: str | None = None,
    ) -> None:
        super().__init__(
            CurrentModelSpec(
                push_destination=push_destination,
                current_digest=current_digest,
                code_digest=code_digest,
                model=types.Channel(type=standard_artifacts.Model),
                tflite_model=types.Channel(type=standard_artifacts.Model),
                training=types.Channel(type=standard_artifacts.Model),
                examples=types.Channel(type=standard_artifacts.Examples),
            )
        )
