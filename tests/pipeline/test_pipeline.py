"""What the cache looks at: a change re-runs what depends on it, and nothing else.

A component runs again if its inputs or its execution properties have changed. The
latter are compared here; the former follow by themselves, from those that run again.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.timeline_example_gen.fingerprint import data_fingerprint
from configs import recommender_pb2 as pb
from configs.loader import load_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
GATES = {"Evaluator", "TFLiteEvaluator"}
FROM_EXAMPLES = {
    *("TimelineExampleGen", "ExampleValidator", "Transform", "Trainer"),
    *("TFLiteConverter", *GATES),
}
# Never served from the cache, so that what it depends on does not matter.
PUSHER = "TFLitePusher"


def config_with(*overrides: str) -> pb.RecommenderConfig:
    return load_config(ROOT / "configs" / "sample.pbtxt", overrides)


def properties(config: pb.RecommenderConfig, **binding: str) -> dict[str, Any]:
    """The execution properties of each component as text."""
    from pipeline.pipeline import Binding, create_pipeline

    bound = Binding(
        data="data",
        pipeline_root="root",
        push_destination="push",
        nonce="1",
        source_revision="2",
        fingerprint="3",
        current_digest="4",
    )
    pipeline = create_pipeline(config, replace(bound, **binding))
    return {
        component.id: {k: str(v) for k, v in component.exec_properties.items()}
        for component in pipeline.components
    }


@pytest.fixture(scope="module")
def unchanged() -> dict[str, Any]:
    return properties(config_with())


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    assert before.keys() == after.keys()
    return {node for node in before if before[node] != after[node]}


def test_nothing_changes_by_itself(unchanged: dict[str, Any]) -> None:
    assert changed(unchanged, properties(config_with())) == set()


@pytest.mark.parametrize(
    ("binding", "nodes"),
    [
        ({"nonce": "9"}, {PUSHER}),
        ({"source_revision": "9"}, {PUSHER}),
        ({"fingerprint": "9"}, {"TimelineExampleGen"}),
        ({"current_digest": "9"}, {"CurrentModel"}),
        ({"push_destination": "9"}, {"CurrentModel", PUSHER}),
        ({"pipeline_root": "9"}, set()),
    ],
    ids=lambda value: next(iter(value), "nothing") if isinstance(value, dict) else "",
)
def test_a_binding(
    unchanged: dict[str, Any], binding: dict[str, str], nodes: set[str]
) -> None:
    assert changed(unchanged, properties(config_with(), **binding)) == nodes


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat", "users.dat"])
def test_a_changed_file_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(SAMPLE, data)
    before = data_fingerprint(config_with(), str(data))
    assert data_fingerprint(config_with(), str(data)) == before
    path = data / name
    path.write_bytes(path.read_bytes()[:-2] + b"9\n")
    assert data_fingerprint(config_with(), str(data)) != before


@pytest.mark.parametrize("name", ["README.md", "notes.txt"])
def test_a_file_that_is_not_read_does_not(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(SAMPLE, data)
    before = data_fingerprint(config_with(), str(data))
    (data / name).write_text("changed")
    assert data_fingerprint(config_with(), str(data)) == before


@pytest.mark.parametrize(
    ("override", "nodes"),
    [
        ("train.learning_rate=0.123", {"Trainer"}),
        ("train.num_epochs=77", {"Trainer"}),
        ("push.conversion_timeout_seconds=77", {"TFLiteConverter"}),
        ("push.quantization=DYNAMIC_RANGE", {"TFLiteConverter"}),
        ("push.push_destination=elsewhere", set()),
        ("eval.bounds.0.lower_bound=0.123", GATES),
        ("eval.bounds.0.max_regression=0.123", GATES),
        ("eval.slice_features=label_popularity", GATES),
        # Both say how many predictions there must be, and the trainer reports these K.
        ("eval.eval_top_k=1,10", {"Trainer", "TFLiteConverter", *GATES}),
        ("model.hidden_layer_dims=77", {"Trainer", "TFLiteConverter", *GATES}),
        (
            "input.activity_feature_groups.0.encoder_type=CNN",
            {"Trainer", "TFLiteConverter", *GATES},
        ),
        (
            "input.activity_feature_groups.0.features.2.embedding_dim=77",
            {"Trainer", "TFLiteConverter", *GATES},
        ),
        (
            "input.global_feature_groups.0.features.1.vocab_size=77",
            {"Transform", "Trainer", "TFLiteConverter", *GATES},
        ),
        ("data.min_timeline_length=7", FROM_EXAMPLES),
        (
            "input.activity_feature_groups.0.features.2.values_per_step=2",
            FROM_EXAMPLES,
        ),
    ],
)
def test_a_knob(unchanged: dict[str, Any], override: str, nodes: set[str]) -> None:
    after = properties(config_with(override))
    assert changed(unchanged, after) - {PUSHER} == nodes


@pytest.mark.parametrize(
    ("knob", "nodes"),
    [
        # Transform finds the boundaries of so many buckets.
        ("num_buckets", {"Transform", "Trainer", "TFLiteConverter", *GATES}),
        ("bucket_boundaries", {"Trainer", "TFLiteConverter", *GATES}),
    ],
)
def test_a_knob_of_buckets(knob: str, nodes: set[str]) -> None:
    rating = "input.activity_feature_groups.0.features.1"
    three, four = (
        properties(
            config_with(
                f"{rating}.scaling=NONE",
                f"{rating}.embedding_dim=2",
                f"{rating}.{knob}={value}",
            )
        )
        for value in (3, 4)
    )
    assert changed(three, four) - {PUSHER} == nodes


PACKAGES = {
    "components.child_process": {"TFLiteConverter", *GATES},
    "components.timeline_example_gen": {"TimelineExampleGen"},
    "components.example_validator": {"ExampleValidator"},
    "components.transform": {"Transform", "Trainer", "TFLiteConverter"},
    "components.trainer": {"Trainer", "TFLiteConverter"},
    "components.checksums": {"CurrentModel"},
    "components.current_model": {"CurrentModel"},
    "components.files": {"CurrentModel"},
    "components.evaluator": GATES,
    "components.tflite_converter": {"TFLiteConverter", *GATES},
    "pocketrec_device": {"TFLiteConverter", *GATES},
    "components.tflite_pusher": {PUSHER},
}


def digests(change: str = "") -> Callable[..., str]:
    """In the place of `code_digest`: which packages, and one of them changed."""

    def digest(*packages: str) -> str:
        return ",".join(p + "*" * (p == change) for p in packages)

    return digest


@pytest.mark.parametrize("package", PACKAGES)
def test_changed_code(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import pipeline

    monkeypatch.setattr(pipeline, "code_digest", digests())
    before = properties(config_with())
    monkeypatch.setattr(pipeline, "code_digest", digests(package))
    after = properties(config_with())
    assert changed(before, after) == PACKAGES[package]


ENTRY_POINTS = {
    "TimelineExampleGen": "components.timeline_example_gen.executor",
    "ExampleValidator": "components.example_validator.executor",
    "Transform": "components.transform.preprocessing",
    "Trainer": "components.trainer.run_fn",
    "CurrentModel": "components.current_model.executor",
    "Evaluator": "components.evaluator.executor",
    "TFLiteEvaluator": "components.evaluator.tflite_extractor",
    "TFLiteConverter": "components.tflite_converter.executor",
}


@pytest.mark.parametrize("node", ENTRY_POINTS)
def test_a_digest_covers_all_that_the_component_imports(
    node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import pipeline

    monkeypatch.setattr(pipeline, "code_digest", digests())
    given = properties(config_with())[node]
    text = given.get("code_digest") or given["custom_config"]
    covered = tuple(p for p in PACKAGES if p in text)
    reached = set(reachable(ENTRY_POINTS[node]))
    assert ENTRY_POINTS[node] in reached
    missed = {name for name in reached if not name.startswith((*covered, "configs"))}
    assert missed == set()


def reachable(module: str, found: set[str] | None = None) -> set[str]:
    """A module and those of ours that it imports, directly or through others."""
    found = set() if found is None else found
    if module in found:
        return found
    found.add(module)
    for name in imports(module):
        reachable(name, found)
    return found


def imports(module: str) -> Iterator[str]:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else node.module for name in inner]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] in ("components", "pocketrec_device"):
                yield name


def is_module(name: str) -> bool:
    top = name.split(".")[0]
    if top not in ("components", "pocketrec_device"):
        return False
    parent = name.rpartition(".")[0]
    spec = importlib.util.find_spec(parent)
    return (
        spec is not None
        and spec.submodule_search_locations is not None
        and importlib.util.find_spec(name) is not None
    )
