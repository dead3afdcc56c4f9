"""Writes a bundle: model.tflite, vocabularies, item catalogue and manifest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_transform as tft

from components.tflite_converter import catalogue, convert, manifest
from components.tflite_converter.converter_process import SIGNATURE
from components.tflite_converter.raw_examples import example_tensors
from components.transform import vocabularies
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pocketrec_device import Bundle


@dataclass(frozen=True)
class Description:
    """All of a bundle but its model.

    Attributes:
      config: the configuration.
      items: content of ``items.jsonl``.
      vocabularies: content of each file in ``vocabularies/``, by its name.
      manifest: without what depends on the model.
      start: of the canary's history, seconds since 1970.
    """

    config: pb.RecommenderConfig
    items: bytes
    vocabularies: Mapping[str, bytes]
    manifest: Mapping[str, Any]
    start: int


def describe(
    config: pb.RecommenderConfig,
    catalogue_examples: Iterable[bytes],
    tft_output: tft.TFTransformOutput,
    report: Mapping[str, Any],
) -> Description:
    """Reads what a device needs beside the model.

    Args:
      config: the configuration.
      catalogue_examples: serialized raw tf.Examples of the split ``catalogue``.
      tft_output: what Transform wrote.
      report: the ingestion report.

    Raises:
      UserError: if the catalogue does not fit the configuration.
    """
    kinds = field_kinds(config, report)
    used = {
        features.field_of(name): None
        for name, kind in kinds.items()
        if kind["source"] == "item"
    }
    label = config.input.label_feature
    terms = None
    if features.has_vocabulary(label):
        name = features.vocabulary_name(label)
        terms = vocabularies.vocabulary_terms(tft_output, name)
    items = catalogue.catalogue_items(config, catalogue_examples, list(used), terms)
    recommendable = sum(
        item.index != features.OOV_ID or terms is None for item in items
    )
    num_predictions = min(int(config.model.num_predictions), recommendable)
    largest_k = max(features.eval_top_k(config))
    if num_predictions < largest_k:
        raise UserError(
            f"eval.eval_top_k: {largest_k} is not allowed. Expected at most the "
            f"number of items, {num_predictions}"
        )
    rows = {
        feature.feature_name: vocabularies.transformed_feature_rows(feature, tft_output)
        for feature in features.all_features(config)
        if features.is_categorical(feature)
    }
    content = {
        "format_version": manifest.FORMAT_VERSION,
        "name": config.name,
        "signature": {
            "name": SIGNATURE,
            "inputs": manifest.input_specs(config, rows, kinds),
            "outputs": manifest.output_specs(num_predictions),
        },
        "item_field": features.item_field(config),
        "max_context_length": features.max_context_length(config),
        "num_predictions": num_predictions,
        "seen": pb.Seen.Name(config.model.seen),
        "protocol": protocol(config),
        "data": data_summary(report),
    }
    return Description(
        config=config,
        items=catalogue.items_to_json_lines(items),
        vocabularies=_vocabularies(config, tft_output),
        manifest=content,
        start=report["last_timestamp"] or 0,
    )


def write_bundle(
    description: Description,
    device_model: str | Path,
    quantization: pb.Quantization,
    samples: Sequence[bytes],
    output: Path,
    log: Path,
) -> None:
    """Converts the model and writes all that the device needs beside it.

    Args:
      description: of the bundle.
      device_model: the trainer's ``Format-Device`` SavedModel.
      quantization: how the ``.tflite`` file holds its numbers.
      samples: of ``INT8``: serialized raw tf.Examples of train, whose values the
        ranges are read off.
      output: an empty folder.
      log: file for the converter's output.

    Raises:
      components.tflite_converter.convert.ConversionError: if the converter, or LiteRT
        with what it wrote, fails or takes too long.
    """
    seconds = description.config.push.conversion_timeout_seconds
    model = output / manifest.MODEL
    if quantization == pb.INT8:
        with tempfile.TemporaryDirectory() as folder:
            unquantized, inputs = Path(folder) / "bundle", Path(folder) / "samples.npz"
            unquantized.mkdir()
            write_bundle(description, device_model, pb.FLOAT32, (), unquantized, log)
            np.savez(inputs, **example_tensors(Bundle.load(unquantized), samples))
            convert.quantize(unquantized / manifest.MODEL, inputs, model, log, seconds)
    else:
        convert.convert(device_model, model, quantization, log, seconds)
    (output / manifest.ITEMS).write_bytes(description.items)
    (output / manifest.VOCABULARIES).mkdir()
    for name, content in description.vocabularies.items():
        (output / manifest.VOCABULARIES / name).write_bytes(content)
    entries = {
        **description.manifest,
        "quantization": pb.Quantization.Name(quantization),
    }
    manifest.write_manifest(output, entries)
    canary = convert.answer_canary(output, description.start, log, seconds)
    if canary is not None:
        manifest.write_manifest(output, {**entries, "canary": canary})


def field_kinds(
    config: pb.RecommenderConfig, report: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Where each context feature comes from, and whether a step has several values.

    Args:
      config: the configuration.
      report: the ingestion report, which lists the fields of the data.

    Returns:
      Per feature name: ``source`` (``"item_id"``, ``"item"``, ``"value"``,
      ``"activity"``, ``"weekday"``, ``"hour"``, ``"gap"`` or ``"user"``),
      ``multi_valued`` and, of weekdays and hours, ``timezone``.
    """
    by_role = {(f["role"] == "user", f["name"]): f for f in report["fields"]}
    kinds = {}
    for feature in features.context_features(config):
        name = feature.feature_name
        of_user = features.role_of(name) == features.USER
        found = by_role[of_user, features.field_of(name)]
        kinds[name] = {
            "source": found["role"].replace(" ", "_"),
            "multi_valued": found["multi_valued"],
        }
        if found["role"] == "activity" and "derivation" in found:
            kinds[name]["source"] = found["derivation"].lower()
        if "timezone" in found:
            kinds[name]["timezone"] = found["timezone"]
    return kinds


def data_summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says about the data."""
    keys = ("first_timestamp", "last_timestamp", "users", "items", "activities")
    summary = {key: report[key] for key in keys}
    if report["spans"] is not None:
        summary["spans"] = report["spans"]["window"]
        if report["spans"]["dates"] is not None:
            summary["dates"] = report["spans"]["dates"]
    return {**summary, "examples": report["examples"]}


def protocol(config: pb.RecommenderConfig) -> str:
    """How the numbers were measured: split, ranking, what was left out."""
    split = {
        pb.LEAVE_ONE_OUT: "leave-one-out by time",
        pb.TEMPORAL: "split by time",
        pb.RANDOM: "random split (leaks the future)",
        pb.USER_HASH: "split by user (leaks the future of others)",
    }[config.data.split]
    seen = pb.Seen.Name(config.model.seen).lower()
    return f"{split}, full ranking, seen={seen}"


def _vocabularies(
    config: pb.RecommenderConfig, tft_output: tft.TFTransformOutput
) -> dict[str, bytes]:
    return {
        f"{name}.txt": b"".join(
            term + b"\n" for term in vocabularies.vocabulary_terms(tft_output, name)
        )
        for name in features.vocabularies(config)
    }
