"""A tiny bundle, and what lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.tflite_converter import manifest as manifests

CONTENT = {
    "format_version": 1,
    "name": "tiny",
    "signature": {"name": "serving_default", "inputs": [], "outputs": []},
    "num_predictions": 3,
    "seen": "KEPT",
    "quantization": "FLOAT32",
    "protocol": "leave-one-out by time, full ranking, seen=kept",
    "data": {
        "first_timestamp": 0,
        "last_timestamp": 86_400,
        "users": 2,
        "items": 3,
        "activities": 1234,
        "examples": {"train": 5, "test": 2},
    },
    "gates": {
        "saved_model": [
            {
                "metric": "hr_10_test",
                "value": 0.25,
                "lower_bound": 0.1,
                "baseline": None,
            }
        ],
        "tflite": [],
    },
}


def bundle(folder: Path, model: bytes = b"model", **changes: object) -> Path:
    (folder / manifests.VOCABULARIES).mkdir(parents=True)
    (folder / manifests.MODEL).write_bytes(model)
    (folder / manifests.ITEMS).write_text('{"index": 2, "id": "7"}\n')
    (folder / manifests.VOCABULARIES / "item.txt").write_text("7\n")
    manifests.write_manifest(folder, {**CONTENT, **changes})
    return folder


@pytest.fixture
def training(tmp_path: Path) -> dict[str, str]:
    return make_training(tmp_path)


def make_training(tmp_path: Path) -> dict[str, str]:
    """What a next gate needs, by name below ``training/``."""
    model = tmp_path / "saved_model"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    (model / "variables" / "index").write_bytes(b"weights")
    config = tmp_path / "config.pbtxt"
    config.write_text("name: 'tiny'")
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "part.gz").write_bytes(b"examples")
    return {
        "saved_model": str(model),
        "config.pbtxt": str(config),
        "examples/Split-test": str(examples),
    }


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
