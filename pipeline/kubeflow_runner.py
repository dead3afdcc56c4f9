"""Compiles the pipeline for Kubeflow Pipelines 2: binds places, finishes TFX's output.

TFX compiles for Vertex AI. The open-source backend takes the bare pipeline of schema
2.1 alone, and neither drivers nor checks that run before a task.
"""

from __future__ import annotations

import re
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from components.timeline_example_gen.generate import DEFAULT_BEAM_ARGS
from components.timeline_example_gen.inputs import has_spans
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pipeline.pipeline import Binding, create_pipeline
from pipeline.source_revision import source_revision

ENTRYPOINT = ("python", "-m", "pipeline.kubeflow_entrypoint")
# What Kubeflow's launcher and TensorFlow's file systems both reach; s3:// is not built
# into TensorFlow.
REMOTE = re.compile(r"gs://[^/]+(/.*)?")


def compile_pipeline(
    config: pb.RecommenderConfig,
    data: str,
    pipeline_root: str,
    push_destination: str,
    image: str,
) -> dict[str, Any]:
    """The pipeline in Kubeflow's intermediate representation (PipelineSpec, 2.1).

    Needs neither network nor cluster; the same arguments give the same result. What a
    run may choose are parameters: ``data``, ``push_destination``, ``num_epochs``,
    ``steps_per_epoch`` and, where the data comes in spans, ``span`` and
    ``span_window``, by default as given and configured here.

    Args:
      config: a valid configuration.
      data: folder of the activities, items and users, as the tasks see it.
      pipeline_root: folder of the artifacts, see `check_reachable`.
      push_destination: folder of the pushed versions.
      image: container image in which pocketrec and its extra ``kfp`` are installed.
    """
    defaults: dict[str, str | int] = {
        "data": data,
        "push_destination": push_destination,
        "num_epochs": int(config.train.num_epochs),
        "steps_per_epoch": int(config.train.steps_per_epoch),
    }
    if has_spans(config.data):
        defaults["span"] = config.data.span
        defaults["span_window"] = int(config.data.span_window)
    parameters = {
        name: RuntimeParameter(name=name, ptype=type(default))
        for name, default in defaults.items()
    }
    pipeline = create_pipeline(
        config,
        Binding(
            pipeline_root=pipeline_root,
            # Nothing is served from a cache there, so nothing needs a key.
            nonce="",
            source_revision=source_revision(),
            fingerprint="",
            current_digest="",
            **parameters,
        ),
        beam_pipeline_args=DEFAULT_BEAM_ARGS,
        enable_cache=False,
    )
    pipeline.pipeline_info.pipeline_name = kubeflow_name(config.name)
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=image,
            default_commands=list(ENTRYPOINT),
            use_pipeline_spec_2_1=True,
        )
    )
    spec: dict[str, Any] = runner.run(pipeline, write_out=False)["pipelineSpec"]
    spec["defaultPipelineRoot"] = pipeline_root
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"].pop("lifecycle", None)
    # TFX drops the defaults of its parameters.
    declared = spec["root"]["inputDefinitions"]["parameters"]
    for name, default in defaults.items():
        declared[name] |= {"defaultValue": default, "isOptional": True}
    _check_parameters(spec)
    return spec


def _check_parameters(spec: dict[str, Any]) -> None:
    """Makes sure that no parameter stands inside a constant, where nothing replaces it.

    Raises:
      ValueError: naming the task.
    """
    for name, task in spec["root"]["dag"]["tasks"].items():
        for key, value in task["inputs"].get("parameters", {}).items():
            if "RuntimeParameter" in str(value.get("runtimeValue", "")):
                raise ValueError(f"{name}: {key} has a parameter inside: {value}")


def check_reachable(what: str, folder: str) -> None:
    """Refuses a folder that not every task reaches; a container's own disk is lost.

    Raises:
      UserError: naming what the folder is for.
    """
    if not REMOTE.fullmatch(folder):
        raise UserError(
            f"{what} {folder}: expected gs://BUCKET/PATH, which every task can reach"
        )


def kubeflow_name(name: str) -> str:
    """A configuration's name in the letters that Kubeflow allows."""
    legal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return legal[:128].rstrip("-") or "pocketrec"
