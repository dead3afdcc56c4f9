"""The model card of a bundle: what it is, what it was made from, how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components.tflite_converter import manifest as manifests


def model_card(manifest: Mapping[str, Any]) -> str:
    """Markdown from a bundle's manifest, gates included."""
    data = manifest["data"]
    model = manifest["files"][manifests.MODEL]
    first = manifests.day(data["first_timestamp"])
    last = manifests.day(data["last_timestamp"])
    inputs = [
        (spec["name"], spec["dtype"], f"[1, {spec['length']}]")
        for spec in manifest["signature"]["inputs"]
    ]
    outputs = [
        (spec["name"], spec["dtype"], f"[{spec['length']}]")
        for spec in manifest["signature"]["outputs"]
    ]
    sections = [
        f"# {manifest['name']}, version {manifest['version']}",
        f"Recommends up to {manifest['num_predictions']} of {data['items']} items from "
        "the user's last activities, on the device "
        f"({model['size']:,} bytes, {manifest['quantization']}).",
        "## Data",
        f"{data['activities']:,} activities of {data['users']:,} users from {first} to "
        f"{last}.",
        _table(("split", "examples"), sorted(data["examples"].items())),
        "## Accuracy",
        f"Protocol: {manifest['protocol']}.",
        *(_gate_section(gate, rows) for gate, rows in manifest["gates"].items()),
        "## Inputs and outputs",
        _table(("name", "type", "shape"), inputs + outputs),
        "## Intended use and limits",
        "Ranking the items of this catalogue for users whose activities resemble those "
        "above. Items and words that are not in the vocabularies share one embedding; "
        "items that no activity of the training data touches are ranked by little more "
        "than chance. Popular items are recommended more often than they are used. "
        "It is not meant for decisions about people.",
    ]
    return "\n\n".join(sections) + "\n"


def _gate_section(gate: str, rows: Iterable[Mapping[str, Any]]) -> str:
    title = {"saved_model": "Trained model", "tflite": "The .tflite file"}[gate]
    columns = ("metric", "slice", "value", "lower_bound", "upper_bound", "baseline")
    return f"### {title}\n\n" + _table(
        columns, [[_number(row.get(column)) for column in columns] for row in rows]
    )


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *([str(c) for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
