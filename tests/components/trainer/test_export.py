"""The device's model: conversion to builtin operators and equal answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from components.tflite_converter.convert import convert
from components.trainer import ranks
from components.trainer.export import (
    Recommender,
    device_inputs,
    export_device_model,
)
from components.trainer.feature_group_embedding import Scaling
from components.trainer.names import CANDIDATE_SCORES
from components.trainer.recommendation_model import ModelInputs, RecommendationModel
from components.trainer.trainer import build_model
from configs import recommender_pb2 as pb

ROWS = 60
WORDS = 19
SEEN_LENGTH = 8
ENCODERS = pb.EncoderType.keys()
SEEN = ["KEPT", "CONTEXT", "TIMELINE"]
QUANTIZATIONS = ["FLOAT32", "FLOAT16", "DYNAMIC_RANGE", "INT8"]
# By the kind of model.
QUANTIZATIONS_OF = {
    "KEPT": QUANTIZATIONS[:1],
    "CONTEXT": QUANTIZATIONS[:1],
    "TIMELINE": QUANTIZATIONS,
    "deep": QUANTIZATIONS,
    "full_rank": QUANTIZATIONS[:1],
}
# How far a score may be from the SavedModel's: scores are about 1 in size.
TOLERANCE = {"FLOAT32": 1e-5, "FLOAT16": 2e-2, "DYNAMIC_RANGE": 0.1, "INT8": 0.15}

# All conversions share a process: starting one costs more than a conversion.
CONVERT = """
import json, sys
from components.tflite_converter.converter_process import convert, quantize
for job in json.load(open(sys.argv[1])):
    if job["quantization"] == "INT8":
        quantize(job["floats"], job["samples"], job["output"])
    else:
        convert(job["model"], job["output"], job["quantization"])
"""


@dataclass(frozen=True)
class Device:
    """A model's forms: as Keras has it, as saved, and converted by quantization."""

    config: pb.RecommenderConfig
    model: RecommendationModel
    saved: str
    tflite: dict[str, str]

    def saved_answer(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        signature = tf.saved_model.load(self.saved).signatures["serving_default"]
        answer = signature(**{k: tf.constant(v) for k, v in inputs.items()})
        return unpack({name: value.numpy() for name, value in answer.items()})

    def tflite_answer(
        self, inputs: dict[str, np.ndarray], quantization: str = "FLOAT32"
    ) -> tuple[np.ndarray, ...]:
        return unpack(self.runner(quantization)(**inputs))

    def runner(self, quantization: str = "FLOAT32"):
        interpreter = Interpreter(self.tflite[quantization])
        return interpreter.get_signature_runner("serving_default")


def unpack(answer: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return answer["top_prediction_ids"], answer["top_prediction_scores"]


def device_config(encoder: str, seen: str, length: int = 4) -> pb.RecommenderConfig:
    config = pb.RecommenderConfig()
    kind = pb.EncoderType.Value(encoder)
    movies = {"feature_type": pb.INT, "vocab_name": "movie_id", "embedding_dim": 8}
    group = config.input.activity_feature_groups.add(encoder_type=kind)
    group.features.add(feature_name="context_movie_id", feature_length=length, **movies)
    group.features.add(
        feature_name="context_movie_rating",
        feature_type=pb.FLOAT,
        feature_length=length,
        scaling=pb.Z_SCORE,
    )
    genres = config.input.activity_feature_groups.add(encoder_type=kind)
    genres.features.add(
        feature_name="context_movie_genre", embedding_dim=4, feature_length=2 * length
    )
    user = config.input.global_feature_groups.add()
    user.features.add(
        feature_name="user_age",
        feature_type=pb.INT,
        vocab_size=100,
        embedding_dim=2,
    )
    config.input.label_feature.CopyFrom(
        pb.Feature(feature_name="label_movie_id", **movies)
    )
    config.model.hidden_layer_dims.append(16)
    config.model.lstm_num_units = 8
    config.model.num_predictions = 10
    config.model.seen = pb.Seen.Value(seen)
    config.model.max_seen_length = SEEN_LENGTH
    return config


def deep_config(encoder: str) -> pb.RecommenderConfig:
    """All that a model may have beside its encoders, which are deeper."""
    config = device_config(encoder, "TIMELINE")
    config.model.MergeFrom(
        pb.ModelConfig(
            bow_layer_dims=[6],
            conv_num_filter_ratios=[2, 3],
            lstm_num_layers=2,
            gru_num_layers=2,
            transformer_num_layers=2,
            dropout=0.3,
            layer_norm=True,
            cross_num_layers=2,
            cross_rank=4,
            ranking_num_candidates=20,
            ranking_layer_dims=[12],
        )
    )
    config.input.tie_item_embeddings = True
    return config


def full_rank_config(encoder: str) -> pb.RecommenderConfig:
    """The same with cross layers, and those of the heads, of full rank."""
    config = deep_config(encoder)
    config.model.cross_rank = 0
    return config


def named_config() -> pb.RecommenderConfig:
    """Two inputs of one kind whose order by name is not that of the configuration."""
    config = pb.RecommenderConfig()
    group = config.input.activity_feature_groups.add(encoder_type=pb.CNN)
    for name in ("context_z_year", "context_a_id"):
        group.features.add(
            feature_name=name,
            feature_type=pb.INT,
            vocab_size=ROWS,
            embedding_dim=8,
            feature_length=3,
        )
    config.input.label_feature.CopyFrom(
        pb.Feature(
            feature_name="label_a_id",
            feature_type=pb.INT,
            vocab_size=ROWS,
            embedding_dim=8,
        )
    )
    config.model.num_predictions = 10
    return config


def model_inputs(config: pb.RecommenderConfig) -> ModelInputs:
    rows = {
        "context_movie_id": ROWS,
        "context_movie_genre": WORDS + 2,
        "user_age": 100,
        "context_z_year": ROWS,
        "context_a_id": ROWS,
        config.input.label_feature.feature_name: ROWS,
    }
    candidates = np.arange(ROWS) > 1
    candidates[17] = False
    scalings = {"context_movie_rating": Scaling(3.0, 0.5)}
    return ModelInputs(rows, candidates, {}, scalings)


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Device]:
    """All models, converted."""
    folder = tmp_path_factory.mktemp("devices")
    configs = {
        f"{encoder}-{seen}": device_config(encoder, seen)
        for encoder in ENCODERS
        for seen in SEEN
    }
    configs |= {
        f"{encoder}-long": device_config(encoder, "KEPT", length=10)
        for encoder in ENCODERS
    }
    configs |= {f"{encoder}-deep": deep_config(encoder) for encoder in ENCODERS}
    configs |= {
        f"{encoder}-full_rank": full_rank_config(encoder) for encoder in ENCODERS
    }
    configs["named"] = named_config()
    result = {}
    jobs = []
    for name, config in configs.items():
        keras.utils.set_random_seed(3)
        model = build_model(config, model_inputs(config))
        if name.endswith("-long"):
            short = result[name.replace("-long", "-KEPT")].model
            model.set_weights(short.get_weights())
        if model.ranking_head is not None:
            # Untrained it would change nothing.
            rng = np.random.default_rng(5)
            for weight in model.ranking_head.weights:
                weight.assign(0.3 * rng.normal(size=weight.shape))
        saved = str(folder / name)
        export_device_model(model, config, model_inputs(config), saved)
        kind = name.split("-")[-1]
        wanted = QUANTIZATIONS_OF.get(kind, QUANTIZATIONS[:1])
        tflite = {
            quantization: str(folder / f"{name}-{quantization}.tflite")
            for quantization in wanted
        }
        samples = str(folder / f"{name}.npz")
        if "INT8" in tflite:
            np.savez(samples, **calibration(config))
        jobs += [
            {
                "model": saved,
                "output": path,
                "quantization": quantization,
                "floats": tflite["FLOAT32"],
                "samples": samples,
            }
            for quantization, path in tflite.items()
        ]
        result[name] = Device(config, model, saved, tflite)
    plan = folder / "jobs.json"
    plan.write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(plan)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return result


def calibration(config: pb.RecommenderConfig) -> dict[str, np.ndarray]:
    """Random histories of every length, as many as the quantizer needs to see."""
    rng = np.random.default_rng(7)
    rows = [
        history(config, list(rng.integers(1, ROWS, n)), list(rng.integers(1, WORDS, n)))
        for n in range(5)
        for _ in range(8)
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def history(
    config: pb.RecommenderConfig, items: list[int], genres: list[int]
) -> dict[str, np.ndarray]:
    """The device's tensors of a history."""
    columns: dict[str, list[float]] = {
        "context_movie_id": items,
        "context_movie_rating": [4.0, 1.0, 5.0, 2.0][: len(items)],
        "context_movie_genre": genres,
        "user_age": [33],
        "seen_movie_id": [40, 41, *items],
    }
    inputs = {}
    for name, spec in device_inputs(config).items():
        inputs[name] = np.zeros(spec.shape, spec.dtype.as_numpy_dtype)
        inputs[name][0, : len(columns[name])] = columns[name]
    return inputs


HISTORIES = [
    ([5, 9], [2, 3, 4]),
    ([1, 20, 30, 59], [1, 1, 20, 7, 8]),
    ([44], []),
    ([], []),
]


@pytest.mark.parametrize(
    ("variant", "quantization"),
    [(kind, name) for kind, names in QUANTIZATIONS_OF.items() for name in names],
)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_converted_model_agrees_with_the_saved_one(
    devices: dict[str, Device], encoder: str, variant: str, quantization: str
) -> None:
    device = devices[f"{encoder}-{variant}"]
    for items, genres in HISTORIES:
        inputs = history(device.config, items, genres)
        ids, scores = device.saved_answer(inputs)
        lite_ids, lite_scores = device.tflite_answer(inputs, quantization)
        assert ids.dtype == lite_ids.dtype == np.int32
        assert ids.shape == lite_ids.shape == scores.shape == lite_scores.shape == (10,)
        size = max(1.0, float(np.abs(scores).max()))
        tolerance = TOLERANCE[quantization] * size
        np.testing.assert_allclose(lite_scores, scores, atol=tolerance)
        if quantization == "FLOAT32":
            np.testing.assert_array_equal(lite_ids, ids)
        else:
            assert len(set(ids) & set(lite_ids)) >= 7


@pytest.mark.parametrize("variant", ["TIMELINE", "deep"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_scores_are_floats_in_8_bits_too(
    devices: dict[str, Device], encoder: str, variant: str
) -> None:
    """In 256 steps many would be equal."""
    interpreter = Interpreter(devices[f"{encoder}-{variant}"].tflite["INT8"])
    kinds = {d["name"]: d["dtype"] for d in interpreter.get_tensor_details()}
    assert np.int8 in kinds.values()
    scores = [kinds[name] for name in kinds if name.split("_")[0] == CANDIDATE_SCORES]
    assert scores == [np.float32]


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_saved_model_agrees_with_the_trained_one(
    devices: dict[str, Device], encoder: str, seen: str
) -> None:
    device = devices[f"{encoder}-{seen}"]
    items, genres = [5, 9, 33], [2, 3]
    inputs = history(device.config, items, genres)
    ids, scores = device.saved_answer(inputs)
    expected = device.model(
        {k: v for k, v in inputs.items() if not k.startswith("seen_")}
    ).numpy()[0]
    out = {
        "KEPT": {0, 1, 17},
        "CONTEXT": {0, 1, 17, 5, 9, 33},
        "TIMELINE": {0, 1, 17, 5, 9, 33, 40, 41},
    }
    expected[list(out[seen])] = -np.inf
    np.testing.assert_array_equal(ids, np.argsort(-expected, kind="stable")[:10])
    np.testing.assert_allclose(scores, expected[ids], atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_ranked_again_is_the_trained_models(
    devices: dict[str, Device], encoder: str
) -> None:
    """The 20 best by similarity, in the ranking head's order."""
    device = devices[f"{encoder}-deep"]
    inputs = history(device.config, [5, 9, 33], [2, 3])
    ids, scores = device.saved_answer(inputs)
    model = device.model
    contexts = model.encode(inputs)
    items = model.label_encoder.catalogue()
    similar = model.similarity(contexts, items).numpy()[0]
    similar[[0, 1, 17, 5, 9, 33, 40, 41]] = -np.inf
    best = np.argsort(-similar, kind="stable")[:20]
    again = model.rank(contexts, tf.gather(items, best[np.newaxis])).numpy()[0]
    order = np.argsort(-again, kind="stable")[:10]
    np.testing.assert_array_equal(ids, best[order])
    np.testing.assert_allclose(scores, again[order], atol=1e-4)
    assert (order != np.arange(10)).any()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_length_of_padding_changes_nothing(
    devices: dict[str, Device], encoder: str
) -> None:
    short, long = devices[f"{encoder}-KEPT"], devices[f"{encoder}-long"]
    answers = [
        answer(history(device.config, [5, 9], [2, 3, 4]))
        for device in (short, long)
        for answer in (device.saved_answer, device.tflite_answer)
    ]
    for ids, scores in answers[1:]:
        np.testing.assert_array_equal(ids, answers[0][0])
        np.testing.assert_allclose(scores, answers[0][1], atol=1e-4)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_unseen_word_is_out_of_vocabulary_everywhere(
    devices: dict[str, Device], encoder: str
) -> None:
    device = devices[f"{encoder}-KEPT"]
    unseen = history(device.config, [5, 9], [1])
    without = history(device.config, [5, 9], [])
    ids, scores = device.saved_answer(unseen)
    lite_ids, lite_scores = device.tflite_answer(unseen)
    np.testing.assert_array_equal(lite_ids, ids)
    np.testing.assert_allclose(lite_scores, scores, atol=1e-5)
    # Its row is a row like any other: the word changes the scores.
    assert np.abs(scores - device.saved_answer(without)[1]).max() > 1e-4


def test_names_survive_and_tell_the_inputs_apart(devices: dict[str, Device]) -> None:
    device = devices["named"]
    details = device.runner().get_input_details()
    assert sorted(details) == ["context_a_id", "context_z_year"]
    inputs = {
        "context_a_id": np.array([[3, 4, 5]], np.int32),
        "context_z_year": np.array([[30, 31, 0]], np.int32),
    }
    swapped = {
        "context_a_id": inputs["context_z_year"],
        "context_z_year": inputs["context_a_id"],
    }
    ids, scores = device.saved_answer(inputs)
    lite_ids, lite_scores = device.tflite_answer(inputs)
    np.testing.assert_array_equal(lite_ids, ids)
    np.testing.assert_allclose(lite_scores, scores, atol=1e-5)
    assert np.abs(device.tflite_answer(swapped)[1] - scores).max() > 1e-3


@pytest.mark.parametrize("variant", [*SEEN, "deep", "full_rank"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_signature_and_operators(
    devices: dict[str, Device], encoder: str, variant: str
) -> None:
    device = devices[f"{encoder}-{variant}"]
    inputs = {
        name: (tuple(d["shape"]), d["dtype"])
        for name, d in device.runner().get_input_details().items()
    }
    expected = {
        "context_movie_id": ((1, 4), np.int32),
        "context_movie_rating": ((1, 4), np.float32),
        "context_movie_genre": ((1, 8), np.int32),
        "user_age": ((1, 1), np.int32),
    }
    if variant not in ("KEPT", "CONTEXT"):
        expected["seen_movie_id"] = ((1, SEEN_LENGTH), np.int32)
    assert inputs == expected
    interpreter = Interpreter(device.tflite["FLOAT32"])
    operators = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not [name for name in operators if "Flex" in name or "CUSTOM" in name]


def test_seen_items_come_last_and_padding_never(devices: dict[str, Device]) -> None:
    device = devices["BOW-TIMELINE"]
    config = pb.RecommenderConfig()
    config.CopyFrom(device.config)
    config.model.num_predictions = 10_000
    inputs = model_inputs(config)
    keep = np.flatnonzero(inputs.candidates)
    recommender = Recommender(device.model, config, inputs)
    assert recommender.k == keep.size == ROWS - 3
    columns = history(config, [5, 9], [2])
    ids, scores = recommender({k: tf.constant(v) for k, v in columns.items()})
    assert sorted(ids.numpy()[0]) == keep.tolist()
    assert set(ids.numpy()[0, -4:]) == {5, 9, 40, 41}
    np.testing.assert_array_equal(scores[0, -4:], [ranks.FLOOR] * 4)
    assert (scores.numpy()[0, :-4] > -1e6).all()


@pytest.mark.parametrize("variant", ["TIMELINE", "deep"])
def test_ranks_of_the_recommender(devices: dict[str, Device], variant: str) -> None:
    device = devices[f"CNN-{variant}"]
    inputs = model_inputs(device.config)
    recommender = Recommender(device.model, device.config, inputs)
    columns = {
        k: tf.constant(v) for k, v in history(device.config, [5, 9], [2]).items()
    }
    best = recommender(columns)[0].numpy()[0]
    for place, item in enumerate(best):
        assert recommender.rank(columns, tf.constant([item])).numpy() == [place + 1]
    for unknown in (0, 1, 17, -1, ROWS):
        label = tf.constant([unknown], tf.int64)
        assert recommender.rank(columns, label).numpy() == [ROWS - 3]


def test_long_seen_lists_are_not_one_hot(tmp_path: Path) -> None:
    config = device_config("BOW", "TIMELINE")
    config.model.max_seen_length = 512
    model = build_model(config, model_inputs(config))
    export_device_model(model, config, model_inputs(config), str(tmp_path / "saved"))
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures[
        "serving_default"
    ]
    largest = max(
        output.shape.num_elements() or 0
        for function in [signature, *signature.graph._functions.values()]
        if hasattr(function, "graph")
        for op in function.graph.get_operations()
        for output in op.outputs
        if output.shape.is_fully_defined()
    )
    assert 512 <= largest < 512 * ROWS


def test_a_catalogue_of_4000_items_of_width_64_becomes_small(tmp_path: Path) -> None:
    rows, movies = 4002, {"vocab_name": "movie_id", "embedding_dim": 64}
    config = pb.RecommenderConfig()
    group = config.input.activity_feature_groups.add(encoder_type=pb.GRU)
    group.features.add(
        feature_name="context_movie_id",
        feature_type=pb.INT,
        feature_length=10,
        **movies,
    )
    config.input.label_feature.CopyFrom(
        pb.Feature(feature_name="label_movie_id", feature_type=pb.INT, **movies)
    )
    config.input.tie_item_embeddings = True
    config.model.gru_num_units = 64
    names = ("context_movie_id", "label_movie_id")
    inputs = ModelInputs(dict.fromkeys(names, rows), np.arange(rows) > 1)
    model = build_model(config, inputs)
    saved = tmp_path / "saved"
    export_device_model(model, config, inputs, str(saved))
    size = {}
    for quantization in (pb.FLOAT32, pb.DYNAMIC_RANGE):
        path = tmp_path / f"{quantization}.tflite"
        convert(saved, path, quantization, tmp_path / "log", timeout_seconds=300)
        size[quantization] = path.stat().st_size
    assert size[pb.DYNAMIC_RANGE] <= 0.35 * size[pb.FLOAT32]
