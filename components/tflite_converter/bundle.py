"""Writes a bundle: model.tflite, vocabularies, item catalogue and manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow_transform as tft

from components.tflite_converter import catalogue, convert, manifest
from components.tflite_converter.canary import canary_request
from components.transform import vocabularies
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError
from pocketrec_device import Bundle, BundleError, Recommender


def write_bundle(
    config: pb.RecommenderConfig,
    device_model: str | Path,
    catalogue_examples: Iterable[bytes],
    tft_output: tft.TFTransformOutput,
    report: Mapping[str, Any],
    output: Path,
    log: Path,
) -> dict[str, Any]:
    """Converts the model and writes all that the device needs beside it.

    Args:
      config: the configuration.
      device_model: the trainer's ``Format-Device`` SavedModel.
      catalogue_examples: serialized raw tf.Examples of the split ``catalogue``.
      tft_output: what Transform wrote.
      report: the ingestion report.
      output: an empty folder.
      log: file for the converter's output.

    Returns:
      The manifest.

    Raises:
      UserError: if the catalogue does not fit the configuration, or the converter takes
        too long.
      components.tflite_converter.convert.ConversionError: if the converter fails.
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
    (output / manifest.ITEMS).write_bytes(catalogue.items_to_json_lines(items))
    _write_vocabularies(config, tft_output, output / manifest.VOCABULARIES)
    convert.convert(
        device_model,
        output / manifest.MODEL,
        config.push.quantization,
        log,
        config.push.conversion_timeout_seconds,
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
            "name": convert.SIGNATURE,
            "inputs": manifest.input_specs(config, rows, kinds),
            "outputs": manifest.output_specs(num_predictions),
        },
        "item_field": features.item_field(config),
        "max_context_length": features.max_context_length(config),
        "num_predictions": num_predictions,
        "seen": pb.Seen.Name(config.model.seen),
        "quantization": pb.Quantization.Name(config.push.quantization),
        "protocol": protocol(config),
        "data": data_summary(report),
    }
    manifest.write_manifest(output, content)
    manifest.write_manifest(output, {**content, **_canary(output, report)})
    return manifest.read_manifest(output)


def _canary(bundle: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's entry, as this machine answers it."""
    loaded = Bundle.load(bundle)
    request = canary_request(loaded, report["last_timestamp"] or 0)
    try:
        return {"canary": Recommender(loaded).make_canary(request).to_json()}
    except BundleError:
        # Its answer is no recommendation, which the gate tells better than an error.
        return {}


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


def _write_vocabularies(
    config: pb.RecommenderConfig, tft_output: tft.TFTransformOutput, folder: Path
) -> None:
    folder.mkdir()
    for name in features.vocabularies(config):
        terms = vocabularies.vocabulary_terms(tft_output, name)
        (folder / f"{name}.txt").write_bytes(b"".join(t + b"\n" for t in terms))
