"""Collects the verdicts, finishes the bundle and pushes it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.current_model import bundles
from components.current_model.current import (
    BUNDLE,
    NOTHING_PUSHED,
    current_digest,
    version_dir,
)
from components.evaluator.variants import Variant, Variants, read_variants
from components.evaluator.verdict import read_verdict
from components.files import sha256
from components.lock import locked
from components.tflite_converter import manifest as manifests
from components.tflite_converter.variants import variant_uri
from components.tflite_pusher import model_card, push
from components.tflite_pusher.infra_validation import check_answers
from components.trainer.trainer import DEVICE_MODEL
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import parse_config

GATES = {"saved_model": pb.SAVED_MODEL, "tflite": pb.TFLITE}
EVALUATIONS = {"saved_model": "model_evaluation", "tflite": "tflite_evaluation"}
BLESSINGS = {"saved_model": "model_blessing", "tflite": "tflite_blessing"}

OUTCOME = "outcome"
PUSHED, UNCHANGED, NOT_BLESSED = "pushed", "unchanged", "not blessed"
ROLLED_BACK = "rolled back"
VERSION = "version"
PATH = "path"


class Executor(base_executor.BaseExecutor):
    """Pushes, or says why not in the artifact's property ``outcome``."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        artifact = artifact_utils.get_single_instance(output_dict["pushed_model"])
        for key in BLESSINGS.values():
            blessing = artifact_utils.get_single_instance(input_dict[key])
            if not model_utils.is_model_blessed(blessing):
                artifact.set_string_custom_property(OUTCOME, NOT_BLESSED)
                return
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / BUNDLE
            variants = read_variants(
                artifact_utils.get_single_uri(input_dict[EVALUATIONS["tflite"]])
            )
            uri = variant_uri(
                artifact_utils.get_single_uri(input_dict["tflite_model"]),
                variants.chosen.quantization,
            )
            io_utils.copy_dir(path_utils.serving_model_dir(uri), str(bundle))
            check_gated(bundle, variants.chosen)
            destination = exec_properties["push_destination"]
            fileio.makedirs(destination)
            with locked(destination, push.DESTINATION):
                outcome, version = self._push(
                    bundle, variants, input_dict, exec_properties
                )
        artifact.set_string_custom_property(OUTCOME, outcome)
        artifact.set_int_custom_property(VERSION, version)
        artifact.set_string_custom_property(PATH, version_dir(destination, version))

    def _push(
        self,
        bundle: Path,
        variants: Variants,
        input_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> tuple[str, int]:
        destination = exec_properties["push_destination"]
        manifest = manifests.read_manifest(bundle)
        digest = push.bundle_digest(manifest)
        if (current := push.unchanged(destination, digest)) is not None:
            return UNCHANGED, current
        if (left := push.rolled_back(destination, digest)) is not None:
            return ROLLED_BACK, left
        compared = artifact_utils.get_single_uri(input_dict["current_tflite_model"])
        check_baseline(path_utils.serving_model_dir(compared), destination)
        version = push.next_version(destination)
        config = parse_config(exec_properties["config"])
        verdicts = {
            gate: read_verdict(
                artifact_utils.get_single_uri(input_dict[evaluation]),
                config,
                GATES[gate],
            )
            for gate, evaluation in EVALUATIONS.items()
        }
        manifest |= {
            "version": version,
            "source_revision": exec_properties["source_revision"],
            "gates": {gate: verdict.as_dicts() for gate, verdict in verdicts.items()},
            "variants": variants.as_dicts(),
        }
        card = model_card.model_card(manifest, verdicts["tflite"].slices)
        (bundle / push.MODEL_CARD).write_text(card, encoding="utf-8")
        manifests.write_manifest(bundle, manifest)
        check_answers(str(bundle))
        push.push(
            destination,
            version,
            bundle,
            _training(input_dict, exec_properties, bundle),
            int(config.push.keep_versions),
        )
        return PUSHED, version


def check_gated(bundle: Path, judged: Variant) -> None:
    """Makes sure that what is pushed is byte for byte what the gate has judged.

    Args:
      bundle: its folder, with the manifest that the gate has seen.
      judged: the variant as the gate has seen it.

    Raises:
      UserError: if a file is another one.
    """
    for name, expected in (
        (manifests.MODEL, judged.sha256),
        (manifests.MANIFEST, judged.manifest_sha256),
    ):
        digest = sha256(str(bundle / name))
        if digest != expected:
            raise UserError(
                f"{name} ({judged.quantization}): has SHA-256 {digest}, expected "
                f"{expected}, as the gate has judged: nothing is pushed"
            )
    bundles.verify(str(bundle))


def check_baseline(bundle: str, destination: str) -> None:
    """Makes sure that the current version is still the one that gates compared with.

    Args:
      bundle: folder that CurrentModel copied the current bundle to; nothing is there
        where nothing was pushed.
      destination: of the push.

    Raises:
      UserError: if another version has become the current one since.
    """
    manifest = os.path.join(bundle, manifests.MANIFEST)
    compared = sha256(manifest) if fileio.exists(manifest) else NOTHING_PUSHED
    if compared != current_digest(destination):
        raise UserError(
            f"push destination {destination}: its current version has changed since "
            "the model was compared with it. Expected no push or rollback meanwhile: "
            "run again"
        )


def _training(
    input_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    bundle: Path,
) -> dict[str, str]:
    """What the next gate and warm start need, by name below ``training/``."""
    model = artifact_utils.get_single_uri(input_dict["model"])
    config = bundle.parent / "config.pbtxt"
    config.write_text(exec_properties["config"], encoding="utf-8")
    return {
        "saved_model": path_utils.serving_model_dir(model),
        "device_model": os.path.join(model, DEVICE_MODEL),
        "model_run": artifact_utils.get_single_uri(input_dict["model_run"]),
        "transform": artifact_utils.get_single_uri(input_dict["transform_graph"]),
        "examples/Split-test": artifact_utils.get_split_uri(
            input_dict["examples"], "test"
        ),
        "config.pbtxt": str(config),
    }
