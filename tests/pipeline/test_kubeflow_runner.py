"""The compiled pipeline: what the open-source backend accepts, and that tasks run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp", reason="kfp is not installed (Python 3.10 and 3.11 only)")

from click.testing import CliRunner

from tests.checkout import ROOT

CONFIG = ROOT / "configs" / "movielens_100k.pbtxt"
SPANS = ("--set", "data.span_folder={YYYY}-{MM}-{DD}")
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
    return compiled(tmp_path_factory.mktemp("kubeflow") / "pipeline.yaml", *SPANS)


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
    assert compiled(tmp_path / "again.yaml", *SPANS) == spec
    first, second = tmp_path / "again.yaml", tmp_path / "once_more.yaml"
    compiled(second, *SPANS)
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


def test_parameters_once_each_with_type_and_default(spec: dict[str, Any]) -> None:
    declared = spec["root"]["inputDefinitions"]["parameters"]
    assert {
        name: (one["parameterType"], one["defaultValue"])
        for name, one in declared.items()
    } == {
        "data": ("STRING", "gs://recommender/data"),
        "span": ("STRING", "latest"),
        "span_window": ("NUMBER_INTEGER", 1),
        "push_destination": ("STRING", "gs://recommender/push"),
        "num_epochs": ("NUMBER_INTEGER", 60),
        "steps_per_epoch": ("NUMBER_INTEGER", 0),
    }
    used: dict[str, set[str]] = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        for source in task["inputs"].get("parameters", {}).values():
            if "componentInputParameter" in source:
                used.setdefault(source["componentInputParameter"], set()).add(name)
    assert used == {
        "data": {"TimelineExampleGen"},
        "span": {"TimelineExampleGen"},
        "span_window": {"TimelineExampleGen"},
        "push_destination": {"CurrentModel", "TFLitePusher"},
        "num_epochs": {"Trainer"},
        "steps_per_epoch": {"Trainer"},
    }


def test_there_is_no_span_to_choose_where_data_comes_in_one_piece(
    tmp_path: Path,
) -> None:
    """A date would be refused, when the run has begun."""
    spec = compiled(tmp_path / "pipeline.yaml")
    declared = spec["root"]["inputDefinitions"]["parameters"]
    assert set(declared) == {
        *("data", "push_destination", "num_epochs", "steps_per_epoch")
    }


def test_a_parameter_inside_a_constant_is_refused() -> None:
    from tfx.orchestration.data_types import RuntimeParameter
    from tfx.utils import json_utils

    from pipeline.kubeflow_runner import _check_parameters

    text = json_utils.dumps({"steps": RuntimeParameter(name="steps", ptype=int)})
    inputs = {"parameters": {"train_args": {"runtimeValue": {"constant": text}}}}
    spec = {"root": {"dag": {"tasks": {"Trainer": {"inputs": inputs}}}}}
    with pytest.raises(ValueError, match="Trainer: train_args has a parameter inside"):
        _check_parameters(spec)


def test_a_warm_start_is_fed_by_the_current_version(tmp_path: Path) -> None:
    spec = compiled(tmp_path / "pipeline.yaml", "--set", "train.warm_start=true")
    inputs = spec["root"]["dag"]["tasks"]["Trainer"]["inputs"]["artifacts"]
    assert inputs["base_model"]["taskOutputArtifact"] == {
        "producerTask": "CurrentModel",
        "outputArtifactKey": "training",
    }
