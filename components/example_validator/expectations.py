"""What the configuration expects of the examples, as a schema; and its breaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from configs import features
from configs import recommender_pb2 as pb

_TYPES = {
    pb.STRING: schema_pb2.BYTES,
    pb.INT: schema_pb2.INT,
    pb.FLOAT: schema_pb2.FLOAT,
}
_SHOWN = 10


def expected_schema(
    config: pb.RecommenderConfig, inferred: schema_pb2.Schema
) -> schema_pb2.Schema:
    """The inferred schema with what the configuration says about its features.

    Domains of strings that were inferred from this very data are dropped: a new word is
    out of vocabulary, not an error. A feature of the configuration must be there, with
    its type; the values of an INT feature without a vocabulary must be rows of its
    table.
    """
    schema = schema_pb2.Schema()
    schema.CopyFrom(inferred)
    del schema.string_domain[:]
    found = {feature.name: feature for feature in schema.feature}
    for feature in found.values():
        if feature.WhichOneof("domain_info") in ("domain", "string_domain"):
            feature.ClearField("domain")
            feature.ClearField("string_domain")
    for wanted in features.all_features(config):
        feature = found.get(wanted.feature_name) or schema.feature.add(
            name=wanted.feature_name
        )
        feature.type = _TYPES[wanted.feature_type]
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        if wanted.feature_type == pb.INT and not features.has_vocabulary(wanted):
            # 0 is what padded values hold; a label is never padded.
            padded = wanted.feature_name != config.input.label_feature.feature_name
            feature.int_domain.min = 0 if padded else 1
            feature.int_domain.max = wanted.vocab_size - 1
    return schema


def describe_anomalies(
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
) -> list[str]:
    """A line per anomaly: split, feature, what is wrong."""
    lines = []
    for split, found in anomalies.items():
        for name, info in sorted(found.anomaly_info.items()):
            reasons = [reason.description for reason in info.reason]
            text = " ".join(reasons) or info.description
            lines.append(f"split {split}, feature {name}: {' '.join(text.split())}")
        if found.HasField("dataset_anomaly_info"):
            text = found.dataset_anomaly_info.description
            lines.append(f"split {split}: {' '.join(text.split())}")
    return lines


def summary(lines: Iterable[str]) -> str:
    """One line for a person: the first anomalies, and how many there are."""
    all_lines = list(lines)
    shown = "; ".join(all_lines[:_SHOWN])
    more = len(all_lines) - _SHOWN
    rest = f"; and {more} more" if more > 0 else ""
    return (
        "the examples do not fit the configuration, nothing was trained: "
        f"{shown.rstrip('.')}{rest}"
    )
