"""The model card of a bundle: what it is, what it was made from, how good it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from components.evaluator.verdict import SliceMetrics
from components.tflite_converter import manifest as manifests

# Slices by one column: more are in the artifact of the evaluation.
_MOST_SLICES = 30


def model_card(manifest: Mapping[str, Any], slices: Sequence[SliceMetrics] = ()) -> str:
    """Markdown about a bundle.

    Args:
      manifest: of the bundle, gates included.
      slices: what the ``.tflite`` file's gate has measured on parts of the examples.
    """
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
        *_slices_section(slices),
        *_variants_section(manifest.get("variants", [])),
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


def _slices_section(slices: Sequence[SliceMetrics]) -> Iterator[str]:
    for feature, found in itertools.groupby(slices, lambda part: part.feature):
        parts = list(found)
        title = f"### The .tflite file by {feature}\n\n"
        if len(parts) > _MOST_SLICES:
            yield f"{title}{len(parts)} values are too many to be listed."
            continue
        names = list(parts[0].metrics)
        rows = [
            (part.value, part.examples, *(_number(part.metrics[n]) for n in names))
            for part in parts
        ]
        yield title + _table((feature, "examples", *names), rows)


def _variants_section(variants: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if len(variants) > 1:
        names = dict.fromkeys(name for v in variants for name in v["metrics"])
        rows = [
            (
                variant["quantization"],
                f"{variant['size']:,}" if variant["size"] else "",
                *(_number(variant["metrics"].get(name)) for name in names),
                variant["fate"],
            )
            for variant in variants
        ]
        header = ("variant", "bytes", *names, "")
        yield "### Variants that were tried\n\n" + _table(header, rows)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *([str(c) for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
