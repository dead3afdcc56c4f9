"""The canary's request is one that the bundle can answer, whatever it looks at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from components.tflite_converter.canary import canary_request
from pocketrec_device.features import InputSpec, Item


def spec(source: str, feature_type: str = "INT", **values: Any) -> InputSpec:
    return InputSpec(
        **{
            "name": f"context_{source}",
            "dtype": "float32" if feature_type == "FLOAT" else "int32",
            "length": 3,
            "role": "context",
            "field": source,
            "source": source,
            "feature_type": feature_type,
            "multi_valued": False,
            "vocabulary": None,
            "vocab_size": 0,
            "timezone": None,
            "values_per_step": 0,
            **values,
        }
    )


def bundle(indices: list[int], *inputs: InputSpec) -> Any:
    items = [Item(index=i, id=str(i), title="", features={}) for i in indices]
    return SimpleNamespace(
        items={item.id: item for item in items},
        inputs=inputs,
        max_context_length=3,
        vocabularies={"stars": {b"2": 2, b"4": 3}},
    )


def test_the_history_is_longer_than_the_context_and_leaves_items_over() -> None:
    for count, known in ((1, 1), (2, 1), (3, 2), (4, 2), (9, 5), (100, 5)):
        request = canary_request(bundle(list(range(2, 2 + count))), 0)
        assert len(request.items) == 4
        assert len(set(request.items)) == min(known, 4)


def test_out_of_vocabulary_is_asked_for_only_where_there_is_nothing_else() -> None:
    assert "1" not in canary_request(bundle([1, 2, 3, 4]), 0).items
    assert set(canary_request(bundle([1]), 0).items) == {"1"}


@pytest.mark.parametrize(
    ("specs", "ratings"),
    [
        ([spec("value", "FLOAT")], [3.0, 5.0, 1.0, 4.0]),
        ([spec("value", vocab_size=3)], [1, 2, 1, 2]),
        ([spec("value", vocab_size=3), spec("value", "FLOAT")], [1, 2, 1, 2]),
        ([spec("value", vocabulary="stars", vocab_size=4)], [2, 2, 2, 2]),
        ([], None),
    ],
)
def test_ratings_are_those_that_the_model_knows(
    specs: list[InputSpec], ratings: list[Any] | None
) -> None:
    assert canary_request(bundle([2, 3], *specs), 0).ratings == ratings


def test_times_are_there_where_something_looks_at_them() -> None:
    assert canary_request(bundle([2, 3], spec("hour")), 100).timestamps == [
        *(100, 3700, 7300, 10900),
    ]
    assert canary_request(bundle([2, 3]), 100).timestamps is None
