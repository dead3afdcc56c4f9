"""What differs between versions stands in one module, and in the docs."""

from __future__ import annotations

import inspect

import pytest

from configs import compatibility, loader
from configs import recommender_pb2 as pb
from tests.checkout import ROOT

PAGE = (ROOT / "docs" / "versions.md").read_text()
DIFFERENCES = [
    function
    for _, function in inspect.getmembers(compatibility, inspect.isfunction)
    if function.__module__ == compatibility.__name__
]


@pytest.mark.parametrize("function", DIFFERENCES, ids=lambda f: f.__name__)
def test_each_difference_is_listed_and_says_who_needs_it(function: object) -> None:
    assert f"| `{function.__name__}` |" in PAGE
    documentation = inspect.getdoc(function) or ""
    assert "TFX 1.16" in documentation
    assert "TFX 1.21" in documentation


def test_no_other_version_is_asked_for_in_our_packages() -> None:
    asking = ("sys.version_info", "__version__", "importlib.metadata")
    found = {
        f"{path.relative_to(ROOT)}: {word}"
        for package in ("components", "configs", "data", "device", "pipeline")
        for path in (ROOT / package).rglob("*.py")
        for word in asking
        if word in path.read_text()
    }
    # There a version decides what a message says or which results still count, not what
    # is done.
    assert found == {
        "pipeline/beam_options.py: __version__",
        "pipeline/experiment/worker.py: __version__",
        "pipeline/kubeflow_commands.py: sys.version_info",
    }


@pytest.mark.parametrize(
    ("message", "field", "repeated"),
    [
        (pb.RecommenderConfig, "name", False),
        (pb.RecommenderConfig, "input", False),
        (pb.InputConfig, "activity_feature_groups", True),
        (pb.ModelConfig, "hidden_layer_dims", True),
    ],
)
def test_is_repeated(message: type, field: str, repeated: bool) -> None:
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    assert compatibility.is_repeated(descriptor) is repeated


@pytest.mark.filterwarnings("error")
def test_reading_a_configuration_warns_of_nothing() -> None:
    config = loader.load_config(
        ROOT / "configs" / "sample.pbtxt", ["model.hidden_layer_dims=8,4"]
    )
    assert list(config.model.hidden_layer_dims) == [8, 4]
