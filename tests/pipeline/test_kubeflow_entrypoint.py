"""Artifact types that the driver leaves out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.kubeflow_entrypoint import arguments_with_types, with_types

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
OTHER = {"schemaTitle": "system.Model"}
SPEC = {"artifacts": {"examples": {"artifactType": EXAMPLES}}}


def invocation(*kinds: Any) -> dict[str, Any]:
    artifacts = [{"uri": f"/{i}", "type": kind} for i, kind in enumerate(kinds)]
    return {"inputs": {"artifacts": {"examples": {"artifacts": artifacts}}}}


def types(invocation: dict[str, Any]) -> list[Any]:
    artifacts = invocation["inputs"]["artifacts"]["examples"]["artifacts"]
    return [artifact["type"] for artifact in artifacts]


@pytest.mark.parametrize("empty", [None, {}, {"instanceSchema": ""}])
def test_a_missing_type_is_the_declared_one(empty: Any) -> None:
    given = invocation(empty, OTHER)
    assert types(with_types(given, SPEC)) == [EXAMPLES, OTHER]
    assert types(given) == [empty, OTHER]


def test_nothing_to_do() -> None:
    assert with_types({"outputs": {}}, {}) == {"outputs": {}}


def test_an_input_that_nobody_declares() -> None:
    with pytest.raises(ValueError, match=r"artifact examples has no type.* only none"):
        with_types(invocation({}), {})


def test_the_other_arguments_stay() -> None:
    arguments = [
        "--executor_class_path",
        "a.B",
        "--json_serialized_invocation_args",
        json.dumps(invocation({})),
        "--json_serialized_inputs_spec_args",
        json.dumps(SPEC),
        "--direct_num_workers=1",
    ]
    result = arguments_with_types(arguments)
    assert types(json.loads(result.pop(3))) == [EXAMPLES]
    arguments.pop(3)
    assert result == arguments
