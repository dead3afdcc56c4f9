"""The compiled sample pipeline, task by task as on Kubeflow, from the wheel alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp", reason="kfp is not installed (Python 3.10 and 3.11 only)")

from components.tflite_converter.manifest import by_metric
from configs.loader import load_config
from data.daily import cut, read_ratings, write_day
from tests.checkout import ROOT
from tests.e2e.commands import SAMPLE, pocketrec
from tests.kubeflow_backend import Backend
from tests.wheel import wheel_environment

pytestmark = pytest.mark.e2e

CONFIG = ROOT / "configs" / "sample_daily.pbtxt"
EPOCHS = 4


@dataclass(frozen=True)
class Ran:
    """A run of the compiled pipeline.

    Attributes:
      data: two daily spans.
      backend: with what the tasks have produced.
      push: the destination.
      tasks: in the order in which they ran.
    """

    data: Path
    backend: Backend
    push: Path
    tasks: list[str]


def compiled(data: str, push: str) -> dict[str, Any]:
    from pipeline.kubeflow_runner import compile_pipeline

    config = load_config(CONFIG)
    return compile_pipeline(config, data, "gs://bucket/root", push, "image")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_environment(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def ran(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("kubeflow")
    data, push = folder / "data", folder / "push"
    for index, ratings in enumerate(cut(read_ratings(SAMPLE), 4)[:2]):
        write_day(SAMPLE, data, index, ratings)
    # Whatever is compiled in is not what is run.
    spec = compiled("gs://bucket/data", "gs://bucket/push")
    backend = Backend(python, folder / "root")
    tasks = backend.run(
        spec,
        data=str(data),
        push_destination=str(push),
        span="2024-03-02",
        span_window=2,
        num_epochs=EPOCHS,
    )
    return Ran(data, backend, push, list(tasks))


def test_all_tasks_run_to_a_pushed_bundle(ran: Ran) -> None:
    assert len(ran.tasks) == 11
    assert ran.tasks[-1] == "TFLitePusher"
    assert (ran.push / "CURRENT").read_text() == "1\n"
    inspected = pocketrec("inspect-bundle", ran.push)
    assert inspected.code == 0, inspected.err


def test_it_is_the_model_of_a_local_run(ran: Ran, tmp_path: Path) -> None:
    local = pocketrec(
        "run",
        *("--config", CONFIG, "--data", ran.data, "--output", tmp_path),
        *("--set", f"train.num_epochs={EPOCHS}", "--set", "data.span_window=2"),
        *("--span", "2024-03-02"),
    )
    assert local.code == 0, local.out + local.err
    there = ran.push / "versions" / "1" / "bundle"
    here = tmp_path / "push" / "versions" / "1" / "bundle"
    ours, theirs = (
        json.loads((bundle / "manifest.json").read_text()) for bundle in (here, there)
    )
    for gate in ("saved_model", "tflite"):
        rows = by_metric(ours["gates"][gate])
        assert rows["hr_10_test"]["value"] > 0
        assert rows == by_metric(theirs["gates"][gate])
    for name in ("model.tflite", "items.jsonl"):
        assert ours["files"][name] == theirs["files"][name]
    assert ours["data"] == theirs["data"]


def test_the_date_of_the_schedule_became_a_span_as_it_ran(ran: Ran) -> None:
    examples = ran.backend.produced["TimelineExampleGen"]["examples"]
    assert examples["metadata"]["span"] == 19784
    report = ran.backend.produced["TimelineExampleGen"]["ingestion_report"]
    window = json.loads(Path(report["uri"]).read_text())["spans"]["window"]
    assert window == [19783, 19784]


def test_the_number_of_epochs_was_chosen_as_it_ran(ran: Ran) -> None:
    history = Path(ran.backend.produced["Trainer"]["model_run"]["uri"], "history.json")
    assert len(json.loads(history.read_text())["epochs"]) <= EPOCHS


def test_before_the_first_push_there_is_no_current_model(ran: Ran) -> None:
    for artifact in ran.backend.produced["CurrentModel"].values():
        assert not list(Path(artifact["uri"]).iterdir())


def test_a_span_that_is_not_there_fails_by_name(ran: Ran, tmp_path: Path) -> None:
    spec = compiled(str(ran.data), str(ran.push))
    backend = Backend(ran.backend.python, tmp_path)
    values = {
        name: declared["defaultValue"]
        for name, declared in spec["root"]["inputDefinitions"]["parameters"].items()
    }
    with pytest.raises(AssertionError) as error:
        backend.run_task(spec, "TimelineExampleGen", {**values, "span": "2024-03-05"})
    expected = r"span 2024-03-05 \(19787\) does not exist .* There are 2024-03-01"
    assert re.search(expected, str(error.value))
