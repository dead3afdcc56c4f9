"""The layers one by one: shapes, dtypes, masks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.context_encoder import (
    ContextEncoder,
    encoding_width,
    make_encoder,
)
from components.trainer.cross_layer import CrossLayer
from components.trainer.dot_product_similarity import DotProductSimilarity
from components.trainer.encoders.bow import BowEncoder
from components.trainer.encoders.cnn import CnnEncoder
from components.trainer.encoders.gru import GruEncoder
from components.trainer.encoders.lstm import LstmEncoder
from components.trainer.encoders.transformer import TransformerEncoder, distance_buckets
from components.trainer.feature_group_embedding import FeatureGroupEmbedding, Scaling
from components.trainer.label_encoder import LabelEncoder
from components.trainer.pair_head import PairHead
from components.trainer.recommendation_model import ModelInputs, RecommendationModel
from configs import recommender_pb2 as pb

ENCODERS = pb.EncoderType.values()
SIZES = pb.ModelConfig(
    conv_num_filter_ratios=[2, 3],
    lstm_num_units=5,
    gru_num_units=6,
    transformer_num_units=8,
    transformer_num_layers=2,
)


def ids_feature(name: str = "context_movie_id", length: int = 4, **knobs) -> pb.Feature:
    knobs = {"vocab_name": "movie_id", "embedding_dim": 3, **knobs}
    return pb.Feature(
        feature_name=name, feature_type=pb.INT, feature_length=length, **knobs
    )


def rating_feature(length: int = 4) -> pb.Feature:
    return pb.Feature(
        feature_name="context_movie_rating",
        feature_type=pb.FLOAT,
        feature_length=length,
    )


def group(*features: pb.Feature, encoder: int = pb.BOW) -> pb.FeatureGroup:
    return pb.FeatureGroup(features=features, encoder_type=encoder)


def padded(rows: list[list[float]], length: int, dtype: type) -> np.ndarray:
    result = np.zeros((len(rows), length), dtype)
    for index, row in enumerate(rows):
        result[index, : len(row)] = row
    return result


# FeatureGroupEmbedding


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_embedding_of_padding_is_zero_and_masked(dtype: type) -> None:
    embed = FeatureGroupEmbedding(group(ids_feature()), {"context_movie_id": 10})
    values, mask = embed({"context_movie_id": np.array([[5, 1, 0, 0]], dtype)})
    table = embed.weights[0].numpy()
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0]])
    np.testing.assert_array_equal(values[0, :2], table[[5, 1]])
    np.testing.assert_array_equal(values[0, 2:], np.zeros((2, 3)))
    assert values.dtype == mask.dtype == tf.float32


def test_float_values_are_scaled_inside_the_mask_only() -> None:
    embed = FeatureGroupEmbedding(
        group(ids_feature(), rating_feature()),
        {"context_movie_id": 10},
        {"context_movie_rating": Scaling(offset=3.0, scale=0.5)},
    )
    values, _ = embed(
        {
            "context_movie_id": np.array([[5, 7, 0, 0]]),
            "context_movie_rating": np.array([[5.0, 0.0, 0.0, 9.0]], np.float32),
        }
    )
    np.testing.assert_allclose(values[0, :, 3], [1.0, -1.5, 0.0, 0.0])
    assert embed.width == values.shape[-1] == 4


def test_step_is_real_if_any_id_is() -> None:
    embed = FeatureGroupEmbedding(
        group(ids_feature(), ids_feature("context_movie_year")),
        {"context_movie_id": 10, "context_movie_year": 10},
    )
    values, mask = embed(
        {
            "context_movie_id": np.array([[5, 0, 4, 0]]),
            "context_movie_year": np.array([[0, 2, 3, 0]]),
        }
    )
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0]])
    np.testing.assert_array_equal(values[0, 0, 3:], np.zeros(3))
    np.testing.assert_array_equal(values[0, 1, :3], np.zeros(3))


def test_float_only_group_has_no_padding() -> None:
    age = pb.Feature(feature_name="user_age", feature_type=pb.FLOAT)
    embed = FeatureGroupEmbedding(group(age), {}, {"user_age": Scaling(20.0, 0.1)})
    values, mask = embed({"user_age": np.array([[0.0], [40.0]], np.float32)})
    np.testing.assert_allclose(values[..., 0], [[-2.0], [2.0]])
    np.testing.assert_array_equal(mask, [[1], [1]])


def test_out_of_vocabulary_id_has_a_row_of_its_own() -> None:
    words = [f"word {i}" for i in range(19)]
    rows = len(words) + 2
    embed = FeatureGroupEmbedding(group(ids_feature()), {"context_movie_id": rows})
    values, mask = embed({"context_movie_id": np.array([[1, rows - 1, 0, 0]])})
    table = embed.weights[0].numpy()
    assert table.shape == (21, 3)
    np.testing.assert_array_equal(values[0, :2], table[[1, 20]])
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0]])


@pytest.mark.parametrize("value", [-3, 10, 4000])
def test_raw_id_outside_its_table_counts_as_padding(value: int) -> None:
    feature = ids_feature(vocab_name="", vocab_size=10)
    embed = FeatureGroupEmbedding(group(feature), {"context_movie_id": 10})
    values, mask = embed({"context_movie_id": np.array([[9, value, 1, 0]])})
    np.testing.assert_array_equal(mask, [[1, 0, 1, 0]])
    np.testing.assert_array_equal(values[0, 1], np.zeros(3))


# Encoders


def test_bow_is_the_mean_of_real_steps() -> None:
    values = np.array([[[2.0, 1.0], [4.0, 3.0], [100.0, 100.0]]], np.float32)
    encoded = BowEncoder()(values, np.array([[1.0, 1.0, 0.0]], np.float32))
    np.testing.assert_allclose(encoded, [[3.0, 2.0]])


def test_cnn_equals_a_convolution_by_hand() -> None:
    encode = CnnEncoder([1], kernel_size=2)
    values = np.array([[[1.0], [2.0], [9.0]]], np.float32)
    mask = np.array([[1.0, 1.0, 0.0]], np.float32)
    encode(values, mask)
    # Kernel [step, channel, filter]: 1 of the step before, 10 if there is one, and 3 of
    # this one.
    encode.set_weights([np.array([[[1.0], [10.0]], [[3.0], [0.0]]]), np.array([0.5])])
    # Step 1: 3 * 1 + 0.5, for before it is nothing; step 2: 1 + 10 + 3 * 2 + 0.5.
    np.testing.assert_allclose(encode(values, mask), [[17.5]])
    np.testing.assert_allclose(
        encode(values, mask, every_step=True), [[[3.5], [17.5], [17.5]]]
    )


def test_cnn_needs_a_convolution() -> None:
    with pytest.raises(ValueError, match="at least one"):
        CnnEncoder([], kernel_size=2)


def test_lstm_equals_keras_with_a_mask() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 6, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    ours = LstmEncoder(5)
    ours(values, mask.astype(np.float32))
    inputs, bias, state = (w.numpy() for w in ours.weights)
    reference = keras.layers.LSTM(5)
    reference.build(values.shape)
    # Both order their gates input, forget, candidate, output.
    reference.set_weights([inputs, state, bias])
    expected = reference(values, mask=mask.astype(bool))
    np.testing.assert_allclose(
        ours(values, mask.astype(np.float32)), expected, atol=1e-6
    )


def test_lstm_forget_bias_starts_at_one() -> None:
    encode = LstmEncoder(3)
    encode(np.ones((1, 2, 4), np.float32), np.ones((1, 2), np.float32))
    np.testing.assert_array_equal(encode.weights[1], [0, 0, 0, 1, 1, 1] + [0] * 6)


def test_gru_equals_keras_with_a_mask() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 6, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    ours = GruEncoder(5)
    ours(values, mask.astype(np.float32))
    for weight in ours.weights:
        weight.assign(rng.normal(size=weight.shape))
    inputs, input_bias, state, state_bias = (w.numpy() for w in ours.weights)
    reference = keras.layers.GRU(5)
    reference.build(values.shape)
    # Both order their gates update, reset, candidate.
    reference.set_weights([inputs, state, np.stack([input_bias, state_bias])])
    expected = reference(values, mask=mask.astype(bool))
    np.testing.assert_allclose(
        ours(values, mask.astype(np.float32)), expected, atol=1e-6
    )


def randomized(encode: keras.layers.Layer, values: np.ndarray) -> None:
    """Gives all weights other values than those that they begin with."""
    rng = np.random.default_rng(1)
    encode(values, np.ones(values.shape[:2], np.float32))
    for weight in encode.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)


def test_transformer_equals_attention_by_hand() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 4, 3)).astype(np.float32)
    mask = np.array([[1, 0, 1, 0]], np.float32)
    encode = TransformerEncoder(units=4, num_layers=1, num_heads=2)
    randomized(encode, values)
    weights = {w.path.split("/", 1)[1]: w.numpy() for w in encode.weights}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
        return x * weights[f"{name}/gamma"] + weights[f"{name}/beta"]

    state = [dense("values_to_state", step) for step in values[0]]
    parts = [
        np.split(dense("block_0/state_to_heads", norm("block_0/attention_norm", s)), 3)
        for s in state
    ]
    # The newest step, 2, sees itself and step 0; step 1 is padding.
    seen = []
    for head in range(2):
        own = slice(2 * head, 2 * head + 2)
        query = parts[2][0][own]
        scores = np.array(
            [
                query @ parts[at][1][own] / np.sqrt(2)
                + weights["block_0/distance_biases"][head, 2 - at]
                for at in (0, 2)
            ]
        )
        share = np.exp(scores) / np.exp(scores).sum()
        seen.append(share[0] * parts[0][2][own] + share[1] * parts[2][2][own])
    x = state[2] + dense("block_0/heads_to_state", np.concatenate(seen))
    inner = np.maximum(dense("block_0/inner", norm("block_0/dense_norm", x)), 0)
    expected = norm("norm", x + dense("block_0/outer", inner))
    np.testing.assert_allclose(encode(values, mask)[0], expected, atol=1e-5)


def test_transformer_knows_how_long_ago_and_not_how_long_the_history_is() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 6, 3)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0, 0]], np.float32)
    encode = TransformerEncoder(units=4, num_layers=2, num_heads=2)
    randomized(encode, values)
    same = values.copy()
    same[:, 3:] = 9.0
    np.testing.assert_array_equal(encode(values, mask), encode(same, mask))
    later = np.roll(values, 2, axis=1)
    np.testing.assert_allclose(
        encode(values, mask), encode(later, np.roll(mask, 2, axis=1)), atol=1e-6
    )
    swapped = values[:, [1, 0, 2, 3, 4, 5]]
    assert np.abs(encode(values, mask) - encode(swapped, mask)).max() > 1e-3


def test_distances_are_told_apart_the_near_ones_each() -> None:
    buckets = distance_buckets(500)
    near = np.arange(16)
    np.testing.assert_array_equal(buckets[:16], near)
    assert (np.diff(buckets) >= 0).all()
    assert set(buckets) == set(range(32))
    assert buckets[127] == buckets[499] == 31 and buckets[60] < buckets[120]


def test_transformer_heads_must_share_the_units() -> None:
    with pytest.raises(ValueError, match="Received: 5 and 2"):
        TransformerEncoder(units=5, num_layers=1, num_heads=2)


@pytest.mark.parametrize("kind", [pb.LSTM, pb.GRU, pb.TRANSFORMER])
def test_encoders_that_need_a_static_length(kind: int) -> None:
    encode = make_encoder(kind, 4, SIZES, "encoder")
    spec = tf.TensorSpec([None, None, 4])
    with pytest.raises(ValueError, match="must be known"):
        tf.function(encode).get_concrete_function(spec, tf.TensorSpec([None, None]))


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoder_of_an_empty_history_is_zero(kind: int) -> None:
    encode = make_encoder(kind, 3, SIZES, "encoder")
    encoded = encode(np.ones((2, 4, 3), np.float32), np.zeros((2, 4), np.float32))
    np.testing.assert_array_equal(encoded, np.zeros(encoded.shape))


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("length", [1, 2, 7])
def test_encoder_shapes(kind: int, length: int) -> None:
    encode = make_encoder(kind, 4, SIZES, "encoder")
    encoded = encode(np.ones((2, length, 4), np.float32), np.ones((2, length)))
    widths = {pb.BOW: 4, pb.CNN: 12, pb.LSTM: 5, pb.GRU: 6, pb.TRANSFORMER: 8}
    assert encoded.shape == (2, widths[kind])
    assert encoded.dtype == tf.float32


def check_that_floats_are_cast(
    layer: keras.layers.Layer, *arrays: np.ndarray, **knobs: bool
) -> None:
    """Whatever floats it gets, it counts in float32."""
    arrays = tuple(array.astype(np.float16) for array in arrays)
    expected = layer(*(array.astype(np.float32) for array in arrays), **knobs)
    for dtype in (np.float16, np.float64):
        found = layer(*(array.astype(dtype) for array in arrays), **knobs)
        assert found.dtype == tf.float32
        np.testing.assert_array_equal(found, expected)
    assert {weight.dtype for weight in layer.weights} <= {"float32"}


DEEP = pb.ModelConfig(
    bow_layer_dims=[6, 5],
    conv_num_filter_ratios=[2, 3],
    conv_kernel_size=2,
    lstm_num_units=5,
    lstm_num_layers=2,
    gru_num_units=6,
    gru_num_layers=3,
    transformer_num_units=8,
    transformer_num_layers=2,
    dropout=0.5,
    layer_norm=True,
)


@pytest.mark.parametrize("sizes", [SIZES, DEEP], ids=["plain", "deep"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_every_step_is_the_encoding_of_what_came_up_to_it(
    kind: int, sizes: pb.ModelConfig
) -> None:
    """In training nothing of a target's own future may be seen."""
    values = np.random.default_rng(0).normal(size=(5, 9, 4)).astype(np.float32)
    mask = np.ones((5, 9), np.float32)
    mask[1, 6:] = 0
    # Steps without any id: in the middle, at the beginning, and no others.
    mask[0, 4] = 0
    mask[2, 0] = 0
    mask[3, [0, 1, 3]] = 0
    mask[4] = 0
    values *= mask[..., np.newaxis]
    encode = make_encoder(kind, 4, sizes, "encoder")
    encode(values, mask)
    randomized(encode, values)
    every = encode(values, mask, every_step=True)
    assert every.shape == (5, 9, encoding_width(kind, 4, sizes))
    for step in range(9):
        until = mask * (np.arange(9) <= step)
        expected = encode(values, until.astype(np.float32))
        np.testing.assert_allclose(every[:, step], expected, atol=1e-5)
    np.testing.assert_array_equal(every[3, :2], np.zeros((2, every.shape[2])))


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_are_of_float32(kind: int, every_step: bool) -> None:
    values = np.random.default_rng(0).normal(size=(2, 5, 4))
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    encode = make_encoder(kind, 4, DEEP, "encoder")
    check_that_floats_are_cast(encode, values, mask, every_step=every_step)


@pytest.mark.parametrize("kind", ENCODERS)
def test_dropout_is_for_training_alone(kind: int) -> None:
    values = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    mask = np.ones((2, 9), np.float32)
    encode = make_encoder(kind, 4, DEEP, "encoder")
    np.testing.assert_array_equal(encode(values, mask), encode(values, mask))
    first, second = (encode(values, mask, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("kind", ENCODERS)
def test_depth_adds_layers(kind: int) -> None:
    def number(sizes: pb.ModelConfig) -> int:
        encode = make_encoder(kind, 4, sizes, "encoder")
        encode(np.ones((1, 3, 4), np.float32), np.ones((1, 3), np.float32))
        return len(encode.weights)

    assert number(DEEP) > number(pb.ModelConfig(conv_num_filter_ratios=[2]))


def test_unknown_encoder_is_an_error() -> None:
    with pytest.raises(ValueError, match="Received: 99"):
        make_encoder(99, 4, SIZES, "encoder")


# ContextEncoder


def context_encoder(kind: int, length: int) -> ContextEncoder:
    genre = ids_feature(
        "context_movie_genre", 2 * length, vocab_name="genre", embedding_dim=2
    )
    groups = [
        group(ids_feature(length=length), rating_feature(length), encoder=kind),
        group(genre, encoder=kind),
    ]
    rows = {"context_movie_id": 20, "context_movie_genre": 8}
    sizes = pb.ModelConfig(hidden_layer_dims=[6], conv_kernel_size=3, lstm_num_units=5)
    return ContextEncoder(groups, rows, output_dim=7, model=sizes)


def context(length: int) -> dict[str, np.ndarray]:
    return {
        "context_movie_id": padded([[5, 9], [3, 4]], length, np.int32),
        "context_movie_rating": padded([[4.0, 2.0], [0.0, 1.0]], length, np.float32),
        "context_movie_genre": padded([[2, 3, 4], [5]], 2 * length, np.int32),
    }


@pytest.mark.parametrize("kind", ENCODERS)
def test_length_of_padding_changes_nothing(kind: int) -> None:
    short, long = context_encoder(kind, 4), context_encoder(kind, 10)
    first = short(context(4))
    long(context(10))
    long.set_weights(short.get_weights())
    np.testing.assert_allclose(first, long(context(10)), atol=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_values_in_padded_steps_change_nothing(kind: int) -> None:
    encode = context_encoder(kind, 4)
    clean = encode(context(4))
    dirty = context(4)
    dirty["context_movie_rating"][:, 2:] = 77.0
    np.testing.assert_array_equal(clean, encode(dirty))


@pytest.mark.parametrize("kind", [pb.CNN, pb.LSTM, pb.GRU])
def test_sequence_encoders_see_the_order(kind: int) -> None:
    encode = context_encoder(kind, 4)
    first = encode(context(4))
    swapped = context(4)
    swapped["context_movie_id"][:, :2] = swapped["context_movie_id"][:, 1::-1]
    assert np.abs(first - encode(swapped)).max() > 1e-4


@pytest.mark.parametrize("kind", ENCODERS)
def test_context_of_every_step_ends_with_that_of_all(kind: int) -> None:
    """With a user's features, crosses, normalization and hidden layers."""
    length = 5
    groups = [
        group(
            pb.Feature(feature_name="user_gender", embedding_dim=2, feature_length=1)
        ),
        group(ids_feature(length=length), rating_feature(length), encoder=kind),
        group(ids_feature("context_movie_year", length), encoder=pb.BOW),
    ]
    rows = {"user_gender": 4, "context_movie_id": 20, "context_movie_year": 20}
    sizes = pb.ModelConfig(
        hidden_layer_dims=[6], cross_num_layers=2, cross_rank=3, layer_norm=True
    )
    encode = ContextEncoder(groups, rows, output_dim=7, model=sizes)
    inputs = context(length) | {
        "user_gender": np.array([[2], [3]]),
        "context_movie_year": padded([[5, 9], [3, 4]], length, np.int32),
    }
    every = encode(inputs, every_step=True)
    assert every.shape == (2, length, 7)
    np.testing.assert_allclose(every[:, 1], encode(inputs), atol=1e-5)
    first = {
        name: values * (np.arange(length) < 1) if values.shape[1] == length else values
        for name, values in inputs.items()
    }
    np.testing.assert_allclose(every[:, 0], encode(first), atol=1e-5)


def test_context_has_dropout_in_training_alone() -> None:
    sizes = pb.ModelConfig(dropout=0.5)
    encode = ContextEncoder(
        [group(ids_feature())], {"context_movie_id": 20}, output_dim=7, model=sizes
    )
    inputs = {"context_movie_id": np.array([[5, 9, 3, 4]])}
    np.testing.assert_array_equal(encode(inputs), encode(inputs))
    assert np.abs(encode(inputs, training=True) - encode(inputs)).max() > 1e-3


# CrossLayer and PairHead


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5)])
@pytest.mark.parametrize("rank", [0, 2])
def test_cross_layer_by_hand(rank: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    first, values = rng.normal(size=(2, *shape)).astype(np.float32)
    batch = first.reshape(-1, 5)[:1] if len(shape) == 1 else first
    cross = CrossLayer(width=5, rank=rank)
    cross(batch, batch)
    for weight in cross.weights:
        weight.assign(rng.normal(size=weight.shape))
    *matrices, bias = (w.numpy() for w in cross.weights)
    product = matrices[0] if rank == 0 else matrices[0] @ matrices[1]
    expected = first * (values @ product + bias) + values
    found = cross(np.atleast_2d(first), np.atleast_2d(values))
    np.testing.assert_allclose(found, np.atleast_2d(expected), rtol=1e-4, atol=1e-5)


def test_pair_head_is_zero_untrained_and_the_same_one_by_one() -> None:
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(2, 4)).astype(np.float32)
    items = rng.normal(size=(2, 3, 4)).astype(np.float32)
    head = PairHead(width=4, layer_dims=[32], rank=2)
    np.testing.assert_array_equal(head(contexts, items), np.zeros((2, 3)))
    for weight in head.weights:
        weight.assign(rng.normal(size=weight.shape))
    together = head(contexts, items)
    for item in range(3):
        one = head(contexts, items[:, item])
        np.testing.assert_allclose(together[:, item], one, rtol=1e-5)
    # It tells a context and an item apart.
    swapped = head(contexts[::-1], contexts)
    assert np.abs(head(contexts, contexts[::-1]) - swapped).max() > 1e-3


@pytest.mark.parametrize("rank", [0, 2])
def test_cross_layer_and_pair_head_are_of_float32(rank: int) -> None:
    contexts, items = np.random.default_rng(0).normal(size=(2, 3, 4))
    check_that_floats_are_cast(CrossLayer(4, rank), contexts, items)
    head = PairHead(width=4, layer_dims=[8], rank=rank)
    head(contexts, items)
    for weight in head.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    check_that_floats_are_cast(head, contexts, items)


def test_projection_is_linear() -> None:
    encode = context_encoder(pb.BOW, 4)
    assert (encode(context(4)).numpy() < 0).any()


def test_context_needs_a_group() -> None:
    with pytest.raises(ValueError, match="at least one feature group"):
        ContextEncoder([], {}, output_dim=4)


# LabelEncoder


def label_encoder(ids: bool, values: np.ndarray | None) -> LabelEncoder:
    genre = pb.Feature(
        feature_name="label_movie_genre", embedding_dim=2, feature_length=2
    )
    return LabelEncoder(
        ids_feature("label_movie_id", 1),
        {"label_movie_id": 5, "label_movie_genre": 6},
        [] if values is None else [genre],
        None if values is None else {"label_movie_genre": values},
        id_embedding=ids,
    )


GENRE_TABLE = np.array([[0, 0], [0, 0], [2, 3], [2, 0], [2, 3]])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("ids", "values"), [(True, None), (True, GENRE_TABLE), (False, GENRE_TABLE)]
)
def test_items_are_rows_of_the_catalogue(
    ids: bool, values: np.ndarray | None, dtype: type
) -> None:
    encode = label_encoder(ids, values)
    some = encode(np.array([3, 2, 3], dtype))
    assert some.shape == (3, 3)
    np.testing.assert_allclose(some, encode.catalogue().numpy()[[3, 2, 3]], atol=1e-6)


def test_items_of_the_same_features_differ_by_id_only() -> None:
    by_features = label_encoder(False, GENRE_TABLE).catalogue().numpy()
    np.testing.assert_array_equal(by_features[2], by_features[4])
    both = label_encoder(True, GENRE_TABLE)
    catalogue = both.catalogue().numpy()
    table = next(w.numpy() for w in both.weights if w.shape == (5, 3))
    np.testing.assert_allclose(
        catalogue[2] - catalogue[4], table[2] - table[4], atol=1e-6
    )


def test_item_feature_is_the_mean_of_its_values() -> None:
    encode = label_encoder(False, GENRE_TABLE)
    catalogue = encode.catalogue().numpy()
    genre = next(w.numpy() for w in encode.weights if w.shape == (6, 2))
    kernel = next(w.numpy() for w in encode.weights if w.shape == (2, 3))
    np.testing.assert_allclose(
        catalogue[2], (genre[2] + genre[3]) / 2 @ kernel, atol=1e-6
    )
    np.testing.assert_allclose(catalogue[3], genre[2] @ kernel, atol=1e-6)


def test_label_encoder_refuses_what_makes_no_item() -> None:
    with pytest.raises(ValueError, match="id embedding, features, or both"):
        label_encoder(False, None)
    with pytest.raises(ValueError, match=r"shape \(5, 2\).*\(4, 2\)"):
        label_encoder(True, GENRE_TABLE[:4])


# DotProductSimilarity


def test_dot_products() -> None:
    contexts = np.array([[1.0, 2.0], [0.0, -1.0]], np.float32)
    items = np.array([[1.0, 0.0], [3.0, 1.0], [0.0, 2.0]], np.float32)
    expected = [[1.0, 5.0, 4.0], [0.0, -1.0, -2.0]]
    np.testing.assert_allclose(DotProductSimilarity()(contexts, items), expected)
    own = np.stack([items, items[::-1]])
    expected[1] = expected[1][::-1]
    np.testing.assert_allclose(DotProductSimilarity()(contexts, own), expected)


@pytest.mark.parametrize(
    ("contexts", "items"), [((2, 3), (5, 4)), ((3,), (5, 3)), ((2, 3), (3,))]
)
def test_shapes_that_do_not_fit(contexts: tuple, items: tuple) -> None:
    with pytest.raises(ValueError, match="Received: "):
        DotProductSimilarity()(tf.ones(contexts), tf.ones(items))


# RecommendationModel


def recommendation_model(**label: object) -> RecommendationModel:
    config = pb.RecommenderConfig()
    config.input.activity_feature_groups.append(
        group(ids_feature(), rating_feature(), encoder=pb.CNN)
    )
    config.input.label_feature.CopyFrom(ids_feature("label_movie_id", 1, **label))
    rows = {"context_movie_id": 20, "label_movie_id": 20}
    return RecommendationModel(config, ModelInputs(rows, np.arange(20) > 1))


def test_model_scores_every_row() -> None:
    model = recommendation_model()
    scores = model(context(4))
    assert scores.shape == (2, 20)
    expected = model.encode(context(4)) @ tf.transpose(model.label_encoder.catalogue())
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_swapping_features_of_a_group_changes_the_scores() -> None:
    model = recommendation_model()
    inputs = context(4)
    first = model(inputs)
    swapped = {
        **inputs,
        "context_movie_id": inputs["context_movie_rating"].astype(np.int32),
        "context_movie_rating": inputs["context_movie_id"].astype(np.float32),
    }
    assert np.abs(first - model(swapped)).max() > 1e-4


def test_tied_embeddings_are_one_table() -> None:
    config = pb.RecommenderConfig()
    config.input.activity_feature_groups.append(group(ids_feature()))
    config.input.label_feature.CopyFrom(ids_feature("label_movie_id", 1))
    rows = {"context_movie_id": 20, "label_movie_id": 20}
    inputs = ModelInputs(rows, np.arange(20) > 1)
    own = RecommendationModel(config, inputs)
    own(context(4))
    config.input.tie_item_embeddings = True
    tied = RecommendationModel(config, inputs)
    tied(context(4))
    assert own.count_params() - tied.count_params() == 20 * 3
    table = tied.context_encoder.table("context_movie_id")
    table.assign(np.arange(60.0).reshape(20, 3))
    np.testing.assert_array_equal(tied.label_encoder.catalogue(), table)
    with pytest.raises(KeyError, match="context_x"):
        tied.context_encoder.table("context_x")


def test_ranking_head_orders_what_scores_best_and_nothing_else() -> None:
    config = pb.RecommenderConfig()
    config.input.activity_feature_groups.append(group(ids_feature()))
    config.input.label_feature.CopyFrom(ids_feature("label_movie_id", 1))
    config.model.ranking_num_candidates = 3
    rows = {"context_movie_id": 20, "label_movie_id": 20}
    model = RecommendationModel(config, ModelInputs(rows, np.arange(20) > 1))
    contexts, items = model.encode(context(4)), model.label_encoder.catalogue()
    scores = model.similarity(contexts, items)
    kept = np.tile(np.arange(20) > 1, (2, 1))
    best = np.where(kept, scores, -np.inf).argsort(axis=1)[:, ::-1][:, :3]
    untrained = model.rescore(contexts, items, scores, kept)
    again = model.rank(contexts, tf.gather(items, best))
    np.testing.assert_allclose(
        again, np.take_along_axis(scores.numpy(), best, axis=1), atol=1e-6
    )
    assert (untrained.numpy().argsort(axis=1)[:, ::-1][:, :3] == best).all()
    for weight in model.ranking_head.weights:
        weight.assign(np.random.default_rng(3).normal(size=weight.shape))
    found = model.rescore(contexts, items, scores, kept).numpy()
    assert (np.sort(found.argsort(axis=1)[:, -3:]) == np.sort(best)).all()
    np.testing.assert_allclose(
        np.take_along_axis(found, best, axis=1),
        model.rank(contexts, tf.gather(items, best)),
        atol=1e-5,
    )
    assert model.num_ranked == 3


def test_nothing_is_ranked_without_a_ranking_head() -> None:
    model = recommendation_model()
    contexts = model.encode(context(4))
    scores = model.similarity(contexts, model.label_encoder.catalogue())
    assert model.rescore(contexts, None, scores, None) is scores
    with pytest.raises(ValueError, match="ranking_num_candidates"):
        model.rank(contexts, scores)
