"""Weights of an earlier training in a model with other vocabularies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_transform as tft
from hypothesis import given
from hypothesis import strategies as st

from components.trainer import names
from components.trainer.model_inputs import read_model_inputs
from components.trainer.trainer import build_model, train_model
from components.trainer.warm_start import WarmStartError, remap_rows, warm_start
from components.transform.vocabularies import vocabulary_terms
from configs import recommender_pb2 as pb
from configs.loader import config_to_text
from tests.components.trainer.conftest import World

TERMS = st.lists(
    st.binary(min_size=1, max_size=3), min_size=1, max_size=20, unique=True
)


@given(terms=TERMS, new_terms=TERMS)
def test_rows_follow_their_terms(terms: list[bytes], new_terms: list[bytes]) -> None:
    table = np.random.default_rng(1).normal(size=(len(terms) + 2, 3))
    result = remap_rows(table, terms, new_terms)
    assert result.shape == (len(new_terms) + 2, 3)
    np.testing.assert_array_equal(result[:2], table[:2])
    kept = [terms.index(term) + 2 for term in new_terms if term in terms]
    mean = table[kept or slice(2, None)].mean(axis=0)
    for row, term in zip(result[2:], new_terms, strict=True):
        expected = table[terms.index(term) + 2] if term in terms else mean
        np.testing.assert_allclose(row, expected)


def test_new_items_begin_like_those_they_have_values_in_common_with() -> None:
    table = np.array([[0, 0], [9, 9], [1, 0], [0, 1], [5, 5]], np.float32)
    # New: shares both values with a, one with b; none with anything; nothing is known.
    values = np.array(
        [[0, 0], [0, 0], [2, 3], [3, 4], [6, 0], [3, 2], [7, 0], [0, 0]], np.int32
    )
    new_terms = [b"a", b"b", b"c", b"new", b"other", b"bare"]
    result = remap_rows(table, [b"a", b"b", b"c"], new_terms, [values])
    np.testing.assert_allclose(result[2:5], table[2:])
    np.testing.assert_allclose(result[5], [2 / 3, 1 / 3], rtol=1e-6)
    mean = table[2:].mean(axis=0)
    np.testing.assert_allclose(result[6:], [mean, mean], rtol=1e-6)


def test_values_of_several_features_count_by_themselves() -> None:
    table = np.array([[0], [0], [1], [2]], np.float32)
    one = np.array([[0], [0], [2], [3], [2]], np.int32)
    other = np.array([[0], [0], [3], [2], [2]], np.int32)
    result = remap_rows(table, [b"a", b"b"], [b"a", b"b", b"new"], [one, other])
    assert result[-1, 0] == pytest.approx(1.5)


def base_model(world: World, config: pb.RecommenderConfig, folder: Path) -> Path:
    """Trains for an epoch; what CurrentModel would hand on of it."""
    done = train_model(
        config,
        train_files=world.files["train"],
        eval_files=world.files["eval"],
        catalogue_files=world.files["catalogue"],
        transform_output=world.transform_output,
        serving_model_dir="",
        model_run_dir=str(folder / "run"),
        report=lambda line: None,
        export=False,
    )
    base = folder / "base"
    base.mkdir()
    (base / names.BASE_CONFIG).write_text(config_to_text(config))
    shutil.copy(done.checkpoint, base / names.BASE_WEIGHTS)
    shutil.copytree(world.transform_output, base / names.BASE_TRANSFORM)
    return base


def small(world: World, **train: object) -> pb.RecommenderConfig:
    config = pb.RecommenderConfig()
    config.CopyFrom(world.config)
    config.train.num_epochs = 1
    for name, value in train.items():
        setattr(config.train, name, value)
    return config


@pytest.fixture(scope="module")
def base(vocabulary_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return base_model(vocabulary_world, small(vocabulary_world), folder)


def other_vocabulary(base: Path, folder: Path) -> tuple[Path, list[bytes]]:
    """The same weights, as if some of their items had been others, in another order."""
    changed = folder / "changed"
    shutil.copytree(base, changed)
    path = changed / names.BASE_TRANSFORM / "transform_fn" / "assets" / "movie_id"
    terms = [b"gone", *reversed(path.read_bytes().splitlines()[2:]), b"gone too"]
    path.write_bytes(b"\n".join(terms) + b"\n")
    return changed, terms


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_after_a_warm_start(
    vocabulary_world: World, tmp_path: Path, tied: bool
) -> None:
    config = small(vocabulary_world)
    config.input.tie_item_embeddings = tied
    base = base_model(vocabulary_world, config, tmp_path)
    changed, old_terms = other_vocabulary(base, tmp_path)
    graph = tft.TFTransformOutput(vocabulary_world.transform_output)
    inputs = read_model_inputs(config, graph, vocabulary_world.files["catalogue"])

    def begun(folder: Path) -> tuple[list[np.ndarray], dict[str, tuple[int, int, int]]]:
        model = build_model(config, inputs)
        carried = warm_start(model, config, inputs, graph, str(folder), build_model)
        counts = {c.vocabulary: (c.kept, c.new, c.removed) for c in carried}
        return [np.asarray(weight) for weight in model.weights], counts

    same, nothing_changed = begun(base)
    moved, counts = begun(changed)
    terms = vocabulary_terms(graph, "movie_id")
    assert nothing_changed["movie_id"] == (len(terms), 0, 0)
    assert counts["movie_id"] == (len(terms) - 2, 2, 2)
    assert counts["movie_genre"] == nothing_changed["movie_genre"]
    tables = [i for i, w in enumerate(same) if len(w) == inputs.candidates.size]
    assert len(tables) == (1 if tied else 2)
    for index, (before, after) in enumerate(zip(same, moved, strict=True)):
        if index not in tables:
            np.testing.assert_array_equal(before, after)
            continue
        for row, term in enumerate(terms[2:], start=4):
            expected = before[old_terms.index(term) + 2]
            np.testing.assert_array_equal(after[row], expected)


def test_training_says_where_it_began(
    vocabulary_world: World, base: Path, tmp_path: Path
) -> None:
    def lines(config: pb.RecommenderConfig, folder: str | None) -> list[str]:
        said: list[str] = []
        train_model(
            config,
            train_files=vocabulary_world.files["train"],
            eval_files=vocabulary_world.files["eval"],
            catalogue_files=vocabulary_world.files["catalogue"],
            transform_output=vocabulary_world.transform_output,
            serving_model_dir="",
            model_run_dir=str(tmp_path / "run"),
            report=said.append,
            export=False,
            base_model=folder,
        )
        return said

    warm = small(vocabulary_world, warm_start=True)
    first, *_ = lines(warm, str(base))
    assert first.startswith("warm start: movie_id ")
    assert " kept, 0 new, 0 removed; movie_genre " in first
    for nothing in (None, str(tmp_path / "empty")):
        [first, *_] = lines(warm, nothing)
        assert first == (
            "warning: trained from scratch: no checkpoint of a current version"
        )
    [first, *_] = lines(small(vocabulary_world), str(base))
    assert first.startswith("epoch 1/1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.model.hidden_layer_dims.append(8), "other weights"),
        (lambda c: c.model.hidden_layer_dims.__setitem__(0, 8), "has the shape"),
    ],
)
def test_another_model_is_refused(
    vocabulary_world: World, base: Path, change: object, reason: str
) -> None:
    config = small(vocabulary_world)
    change(config)
    graph = tft.TFTransformOutput(vocabulary_world.transform_output)
    inputs = read_model_inputs(config, graph, vocabulary_world.files["catalogue"])
    model = build_model(config, inputs)
    before = [np.asarray(weight).copy() for weight in model.weights]
    with pytest.raises(WarmStartError, match=reason):
        warm_start(model, config, inputs, graph, str(base), build_model)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, np.asarray(weight))


def test_a_broken_base_is_refused(
    vocabulary_world: World, base: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    (broken / names.BASE_WEIGHTS).write_bytes(b"half")
    config = small(vocabulary_world)
    graph = tft.TFTransformOutput(vocabulary_world.transform_output)
    inputs = read_model_inputs(config, graph, vocabulary_world.files["catalogue"])
    model = build_model(config, inputs)
    with pytest.raises(WarmStartError, match="does not fit"):
        warm_start(model, config, inputs, graph, str(broken), build_model)
