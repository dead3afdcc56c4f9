"""Does the work of an experiment, through the functions that the pipeline runs."""

from __future__ import annotations

import dataclasses
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.code_digest import code_digest
from components.tflite_converter.convert import convert
from components.timeline_example_gen.fingerprint import data_fingerprint
from components.timeline_example_gen.generate import REPORT_FILE
from components.trainer.trainer import (
    DEVICE_MODEL,
    evaluate_checkpoint,
    export_from_checkpoint,
    train_model,
)
from components.trainer.training import DivergedError
from components.transform.vocabularies import check_given
from configs import recommender_pb2 as pb
from configs.loader import config_to_text
from pipeline import steps
from pipeline.experiment.results import DIVERGED
from pipeline.pipeline import CATALOGUE, columns_text

CHECKPOINT = "best.weights.h5"
_QUANTIZATIONS = (pb.FLOAT32, pb.FLOAT16)


class Worker:
    """Makes examples, transforms them, trains and tests, each into a folder."""

    def __init__(self, data: Path) -> None:
        """Remembers the code as it is now, since this is the one that runs.

        Args:
          data: folder of the activities, items and users.
        """
        self._data = data
        self._digests = {
            step: code_digest(*packages)
            for step, packages in {
                "examples": ["components.timeline_example_gen"],
                "transform": ["components.transform", "components.example_validator"],
                "training": ["components.trainer", "components.transform"],
                "test": [
                    "components.child_process",
                    "components.tflite_converter",
                    "components.trainer",
                ],
            }.items()
        }
        self._tensorflow = f"tensorflow {tf.__version__}"
        self._fingerprints: dict[bytes, str] = {}

    def examples_key(self, config: pb.RecommenderConfig) -> str:
        """What examples depend on."""
        check_given(config)
        data = config.data.SerializeToString(deterministic=True)
        if data not in self._fingerprints:
            self._fingerprints[data] = data_fingerprint(config, str(self._data))
        return "\n".join(
            [self._digests["examples"], self._fingerprints[data], columns_text(config)]
        )

    def transform_key(self, config: pb.RecommenderConfig) -> str:
        """What transformed examples depend on, beside the examples."""
        return "\n".join(
            [self._digests["transform"], columns_text(config, for_transform=True)]
        )

    def training_key(self, config: pb.RecommenderConfig) -> str:
        """What a training depends on, beside the transformed examples."""
        part = pb.RecommenderConfig()
        for name in ("input", "data", "model", "train"):
            getattr(part, name).CopyFrom(getattr(config, name))
        part.eval.eval_top_k.extend(config.eval.eval_top_k)
        return "\n".join(
            [self._digests["training"], self._tensorflow, config_to_text(part)]
        )

    def test_key(self) -> str:
        """What a test depends on, beside the training."""
        return "\n".join([self._digests["test"], self._tensorflow])

    def make_examples(self, config: pb.RecommenderConfig, output: Path) -> None:
        """Writes the splits and the report into a new folder."""
        for _ in steps.make_examples(config, self._data, output):
            pass

    def transform(
        self, config: pb.RecommenderConfig, examples: Path, output: Path
    ) -> None:
        """Writes the graph and the transformed examples into a new folder."""
        steps.transform_examples(config, examples, output)

    def train(
        self,
        config: pb.RecommenderConfig,
        examples: Path,
        transformed: Path,
        output: Path,
        report: Callable[[str], None],
    ) -> dict[str, Any]:
        """Trains; writes the best epoch's weights and the logs into a new folder.

        Returns:
          As `results.Trained` has it.
        """
        keras.backend.clear_session()
        start = time.monotonic()
        try:
            trained = train_model(
                config,
                **_inputs(transformed),
                train_files=_files(transformed, "train"),
                eval_files=_files(transformed, "eval"),
                serving_model_dir="",
                model_run_dir=str(output),
                report=report,
                export=False,
            )
        except DivergedError as error:
            return {DIVERGED: str(error), "stopped_early": True, "epochs": []}
        finally:
            # Functions that TensorFlow has compiled hold on to their models.
            gc.collect()
        trained.checkpoint.rename(output / CHECKPOINT)
        for left in trained.checkpoint.parent.iterdir():
            left.unlink()
        trained.checkpoint.parent.rmdir()
        return {
            "best_epoch": trained.fit.best.number,
            "metrics": trained.fit.best.metrics,
            "num_weights": trained.num_weights,
            "stopped_early": len(trained.fit.epochs) < config.train.num_epochs,
            "eval_examples": _eval_examples(config, examples),
            "seconds": time.monotonic() - start,
            "warnings": trained.warnings,
            "config": config_to_text(config),
            "epochs": [dataclasses.asdict(epoch) for epoch in trained.fit.epochs],
        }

    def test(
        self, config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, float]:
        """Metrics of the best epoch's weights on the test split."""
        keras.backend.clear_session()
        return evaluate_checkpoint(
            config,
            training / CHECKPOINT,
            **_inputs(transformed),
            files=_files(transformed, "test"),
            split="test",
        )

    def tflite_bytes(
        self, config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, int]:
        """Sizes of the ``.tflite`` file by quantization."""
        keras.backend.clear_session()
        sizes = {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            export_from_checkpoint(
                config,
                training / CHECKPOINT,
                **_inputs(transformed),
                serving_model_dir=str(folder / steps.SERVING),
            )
            for quantization in _QUANTIZATIONS:
                file = folder / "model.tflite"
                convert(
                    folder / DEVICE_MODEL,
                    file,
                    quantization,
                    folder / "conversion.log",
                    config.push.conversion_timeout_seconds,
                )
                sizes[pb.Quantization.Name(quantization)] = file.stat().st_size
                file.unlink()
        return sizes


def _inputs(transformed: Path) -> dict[str, Any]:
    return {
        "catalogue_files": _files(transformed, CATALOGUE),
        "transform_output": str(transformed / steps.GRAPH),
    }


def _files(transformed: Path, split: str) -> list[str]:
    return steps.split_files(transformed / steps.EXAMPLES, split)


def _eval_examples(config: pb.RecommenderConfig, examples: Path) -> int:
    """How many examples of eval the metrics are of."""
    text = (examples / REPORT_FILE).read_text(encoding="utf-8")
    number = int(json.loads(text)["examples"]["eval"])
    steps_limit = int(config.train.num_eval_steps)
    return min(number, steps_limit * int(config.train.batch_size) or number)
