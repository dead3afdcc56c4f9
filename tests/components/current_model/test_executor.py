from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.current_model.component import CurrentModel
from components.current_model.current import NOTHING_PUSHED, current_digest
from components.current_model.executor import Executor
from components.evaluator.executor import holds_model
from configs.errors import UserError

Push = Callable[..., None]


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "pushed"


@pytest.fixture
def run(tmp_path: Path, destination: Path) -> Callable[..., dict[str, Any]]:
    """Runs the executor into fresh artifacts."""
    runs = iter(range(10))

    def do(digest: str | None = None) -> dict[str, Any]:
        folder = tmp_path / f"run-{next(runs)}"
        artifacts = {}
        for key in ("model", "tflite_model", "training"):
            artifacts[key] = standard_artifacts.Model()
            artifacts[key].uri = str(folder / key)
        artifacts["examples"] = standard_artifacts.Examples()
        artifacts["examples"].uri = str(folder / "examples")
        component = CurrentModel(str(destination), "0", digest)
        outputs = {key: [artifact] for key, artifact in artifacts.items()}
        Executor().Do({}, outputs, component.exec_properties)
        return artifacts

    return do


def served(artifact: Any, name: str) -> str:
    return (Path(artifact.uri) / "Format-Serving" / name).read_text()


def test_before_the_first_push_both_are_empty(run: Any) -> None:
    for artifact in run(NOTHING_PUSHED).values():
        assert list(Path(artifact.uri).iterdir()) == []
        assert not holds_model(artifact)


def test_after_a_push_and_a_rollback(run: Any, push: Push, destination: Path) -> None:
    for version in (1, 2):
        push(destination, version)
        artifacts = run(current_digest(str(destination)))
        assert served(artifacts["model"], "saved_model.pb") == f"model {version}"
        assert served(artifacts["model"], "variables/variables.index") == ""
        tflite = artifacts["tflite_model"]
        assert served(tflite, "model.tflite") == f"tflite {version}"
        assert served(tflite, "vocabularies/movie_id.txt") == "50\n"
        stored = Path(artifacts.pop("examples").uri) / "Split-test" / "part.gz"
        assert stored.read_text() == f"examples {version}"
        training = artifacts.pop("training")
        assert served(training, "config.pbtxt") == f"config {version}"
        assert served(training, "best.weights.h5") == f"weights {version}"
        assert served(training, "transform/saved_model.pb") == f"graph {version}"
        assert all(holds_model(artifact) for artifact in artifacts.values())
    (destination / "CURRENT").write_text("1\n")
    assert served(run()["model"], "saved_model.pb") == "model 1"


@pytest.mark.parametrize("part", ["config.pbtxt", "transform", "model_run/checkpoints"])
def test_without_all_that_a_warm_start_needs_there_is_none(
    run: Any, push: Push, destination: Path, part: str
) -> None:
    """As with train.checkpoint_path, which puts checkpoints elsewhere."""
    push(destination, 1, without=part)
    artifacts = run()
    assert list(Path(artifacts["training"].uri).iterdir()) == []
    assert served(artifacts["model"], "saved_model.pb") == "model 1"


def test_a_change_since_the_run_began_is_refused(
    run: Any, push: Push, destination: Path
) -> None:
    push(destination, 1)
    before = current_digest(str(destination))
    push(destination, 2)
    with pytest.raises(UserError, match="current version has changed"):
        run(before)
    with pytest.raises(UserError, match="current version has changed"):
        run(NOTHING_PUSHED)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.tflite", "other", r"model\.tflite: is not what the manifest says"),
        ("items.jsonl", None, r"items\.jsonl: is not what the manifest says"),
        ("manifest.json", "{}", r"manifest\.json: is no manifest"),
        ("manifest.sha256", "", r"manifest\.json: is not what manifest\.sha256 says"),
        ("manifest.json", '{"format_version": 0, "files": {}}', "has format version 0"),
    ],
)
def test_a_bundle_that_is_damaged_or_of_another_format_is_refused(
    run: Any,
    push: Push,
    destination: Path,
    name: str,
    content: str | None,
    message: str,
) -> None:
    push(destination, 1)
    path = destination / "versions" / "1" / "bundle" / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        run()


def test_a_broken_pointer_is_refused(run: Any, push: Push, destination: Path) -> None:
    push(destination, 1)
    (destination / "CURRENT").write_text("9\n")
    with pytest.raises(UserError, match="names version 9"):
        run()
