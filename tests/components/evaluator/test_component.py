from __future__ import annotations

import json

import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.current_model.component import CurrentModel
from components.evaluator.component import Evaluator
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text


def channel(kind: type[types.Artifact]) -> types.Channel:
    return types.Channel(type=kind)


def test_two_gates_in_one_pipeline(config: pb.RecommenderConfig) -> None:
    text = config_to_text(config)
    examples = channel(standard_artifacts.Examples)
    current = CurrentModel("pushed", "0")
    gates = [
        Evaluator(
            examples=examples,
            model=channel(standard_artifacts.Model),
            baseline_model=current.outputs[output],
            config=text,
            gate=gate,
            code_digest="abc",
        ).with_id(node)
        for gate, output, node in (
            (pb.SAVED_MODEL, "model", "Evaluator"),
            (pb.TFLITE, "tflite_model", "TFLiteEvaluator"),
        )
    ]
    assert [gate.id for gate in gates] == ["Evaluator", "TFLiteEvaluator"]
    for gate, name in zip(gates, ("SAVED_MODEL", "TFLITE"), strict=True):
        assert set(gate.outputs) == {"evaluation", "blessing"}
        assert gate.exec_properties["gate"] == name
        assert gate.exec_properties["code_digest"] == "abc"
        assert json.loads(gate.exec_properties["example_splits"]) == ["test"]
    assert [gate.exec_properties.get("module_path") for gate in gates] == [
        "components.evaluator.slices",
        "components.evaluator.tflite_extractor",
    ]


def test_a_configuration_without_bounds_is_refused() -> None:
    with pytest.raises(UserError, match="no absolute bound"):
        Evaluator(
            examples=channel(standard_artifacts.Examples),
            model=channel(standard_artifacts.Model),
            config=config_to_text(pb.RecommenderConfig()),
            gate=pb.TFLITE,
            code_digest="abc",
        )
