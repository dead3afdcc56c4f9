"""Runs the pipeline on this machine: binds places, shows progress, sums up."""

from __future__ import annotations

import logging
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner

from components.code_digest import code_digest
from components.current_model.current import current_digest
from components.timeline_example_gen.fingerprint import fingerprint
from components.tflite_pusher.push import check_writable
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pipeline.pipeline import Binding, create_pipeline
from pipeline.progress import CACHED, COMPLETE, NodeRun, Progress

# Beam's newest direct runners first try one that has to be downloaded.
BEAM_PIPELINE_ARGS = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


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


def run(
    config: pb.RecommenderConfig,
    data: Path,
    output: Path,
    push_destination: str,
    echo: Callable[[str], None],
    enable_cache: bool = True,
) -> Run:
    """Runs the whole pipeline.

    Args:
      config: a valid configuration.
      data: folder of the activities, items and users.
      output: folder of the artifacts and of ML Metadata.
      push_destination: folder of the pushed versions.
      echo: receives the lines of progress.
      enable_cache: whether unchanged steps are served from earlier runs.

    Raises:
      UserError: for bad input, before or during the run.
    """
    # What can be known to fail must fail before the first component runs.
    input_fingerprint = fingerprint(config, data)
    check_writable(push_destination)
    output.mkdir(parents=True, exist_ok=True)
    database = output / "metadata.sqlite"
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config(
        str(database)
    )
    pipeline = create_pipeline(
        config,
        Binding(
            data=str(data),
            pipeline_root=str(output / "artifacts"),
            push_destination=push_destination,
            nonce=uuid.uuid4().hex,
            source_revision=source_revision(),
            fingerprint=input_fingerprint,
            current_digest=current_digest(push_destination),
        ),
        metadata_connection_config=connection,
        beam_pipeline_args=BEAM_PIPELINE_ARGS,
        enable_cache=enable_cache,
    )
    store = metadata.Metadata(connection)
    progress = Progress(
        nodes=[component.id for component in pipeline.components],
        state_of=lambda node: _state(store, config.name, node),
        echo=echo,
    )
    with _following(progress):
        try:
            local_dag_runner.LocalDagRunner().run(pipeline)
        except Exception as error:
            failed = progress.fail()
            mistake = user_error(error)
            if mistake is None or failed is None:
                raise
            raise UserError(f"{failed.node}: {mistake}") from error
    with store as handle:
        artifacts = _latest_artifacts(handle.store, config.name, progress.runs)
    return Run(progress.runs, artifacts)


def user_error(error: BaseException | None) -> UserError | None:
    """The user's mistake among an exception and what caused it, if there is one."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def source_revision() -> str:
    """The commit of the checkout that the code runs from, else a digest of the code."""
    root = Path(__file__).resolve().parent.parent
    git = ["git", "-C", str(root)]
    if (root / ".git").exists():
        done = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return f"git:{done.stdout.strip()}"
    digest = code_digest("components", "configs", "pipeline", "pocketrec_device")
    return f"sources:{digest}"


@contextmanager
def _following(progress: Progress) -> Iterator[None]:
    logger = logging.getLogger("absl")
    level, others = logger.level, list(logger.handlers)
    quiet = os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3"
    logger.setLevel(logging.INFO)
    if quiet:
        # The messages are needed, their other receivers are not.
        logger.propagate = False
        for handler in others:
            logger.removeHandler(handler)
    logger.addHandler(progress)
    try:
        yield
    finally:
        logger.removeHandler(progress)
        if quiet:
            for handler in others:
                logger.addHandler(handler)
            logger.propagate = True
        logger.setLevel(level)


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


def _latest_artifacts(
    store: Any, pipeline: str, runs: list[NodeRun]
) -> dict[str, dict[str, Any]]:
    """Outputs of each component's newest execution, by component and key."""
    result: dict[str, dict[str, Any]] = {}
    for run in runs:
        execution = _executions(store, pipeline, run.node)[-1]
        events = [
            event
            for event in store.get_events_by_execution_ids([execution.id])
            if event.type in (event.OUTPUT, event.DECLARED_OUTPUT)
        ]
        artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
        by_id = {artifact.id: artifact for artifact in artifacts}
        result[run.node] = {
            event.path.steps[0].key: by_id[event.artifact_id] for event in events
        }
    return result
