"""The compiled pipeline: what the open-source backend accepts, and that tasks run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp", reason="kfp is not installed (Python 3.10 and 3.11 only)")

from click.testing import CliRunner

from configs.loader import load_config
from tests.checkout import ROOT

CONFIG = ROOT / "configs" / "movielens_100k.pbtxt"
NODE_ID = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")


def compiled(path: Path, *arguments: str) -> dict[str, Any]:
    import yaml

    from pipeline.cli import main

    options = {
        "--config": str(CONFIG),
        "--data": "gs://recommender/data",
        "--pipeline-root": "gs://recommender/runs",
        "--push-destination": "gs://recommender/push",
        "--image": "registry.example/pocketrec:1",
        "--output": str(path),
    }
    flat = [text for option in options.items() for text in option]
    done = CliRunner().invoke(main, ["kubeflow", "compile", *flat, *arguments])
    assert done.exit_code == 0, done.output
    spec: dict[str, Any] = yaml.safe_load(path.read_text())
    return spec


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compiled(tmp_path_factory.mktemp("kubeflow") / "pipeline.yaml")


def test_the_bare_pipeline_of_schema_2_1(spec: dict[str, Any]) -> None:
    assert spec["schemaVersion"] == "2.1.0"
    assert spec["pipelineInfo"] == {"name": "movielens-100k"}
    assert spec["defaultPipelineRoot"] == "gs://recommender/runs"


def test_all_that_the_local_runner_runs(spec: dict[str, Any]) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    assert len(tasks) == 11
    assert all(NODE_ID.fullmatch(name) for name in tasks)
    assert {"TimelineExampleGen", "TFLiteEvaluator", "TFLitePusher"} <= set(tasks)


def test_a_pipeline_that_tunes(tmp_path: Path) -> None:
    spec = compiled(
        tmp_path / "pipeline.yaml",
        *("--set", "tune.num_trials=2"),
        *("--set", "tune.fields={field: 'train.batch_size' values: ['32', '64']}"),
    )
    tasks = spec["root"]["dag"]["tasks"]
    assert len(tasks) == 12
    assert "Tuner" in tasks["Trainer"]["dependentTasks"]


def test_only_containers_without_drivers_or_checks(spec: dict[str, Any]) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        [(kind, container)] = executor.items()
        assert kind == "container"
        assert set(container) == {"args", "command", "image"}
        assert container["image"] == "registry.example/pocketrec:1"
        assert container["command"][-1] == "pipeline.kubeflow_entrypoint"


def test_kubeflows_own_loader_takes_it(spec: dict[str, Any], tmp_path: Path) -> None:
    import yaml
    from kfp import components

    loaded = components.load_component_from_text(yaml.safe_dump(spec))
    assert loaded.name == "movielens-100k"


def test_the_same_again(spec: dict[str, Any], tmp_path: Path) -> None:
    assert compiled(tmp_path / "again.yaml") == spec
    first, second = tmp_path / "again.yaml", tmp_path / "once_more.yaml"
    compiled(second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("movielens_100k", "movielens-100k"),
        ("My Shop (v2)", "my-shop-v2"),
        ("__", "pocketrec"),
        ("a" * 200, "a" * 128),
        ("a" * 127 + " b", "a" * 127),
    ],
)
def test_names(name: str, allowed: str) -> None:
    from pipeline.kubeflow_runner import kubeflow_name

    assert kubeflow_name(name) == allowed


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("--pipeline-root", "runs"), "pipeline root runs: expected gs://"),
        (("--pipeline-root", "s3" + "://b/r"), "expected gs://BUCKET/PATH"),
        (("--push-destination", "push"), "push destination push: expected gs://"),
        (("--data", "data/sample"), "data data/sample: expected gs://"),
        (("--push-destination", ""), "push destination: none given"),
        (("--set", "train.num_epochs=0"), "train.num_epochs"),
    ],
)
def test_refused(change: tuple[str, str], part: str, tmp_path: Path) -> None:
    from pipeline.cli import main

    output = tmp_path / "pipeline.yaml"
    arguments = {
        "--config": str(CONFIG),
        "--data": "gs://recommender/data",
        "--pipeline-root": "gs://recommender/runs",
        "--push-destination": "gs://recommender/push",
        "--image": "i",
        "--output": str(output),
        change[0]: change[1],
    }
    flat = [text for option in arguments.items() for text in option]
    done = CliRunner().invoke(main, ["kubeflow", "compile", *flat])
    assert done.exit_code == 1
    assert part in done.output
    assert not output.exists()


@pytest.mark.slow
def test_tasks_run_on_what_the_open_source_driver_hands_them(tmp_path: Path) -> None:
    """Two tasks of the compiled file, the second fed by the first, types left empty."""
    from pipeline.kubeflow_runner import compile_pipeline

    config = load_config(ROOT / "configs" / "sample.pbtxt")
    data, push = str(ROOT / "data" / "sample"), str(tmp_path / "push")
    spec = compile_pipeline(config, data, "gs://bucket/root", push, "image")
    produced = {
        "TimelineExampleGen": run_task(spec, "TimelineExampleGen", {}, tmp_path)
    }
    produced["StatisticsGen"] = run_task(spec, "StatisticsGen", produced, tmp_path)
    examples = produced["TimelineExampleGen"]["examples"]
    assert json.loads(examples["metadata"]["split_names"])[0] == "train"
    statistics = Path(produced["StatisticsGen"]["statistics"]["uri"])
    assert (statistics / "Split-train" / "FeatureStats.pb").stat().st_size > 0


def run_task(
    spec: dict[str, Any],
    name: str,
    produced: dict[str, dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Starts a task's command as Kubeflow's launcher does; returns its artifacts."""
    task = spec["root"]["dag"]["tasks"][name]
    component = spec["components"][task["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]
    inputs = task["inputs"]
    artifacts = {}
    for key, source in inputs.get("artifacts", {}).items():
        output = source["taskOutputArtifact"]
        artifact = dict(produced[output["producerTask"]][output["outputArtifactKey"]])
        artifact["type"] = {"instanceSchema": ""}
        artifacts[key] = {"artifacts": [artifact]}
    task_root = folder / name
    task_root.mkdir()
    outputs = {
        key: {
            "artifacts": [
                {
                    "name": "",
                    "uri": str(task_root / key),
                    "type": declared["artifactType"],
                    "metadata": {},
                }
            ]
        }
        for key, declared in component["outputDefinitions"]["artifacts"].items()
    }
    values = {
        key: value["runtimeValue"]["constant"]
        for key, value in inputs["parameters"].items()
    }
    output_file = task_root / "executor_output.json"
    invocation = json.dumps(
        {
            "inputs": {"parameterValues": values, "artifacts": artifacts},
            "outputs": {"artifacts": outputs, "outputFile": str(output_file)},
        }
    )
    empty = task_root / "empty"
    empty.mkdir()
    [_, *command] = container["container"]["command"]
    done = subprocess.run(
        [
            sys.executable,
            *command,
            *(
                arg.replace("{{$}}", invocation)
                for arg in container["container"]["args"]
            ),
        ],
        cwd=empty,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "device"))),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = {key: value["artifacts"][0] for key, value in outputs.items()}
    written = json.loads(output_file.read_text())["artifacts"]
    for key, value in written.items():
        result[key] = {**result[key], **value["artifacts"][0]}
    return result
