"""Which variant of a bundle is pushed: the smallest file that passes the gate."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.evaluator.bounds import OF_MACHINE
from components.evaluator.verdict import Verdict
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

_FILE = "variants.json"


@dataclass(frozen=True)
class Variant:
    """What the gate found of one ``.tflite`` file.

    Attributes:
      quantization: how it holds its numbers, e.g. ``FLOAT16``.
      sha256: of the file, in hex; empty if it could not be judged.
      size: of the file in bytes.
      blessed: whether the gate lets it through.
      metrics: its ``latency_p50_ms``, HR@K and ``overlap_<k>``.
      failure: why it is not blessed; empty if it is.
      manifest_sha256: of the bundle's manifest, which has those of all other files.
    """

    quantization: str
    sha256: str = ""
    size: int = 0
    blessed: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    manifest_sha256: str = ""


@dataclass(frozen=True)
class Variants:
    """All that were tried, and the one whose verdict the gate gives.

    Attributes:
      chosen: the smallest that is blessed; if none is, the first that could be judged.
      tried: those with the most bits first.
    """

    chosen: Variant
    tried: tuple[Variant, ...]

    def table(self) -> list[tuple[str, ...]]:
        """A header and a row for each: its metrics, and what became of it."""
        names = list(self.chosen.metrics)
        return [
            ("variant", "bytes", *names, ""),
            *(
                (
                    variant.quantization,
                    f"{variant.size:,}" if variant.size else "",
                    *(_text(variant.metrics.get(name)) for name in names),
                    self._fate(variant),
                )
                for variant in self.tried
            ),
        ]

    def as_dicts(self) -> list[dict[str, Any]]:
        """The variants as the manifest holds them, without what a machine measures.

        Nor with why one is refused, which may be its latency, or names a log.
        """
        return [
            {
                "quantization": variant.quantization,
                "size": variant.size,
                "metrics": {
                    name: value
                    for name, value in variant.metrics.items()
                    if name not in OF_MACHINE
                },
                "fate": self._fate(variant)
                if variant.blessed
                else "refused"
                if variant.sha256
                else "not converted",
            }
            for variant in self.tried
        ]

    def _fate(self, variant: Variant) -> str:
        if not variant.blessed:
            return f"refused: {variant.failure}"
        if variant is self.chosen:
            return "taken, the smallest" if len(self.tried) > 1 else "taken"
        return f"not smaller than {self.chosen.quantization}"


def variant_of(
    quantization: str,
    model: bytes,
    manifest: bytes,
    config: pb.RecommenderConfig,
    verdict: Verdict,
) -> Variant:
    """A variant by the verdict on it.

    Args:
      quantization: how it holds its numbers.
      model: content of the ``.tflite`` file.
      manifest: content of the bundle's manifest.
      config: the configuration that it was judged with.
      verdict: of the ``TFLITE`` gate.
    """
    k = features.overlap_k(config)
    names = ("latency_p50_ms", f"hr_{k}_test", f"overlap_{k}")
    overall = {row.metric: row.value for row in verdict.rows if not row.slice}
    return Variant(
        quantization,
        hashlib.sha256(model).hexdigest(),
        len(model),
        verdict.blessed,
        {name: overall[name] for name in names if name in overall},
        "" if verdict.blessed else verdict.reasons(),
        hashlib.sha256(manifest).hexdigest(),
    )


def choose(tried: Sequence[Variant]) -> Variants:
    """Takes the smallest blessed variant; of equal sizes the one with the most bits.

    Args:
      tried: those with the most bits first.

    Raises:
      UserError: if none could be judged.
    """
    judged = [variant for variant in tried if variant.sha256]
    if not judged:
        raise UserError("; ".join(dict.fromkeys(v.failure for v in tried)))
    blessed = [variant for variant in judged if variant.blessed]
    chosen = min(blessed, key=lambda variant: variant.size) if blessed else judged[0]
    return Variants(chosen, tuple(tried))


def write_variants(evaluation: str, variants: Variants) -> None:
    """Writes them beside what the Evaluator wrote.

    Args:
      evaluation: folder of the artifact ``evaluation``.
      variants: what was tried.
    """
    # It costs as much as all of TFX, which nobody else here needs.
    from tfx.utils import io_utils

    content = {
        "chosen": variants.chosen.quantization,
        "tried": [vars(variant) for variant in variants.tried],
    }
    io_utils.write_string_file(
        os.path.join(evaluation, _FILE), json.dumps(content, indent=2) + "\n"
    )


def read_variants(evaluation: str) -> Variants:
    """What `write_variants` wrote."""
    from tfx.utils import io_utils

    content = json.loads(io_utils.read_string_file(os.path.join(evaluation, _FILE)))
    tried = tuple(Variant(**values) for values in content["tried"])
    chosen = next(v for v in tried if v.quantization == content["chosen"])
    return Variants(chosen, tried)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
