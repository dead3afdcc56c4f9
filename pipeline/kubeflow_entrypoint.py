"""What a task's container starts: TFX's own entrypoint, its inputs made complete.

The driver of open-source Kubeflow hands on artifacts without a type, and TFX's
entrypoint cannot do without. The types are those that the component declares.
"""

from __future__ import annotations

import json
import sys
from typing import Any

INVOCATION = "--json_serialized_invocation_args"
INPUTS_SPEC = "--json_serialized_inputs_spec_args"


def with_types(
    invocation: dict[str, Any], inputs_spec: dict[str, Any]
) -> dict[str, Any]:
    """The invocation with every input artifact of a known type.

    Args:
      invocation: an ExecutorInput in JSON.
      inputs_spec: the ComponentInputsSpec in JSON that it was compiled with.

    Returns:
      a new ExecutorInput.

    Raises:
      ValueError: for an input that the component does not declare.
    """
    declared = inputs_spec.get("artifacts", {})
    result: dict[str, Any] = json.loads(json.dumps(invocation))
    inputs = result.get("inputs", {}).get("artifacts", {})
    for key, artifacts in inputs.items():
        for artifact in artifacts.get("artifacts", []):
            if any((artifact.get("type") or {}).values()):
                continue
            if key not in declared:
                raise ValueError(
                    f"input artifact {key} has no type, and the component declares "
                    f"only {', '.join(declared) or 'none'}"
                )
            artifact["type"] = declared[key]["artifactType"]
    return result


def arguments_with_types(arguments: list[str]) -> list[str]:
    """A task's command line, its invocation replaced by `with_types` of it."""
    result = list(arguments)
    place = result.index(INVOCATION) + 1
    spec = "{}"
    if INPUTS_SPEC in result:
        spec = result[result.index(INPUTS_SPEC) + 1] or "{}"
    invocation = with_types(json.loads(result[place]), json.loads(spec))
    result[place] = json.dumps(invocation)
    return result


def main() -> None:
    """Runs one task."""
    from absl import app
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as tfx

    arguments = [sys.argv[0], *arguments_with_types(sys.argv[1:])]
    app.run(tfx.main, argv=arguments, flags_parser=tfx._parse_flags)


if __name__ == "__main__":
    main()
