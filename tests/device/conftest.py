"""A bundle small enough that its answers can be worked out by hand.

Its model scores item j (rows 2 to 6) with 10 * j + the sum of all inputs but the seen
items, and leaves these out.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MOVIES = {
    "50": ("Star Wars (1977)", ["Action", "Sci-Fi"]),
    "172": ("Empire Strikes Back, The (1980)", ["Action"]),
    "181": ("Return of the Jedi (1983)", ["Action", "Romance", "Sci-Fi"]),
    "7": ("Twelve Monkeys (1995)", ["Drama", "Sci-Fi"]),
    "9": ("Été (1995)", []),
}
VOCABULARIES = {
    "movie_id": ["50", "172", "181", "7", "9"],
    "movie_genre": ["Action", "Sci-Fi", "Drama", "Romance"],
}
K = 4

CONVERT = """
import sys
import tensorflow as tf

ROWS, K, FLOOR = 7, 4, tf.float32.min

class Model(tf.Module):
    @tf.function(input_signature=[
        tf.TensorSpec([1, 3], tf.int32, "context_movie_id"),
        tf.TensorSpec([1, 3], tf.float32, "context_movie_rating"),
        tf.TensorSpec([1, 4], tf.int32, "context_movie_genre"),
        tf.TensorSpec([1, 1], tf.float32, "user_age"),
        tf.TensorSpec([1, 5], tf.int32, "seen_movie_id"),
    ])
    def serve(self, context_movie_id, context_movie_rating, context_movie_genre,
              user_age, seen_movie_id):
        inputs = (context_movie_id, context_movie_rating, context_movie_genre, user_age)
        total = tf.add_n([tf.reduce_sum(tf.cast(x, tf.float32)) for x in inputs])
        rows = tf.range(2, ROWS)
        scores = 10.0 * tf.cast(rows, tf.float32) + total
        seen = tf.reduce_any(rows[:, None] == seen_movie_id, axis=1)
        best, places = tf.math.top_k(tf.where(seen, FLOOR, scores), K)
        return {
            "top_prediction_ids": tf.gather(rows, places),
            "top_prediction_scores": best,
        }

model = Model()
tf.saved_model.save(model, sys.argv[1], signatures={"serving_default": model.serve})
converter = tf.lite.TFLiteConverter.from_saved_model(
    sys.argv[1], signature_keys=["serving_default"])
with open(sys.argv[2], "wb") as file:
    file.write(converter.convert())
"""


def input_spec(name: str, length: int, **values: Any) -> dict[str, Any]:
    """An entry of the manifest's inputs: an INT feature of the context by default."""
    spec = {
        "name": name,
        "dtype": "int32",
        "length": length,
        "role": "context",
        "field": name.split("_", 1)[1],
        "source": "item",
        "feature_type": "INT",
        "multi_valued": False,
        "vocabulary": None,
        "vocab_size": 0,
    }
    return spec | values


MANIFEST: dict[str, Any] = {
    "format_version": 1,
    "name": "tiny",
    "version": 3,
    "signature": {
        "name": "serving_default",
        "inputs": [
            input_spec(
                "context_movie_id",
                3,
                source="item_id",
                vocabulary="movie_id",
                vocab_size=7,
            ),
            input_spec(
                "context_movie_rating",
                3,
                source="value",
                feature_type="FLOAT",
                dtype="float32",
            ),
            input_spec(
                "context_movie_genre",
                4,
                feature_type="STRING",
                multi_valued=True,
                vocabulary="movie_genre",
                vocab_size=6,
            ),
            input_spec(
                "user_age",
                1,
                role="user",
                source="user",
                feature_type="FLOAT",
                dtype="float32",
            ),
            input_spec(
                "seen_movie_id",
                5,
                role="seen",
                source="seen",
                vocabulary="movie_id",
                vocab_size=7,
            ),
        ],
        "outputs": [
            {"name": "top_prediction_ids", "dtype": "int32", "length": K},
            {"name": "top_prediction_scores", "dtype": "float32", "length": K},
        ],
    },
    "item_field": "movie_id",
    "max_context_length": 3,
    "num_predictions": K,
    "seen": "TIMELINE",
    "quantization": "FLOAT32",
    "gates": {
        "saved_model": [
            {
                "metric": "hr_10_test",
                "value": 0.21,
                "lower_bound": 0.01,
                "upper_bound": None,
                "baseline": 0.2,
                "max_regression": 0.02,
                "blessed": True,
            }
        ],
        "tflite": [],
    },
    "protocol": "leave-one-out by time, full ranking, seen=timeline",
}


def write_files(folder: Path, model: bytes) -> None:
    """All of the bundle but its manifest."""
    (folder / "vocabularies").mkdir(parents=True)
    (folder / "model.tflite").write_bytes(model)
    for name, terms in VOCABULARIES.items():
        text = "".join(f"{term}\n" for term in terms)
        (folder / "vocabularies" / f"{name}.txt").write_text(text, encoding="utf-8")
    lines = [
        {"index": i, "id": key, "title": title, "features": {"movie_genre": genres}}
        for i, (key, (title, genres)) in enumerate(MOVIES.items(), 2)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "items.jsonl").write_text(text, encoding="utf-8")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest with sizes and hashes of the files that are there."""
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stem != "manifest"
    }
    write_manifest_file(folder, json.dumps({**manifest, "files": files}).encode())


def write_manifest_file(folder: Path, content: bytes) -> None:
    """Writes the manifest as it is, with a hash that fits."""
    (folder / "manifest.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "manifest.sha256").write_text(f"{digest}  manifest.json\n")


# What the tiny model answers, see test_recommender.py.
CANARY: dict[str, Any] = {
    "request": {
        "history": ["50"],
        "ratings": [4.5],
        "timestamps": None,
        "user": {"age": 30},
        "activities": None,
    },
    "indices": [6, 5, 4, 3],
    "scores": [101.5, 91.5, 81.5, 71.5],
}

WriteBundle = Callable[..., Path]


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The tiny bundle's manifest without its files, to be changed at will."""
    return copy.deepcopy(MANIFEST)


@pytest.fixture
def canary(manifest: dict[str, Any]) -> dict[str, Any]:
    """The canary of the manifest, which has one now, to be changed at will."""
    manifest["canary"] = copy.deepcopy(CANARY)
    result: dict[str, Any] = manifest["canary"]
    return result


@pytest.fixture
def write_bundle(tmp_path: Path, manifest: dict[str, Any]) -> WriteBundle:
    """Writes a bundle; its model is no model unless one is given."""

    def write(model: bytes = b"no model", folder: Path = tmp_path / "bundle") -> Path:
        write_files(folder, model)
        write_manifest(folder, manifest)
        return folder

    return write


@pytest.fixture
def rewrite_manifest(manifest: dict[str, Any]) -> Callable[[Path], None]:
    """Writes the manifest anew, with sizes and hashes of what is there by now."""
    return lambda folder: write_manifest(folder, manifest)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tiny bundle's model, converted in a process of its own."""
    folder = tmp_path_factory.mktemp("tiny_model")
    output = folder / "model.tflite"
    finished = subprocess.run(
        [sys.executable, "-c", CONVERT, str(folder / "saved_model"), str(output)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout.decode("utf-8", "replace")
    return output.read_bytes()


@pytest.fixture
def bundle(write_bundle: WriteBundle, tiny_model: bytes) -> Path:
    """A whole bundle's folder."""
    return write_bundle(tiny_model)
