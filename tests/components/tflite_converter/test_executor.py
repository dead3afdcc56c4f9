"""The variants that TFLiteConverter writes, and those that it cannot."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import Artifact, standard_artifacts

from components.tflite_converter import executor
from components.tflite_converter.convert import ConversionError
from components.tflite_converter.variants import converted, variant_uri
from components.trainer.trainer import DEVICE_MODEL
from configs import recommender_pb2 as pb
from configs.loader import config_to_text

pytestmark = pytest.mark.slow

ALL = ["FLOAT32", "FLOAT16", "DYNAMIC_RANGE", "INT8"]


def artifact(kind: type[Artifact], folder: Path) -> list[Artifact]:
    result = kind()
    result.uri = str(folder)
    return [result]


def write_split(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(folder / "examples.gz"), options) as writer:
        for number in range(count):
            writer.write(b"%d" % number)


class Converter:
    """Runs the executor; what makes bundles is a stand-in that may fail."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.output = str(folder / "output")
        self.failing: set[str] = set()
        self.samples: dict[str, list[bytes]] = {}
        self.times = dict.fromkeys(ALL, 1)
        (folder / "model" / DEVICE_MODEL).mkdir(parents=True)
        (folder / "model" / DEVICE_MODEL / "saved_model.pb").write_text("a graph")
        (folder / "report").write_text("{}")
        write_split(folder / "examples" / "Split-catalogue", 2)
        write_split(folder / "examples" / "Split-train", 1200)
        (folder / "logs").mkdir()
        patch.setattr(tempfile, "tempdir", str(folder / "logs"))
        patch.setattr(executor.bundle, "describe", lambda *_: "a description")
        patch.setattr(executor.bundle, "write_bundle", self.write_bundle)

    def write_bundle(
        self,
        description: str,
        device_model: Path,
        quantization: pb.Quantization,
        samples: Sequence[bytes],
        output: Path,
        log: Path,
    ) -> None:
        assert description == "a description"
        assert (device_model / "saved_model.pb").read_text() == "a graph"
        name = pb.Quantization.Name(quantization)
        self.samples[name] = list(samples)
        log.write_text(f"log of {name}")
        (output / "model.tflite").write_text("half of it")
        if name in self.failing:
            raise ConversionError(f"{name} is beyond me (whole log: {log})")
        (output / "model.tflite").write_text(name * self.times[name])

    def __call__(self, *quantizations: str) -> dict[str, str]:
        config = pb.RecommenderConfig()
        config.push.quantization.extend(map(pb.Quantization.Value, quantizations))
        examples: Any = artifact(standard_artifacts.Examples, self.folder / "examples")
        examples[0].split_names = '["train", "catalogue"]'
        executor.Executor().Do(
            {
                "model": artifact(standard_artifacts.Model, self.folder / "model"),
                "examples": examples,
                "transform_graph": artifact(
                    standard_artifacts.TransformGraph, self.folder
                ),
                "ingestion_report": artifact(
                    standard_artifacts.JsonValue, self.folder / "report"
                ),
            },
            {"tflite_model": artifact(standard_artifacts.Model, Path(self.output))},
            {"config": config_to_text(config)},
        )
        return converted(self.output)

    def logs(self) -> list[str]:
        return [path.read_text() for path in (self.folder / "logs").iterdir()]


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Converter:
    return Converter(tmp_path, monkeypatch)


def test_each_variant_is_a_bundle_with_its_log(convert: Converter) -> None:
    assert convert("AUTO") == dict.fromkeys(ALL, "")
    for name in ALL:
        folder = Path(variant_uri(convert.output, name))
        assert (folder / "Format-Serving" / "model.tflite").read_text() == name
        assert (folder / "conversion.log").read_text() == f"log of {name}"
    assert convert.logs() == []


def test_float_is_the_default(convert: Converter) -> None:
    assert convert() == {"FLOAT32": ""}


def test_several_stand_in_the_order_of_their_bits(convert: Converter) -> None:
    assert list(convert("DYNAMIC_RANGE", "FLOAT32")) == ["FLOAT32", "DYNAMIC_RANGE"]


def test_a_variant_that_fails_leaves_the_others(convert: Converter) -> None:
    convert.failing = {"INT8"}
    found = convert("AUTO")
    assert found["INT8"].startswith("INT8 is beyond me")
    assert {name for name, failure in found.items() if not failure} == set(ALL[:3])
    assert not Path(variant_uri(convert.output, "INT8"), "Format-Serving").exists()
    # It is named in the failure.
    assert convert.logs() == ["log of INT8"]


def test_without_any_variant_the_step_fails(convert: Converter) -> None:
    convert.failing = set(ALL)
    with pytest.raises(ConversionError, match=r"FLOAT32 is beyond me"):
        convert("AUTO")


@pytest.mark.parametrize(
    ("wanted", "left", "text"),
    [
        (["DYNAMIC_RANGE"], ["DYNAMIC_RANGE"], ""),
        (["DYNAMIC_RANGE", "INT8"], ["DYNAMIC_RANGE"], "its 400 bytes are no fewer"),
        (["INT8"], ["FLOAT32"], "its 400 bytes are no fewer than the 210 of FLOAT32"),
        (["FLOAT16", "INT8"], ["FLOAT16", "INT8"], ""),
    ],
)
def test_where_8_bits_save_nothing_floats_are_kept(
    convert: Converter, wanted: list[str], left: list[str], text: str
) -> None:
    convert.times |= {"FLOAT32": 30, "INT8": 100}
    found = convert(*wanted)
    assert [name for name, failure in found.items() if not failure] == left
    assert text in found.get("INT8", "")
    for name, failure in found.items():
        model = Path(variant_uri(convert.output, name), "Format-Serving/model.tflite")
        assert model.exists() is not bool(failure)


def test_only_int8_looks_at_train(convert: Converter) -> None:
    convert("FLOAT16")
    assert convert.samples == {"FLOAT16": []}
    convert.times["FLOAT32"] = 100
    convert("INT8")
    samples = [int(sample) for sample in convert.samples["INT8"]]
    assert samples == list(range(0, 1200, 6))
