"""A stand-in for open-source Kubeflow Pipelines: its driver and its launcher.

It reads a compiled pipeline, and starts the command of each task in an empty folder
with what the two hand it: the artifacts of other tasks without a type, with a number
for a name and metadata that nobody asked for; numbers that need not be whole; an
output file that is not there yet.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.wheel import clean_environment

Artifact = dict[str, Any]


@dataclass
class Backend:
    """Runs compiled pipelines.

    Attributes:
      python: in place of the ``python`` of the container image.
      root: of the pipeline's artifacts.
      produced: by task and output key, the artifact, as tasks have come to an end.
    """

    python: Path
    root: Path
    produced: dict[str, dict[str, Artifact]] = field(default_factory=dict)

    def run(self, spec: Mapping[str, Any], **parameters: Any) -> Iterator[str]:
        """Runs all tasks, one after the other; yields each one's name.

        Args:
          spec: a compiled pipeline.
          **parameters: of the run; by default as declared.

        Raises:
          AssertionError: if a task fails, with what it printed.
        """
        declared = spec["root"]["inputDefinitions"]["parameters"]
        unknown = parameters.keys() - declared.keys()
        assert not unknown, f"no such parameters: {unknown}"
        values = {name: one["defaultValue"] for name, one in declared.items()}
        values |= parameters
        for name in in_order(spec):
            self.produced[name] = self.run_task(spec, name, values)
            yield name

    def run_task(
        self, spec: Mapping[str, Any], name: str, values: Mapping[str, Any]
    ) -> dict[str, Artifact]:
        """Starts a task as the launcher does; returns its artifacts."""
        task = spec["root"]["dag"]["tasks"][name]
        component = spec["components"][task["componentRef"]["name"]]
        executors = spec["deploymentSpec"]["executors"]
        container = executors[component["executorLabel"]]["container"]
        folder = self.root / name
        outputs = {
            key: {
                "artifacts": [
                    {
                        "name": key,
                        "uri": str(folder / key),
                        "type": declared["artifactType"],
                        "metadata": {},
                    }
                ]
            }
            for key, declared in component["outputDefinitions"]["artifacts"].items()
        }
        output_file = folder / "output" / "executor_output.json"
        empty = folder / "container"
        empty.mkdir(parents=True)
        output_file.parent.mkdir()
        invocation = json.dumps(
            {
                "inputs": {
                    "parameterValues": {
                        key: _value(source, values)
                        for key, source in task["inputs"].get("parameters", {}).items()
                    },
                    "artifacts": {
                        key: {"artifacts": [self._input(source)]}
                        for key, source in task["inputs"].get("artifacts", {}).items()
                    },
                },
                "outputs": {"artifacts": outputs, "outputFile": str(output_file)},
            }
        )
        command, *arguments = container["command"]
        assert command == "python"
        arguments += [text.replace("{{$}}", invocation) for text in container["args"]]
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=empty,
            env=clean_environment(TF_CPP_MIN_LOG_LEVEL="3"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        assert not list(empty.iterdir()), f"{name} leaves files in its container"
        result = {key: value["artifacts"][0] for key, value in outputs.items()}
        written = json.loads(output_file.read_text()).get("artifacts", {})
        for key, value in written.items():
            result[key] = {**result[key], **value["artifacts"][0]}
        return result

    def _input(self, source: Mapping[str, Any]) -> Artifact:
        output = source["taskOutputArtifact"]
        artifact = self.produced[output["producerTask"]][output["outputArtifactKey"]]
        number = 1 + list(self.produced).index(output["producerTask"])
        return {
            **artifact,
            "name": str(number),
            "type": {"instanceSchema": ""},
            "metadata": {
                **artifact.get("metadata", {}),
                "display_name": output["outputArtifactKey"],
                "store_session_info": '{"Provider":"minio"}',
            },
        }


def in_order(spec: Mapping[str, Any]) -> list[str]:
    """The tasks, each after those that it depends on.

    Raises:
      AssertionError: if a task depends on one that is not there, or on itself.
    """
    tasks = spec["root"]["dag"]["tasks"]
    waiting = {
        name: {
            *task.get("dependentTasks", []),
            *(
                source["taskOutputArtifact"]["producerTask"]
                for source in task["inputs"].get("artifacts", {}).values()
            ),
        }
        for name, task in sorted(tasks.items())
    }
    ordered: list[str] = []
    while waiting:
        ready = [name for name, needs in waiting.items() if needs <= set(ordered)]
        assert ready, f"tasks wait for each other, or for none: {waiting}"
        ordered += ready
        for name in ready:
            del waiting[name]
    return ordered


def _value(source: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    if "componentInputParameter" in source:
        value = values[source["componentInputParameter"]]
    else:
        value = source["runtimeValue"]["constant"]
    # Protobuf's Struct, which the backend keeps them in, has no whole numbers.
    return float(value) if type(value) is int else value
