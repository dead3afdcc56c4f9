"""The manifest of a bundle: what is in it, how it is fed, where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from configs import features
from configs import recommender_pb2 as pb

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MANIFEST_SHA256 = "manifest.sha256"
MODEL = "model.tflite"
ITEMS = "items.jsonl"
VOCABULARIES = "vocabularies"

# Sources that are worked out from an activity's local time.
_OF_TIME = ("weekday", "hour")

_DTYPES = {pb.STRING: "int32", pb.INT: "int32", pb.FLOAT: "float32"}


def input_specs(
    config: pb.RecommenderConfig,
    rows: Mapping[str, int],
    field_kinds: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """How the device derives each input of the model from a history.

    Args:
      config: the configuration.
      rows: rows of each categorical feature's table, by feature name.
      field_kinds: per feature name ``source`` (``"item_id"``, ``"item"``,
        ``"value"``, ``"activity"``, ``"weekday"``, ``"hour"``, ``"gap"`` or
        ``"user"``), ``multi_valued`` and, for weekday and hour, ``timezone``.
    """
    specs = [
        _input_spec(feature, rows, field_kinds[feature.feature_name])
        for feature in features.context_features(config)
    ]
    if config.model.seen == pb.TIMELINE:
        label = config.input.label_feature
        specs.append(
            {
                "name": features.seen_feature_name(config),
                "dtype": "int32",
                "length": int(config.model.max_seen_length),
                "role": "seen",
                "field": features.item_field(config),
                "source": "seen",
                "feature_type": pb.FeatureType.Name(label.feature_type),
                "multi_valued": False,
                "vocabulary": _vocabulary(label),
                "vocab_size": rows[label.feature_name],
            }
        )
    return specs


def _input_spec(
    feature: pb.Feature,
    rows: Mapping[str, int],
    kind: Mapping[str, Any],
) -> dict[str, Any]:
    spec = {
        "name": feature.feature_name,
        "dtype": _DTYPES[feature.feature_type],
        "length": features.num_values(feature),
        "role": features.role_of(feature.feature_name).rstrip("_"),
        "field": features.field_of(feature.feature_name),
        "source": kind["source"],
        "feature_type": pb.FeatureType.Name(feature.feature_type),
        "multi_valued": bool(kind["multi_valued"]),
        "vocabulary": _vocabulary(feature),
        "vocab_size": rows.get(feature.feature_name, 0),
    }
    if feature.values_per_step:
        spec["values_per_step"] = int(feature.values_per_step)
    if kind["source"] in _OF_TIME:
        spec["timezone"] = kind["timezone"]
    return spec


def _vocabulary(feature: pb.Feature) -> str | None:
    if not features.has_vocabulary(feature):
        return None
    return features.vocabulary_name(feature)


def output_specs(num_predictions: int) -> list[dict[str, Any]]:
    """The outputs of the model: the best items first."""
    return [
        {
            "name": "top_prediction_ids",
            "dtype": "int32",
            "length": num_predictions,
        },
        {
            "name": "top_prediction_scores",
            "dtype": "float32",
            "length": num_predictions,
        },
    ]


def file_entries(bundle: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size in bytes of every file of a bundle but its manifest's two."""
    entries = {}
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if path.is_file() and name not in (MANIFEST, MANIFEST_SHA256):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            entries[name] = {"sha256": digest, "size": len(content)}
    return entries


def write_manifest(bundle: Path, manifest: Mapping[str, Any]) -> None:
    """Writes ``manifest.json``, its ``files`` read off the folder, and its SHA-256."""
    text = json.dumps({**manifest, "files": file_entries(bundle)}, indent=2) + "\n"
    (bundle / MANIFEST).write_text(text, encoding="utf-8")
    (bundle / MANIFEST_SHA256).write_bytes(sum_of(text.encode()))


def sum_of(manifest: bytes) -> bytes:
    """What ``manifest.sha256`` has to hold: a line that ``sha256sum --check`` reads.

    Args:
      manifest: content of ``manifest.json``.
    """
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def read_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle that this package wrote."""
    result: dict[str, Any] = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    return result


def by_metric(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """A gate's rows on all test examples by metric, without those of slices."""
    return {row["metric"]: row for row in rows if not row.get("slice")}


def day(seconds: int | None) -> str:
    """The date (UTC) of a moment in the data, ``"unknown"`` where there is none.

    Args:
      seconds: since 1970.
    """
    if seconds is None:
        return "unknown"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
