"""Runs the pipeline on this machine: binds places, shows progress, sums up."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components.current_model.bundles import verify
from components.current_model.current import current_digest, current_version, parts_of
from components.tflite_pusher.component import TFLitePusher
from components.tflite_pusher.executor import OUTCOME, PUSHED, VERSION
from components.tflite_pusher.push import check_writable
from components.timeline_example_gen.generate import DEFAULT_BEAM_ARGS
from components.transform.vocabularies import check_given
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pipeline.mistakes import user_error
from pipeline.paths import ARTIFACTS, METADATA
from pipeline.pipeline import Binding, create_pipeline
from pipeline.progress import CACHED, COMPLETE, NodeRun, Progress
from pipeline.source_revision import source_revision

BEAM_PIPELINE_ARGS = (*DEFAULT_BEAM_ARGS, "--direct_num_workers=1")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      nodes: the components in order, with state and seconds.
      artifacts: per component and output key, its artifact.
    """

    nodes: list[NodeRun]
    artifacts: dict[str, dict[str, Any]]

    def uri(self, node: str, key: str) -> str:
        """Where an output of a component is."""
        return str(self.artifacts[node][key].uri)


def check(config: pb.RecommenderConfig, push_destination: str) -> None:
    """Finds out what would fail later, before a folder is made or a component runs.

    Args:
      config: a valid configuration.
      push_destination: folder of the pushed versions.

    Raises:
      UserError: if the files that it names or the destination won't do, or the current
        version there is damaged.
    """
    check_given(config)
    check_writable(push_destination)
    version = current_version(push_destination)
    if version is not None:
        # Of what was whole when it was copied, the cache may have a copy.
        verify(parts_of(push_destination, version).bundle)


def run(
    config: pb.RecommenderConfig,
    data: Path,
    output: Path,
    push_destination: str,
    fingerprint: str,
    echo: Callable[[str], None],
    enable_cache: bool = True,
    beam_pipeline_args: Sequence[str] = BEAM_PIPELINE_ARGS,
) -> Run:
    """Runs the whole pipeline, which `check` lets start.

    Args:
      config: a valid configuration.
      data: folder of the activities, items and users.
      output: folder of the artifacts and of ML Metadata.
      push_destination: folder of the pushed versions.
      fingerprint: of the data, see `timeline_example_gen.fingerprint`.
      echo: receives the lines of progress.
      enable_cache: whether unchanged steps are served from earlier runs.
      beam_pipeline_args: options for Beam.

    Raises:
      UserError: for bad input that a component meets.
    """
    output.mkdir(parents=True, exist_ok=True)
    database, artifacts_folder = output / METADATA, output / ARTIFACTS
    if database.exists() and not artifacts_folder.is_dir():
        raise UserError(
            f"{output}: has {database.name} but no {artifacts_folder.name}/, which it "
            f"remembers. Expected both or neither: remove {database.name} as well"
        )
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(
        str(database)
    )
    pipeline = create_pipeline(
        config,
        Binding(
            # The same folder, however it was written, is no change.
            data=str(data.absolute()),
            pipeline_root=str(artifacts_folder),
            push_destination=push_destination,
            nonce=uuid.uuid4().hex,
            source_revision=source_revision(),
            fingerprint=fingerprint,
            current_digest=current_digest(push_destination),
        ),
        metadata_connection_config=connection,
        beam_pipeline_args=beam_pipeline_args,
        enable_cache=enable_cache,
    )
    store = metadata.Metadata(connection)
    progress = Progress(
        nodes=[component.id for component in pipeline.components],
        state_of=lambda node: _state(store, config.name, node),
        echo=echo,
    )
    try:
        _Runner(progress).run(pipeline)
    # Which are the user's own is for user_error to tell; all others go on.
    except Exception as error:
        mistake = user_error(error)
        if mistake is None:
            raise
        raise UserError(f"{progress.fail()}: {mistake}") from error
    with store as handle:
        artifacts = {
            run.node: _newest_outputs(handle.store, config.name, run.node)
            for run in progress.runs
        }
    return Run(progress.runs, artifacts)


def pushed_between(pipeline: str, output: Path, begin: float, end: float) -> int | None:
    """The version that the newest run has pushed, which may not have come further.

    Args:
      pipeline: its name.
      output: folder of its artifacts and of ML Metadata.
      begin: in seconds since 1970; a push that began earlier does not count.
      end: nor one that began later.

    Returns:
      None if there is none.
    """
    database = output / METADATA
    if not database.exists():
        return None
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(
        str(database)
    )
    node = TFLitePusher.__name__
    with metadata.Metadata(connection) as handle:
        executions = _executions(handle.store, pipeline, node)
        if not executions:
            return None
        newest = executions[-1]
        began = newest.create_time_since_epoch / 1000
        if newest.last_known_state != newest.COMPLETE or not begin <= began <= end:
            return None
        pushed = _newest_outputs(handle.store, pipeline, node)["pushed_model"]
    told = pushed.custom_properties
    if told[OUTCOME].string_value != PUSHED:
        return None
    return int(told[VERSION].int_value)


class _Runner(local_dag_runner.LocalDagRunner):
    """TFX's local runner, node by node: its progress it tells to its log alone."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
    ) -> None:
        # One id for the run, before each node would get its own.
        run_id = {
            constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.now(
                timezone.utc
            ).isoformat()
        }
        runtime_parameter_utils.substitute_runtime_parameter(pipeline, run_id)
        for node in pipeline.nodes:
            single = pipeline_pb2.Pipeline()
            single.CopyFrom(pipeline)
            del single.nodes[:]
            single.nodes.append(node)
            node_id = node.pipeline_node.node_info.id
            self._progress.start(node_id)
            super().run_with_ir(single, run_options)
            self._progress.end(node_id)


def _executions(store: Any, pipeline: str, node: str) -> list[Any]:
    context = store.get_context_by_type_and_name("node", f"{pipeline}.{node}")
    if context is None:
        return []
    return sorted(store.get_executions_by_context(context.id), key=lambda e: e.id)


def _state(connection: metadata.Metadata, pipeline: str, node: str) -> str:
    with connection as handle:
        executions = _executions(handle.store, pipeline, node)
    latest = executions[-1]
    return CACHED if latest.last_known_state == latest.CACHED else COMPLETE


def _newest_outputs(store: Any, pipeline: str, node: str) -> dict[str, Any]:
    """Outputs of a component's newest execution, by key."""
    execution = _executions(store, pipeline, node)[-1]
    events = [
        event
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type in (event.OUTPUT, event.DECLARED_OUTPUT)
    ]
    artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
    by_id = {artifact.id: artifact for artifact in artifacts}
    return {event.path.steps[0].key: by_id[event.artifact_id] for event in events}
