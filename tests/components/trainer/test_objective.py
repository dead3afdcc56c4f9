"""What of a batch goes into each loss, against the same in plain NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.objective import Objective
from components.trainer.recommendation_model import ModelInputs, RecommendationModel
from configs import recommender_pb2 as pb

ROWS = 12
CANDIDATES = ~np.isin(np.arange(ROWS), [0, 1, 7])
ITEMS = np.flatnonzero(CANDIDATES)
COUNTS = np.array([0, 3, 9, 8, 7, 6, 5, 2, 4, 2, 1, 0])
SMOOTHING = 0.1
# Places among the candidates that the sampler draws.
SAMPLE = [0, 2, 5, 8]

# The second label is in its own history, the fourth is unknown, 7 is no candidate.
CONTEXTS = np.array(
    [[2, 3, 4, 0], [5, 2, 0, 0], [6, 8, 9, 10], [3, 0, 0, 0], [4, 7, 5, 0]]
)
LABELS = np.array([5, 2, 3, 1, 5])
SEEN = np.array(
    [
        [0, 0, 9, 2, 3, 4],
        [0, 0, 0, 11, 5, 2],
        [11, 4, 6, 8, 9, 10],
        [0, 0, 0, 0, 0, 3],
        [0, 2, 3, 4, 7, 5],
    ]
)
VALUES = np.array([1.0, 4.0, 2.0, 5.0, 3.0], np.float32)
BATCH = {
    "context_movie_id": tf.constant(CONTEXTS, tf.int32),
    "label_movie_id": tf.constant(LABELS[:, np.newaxis], tf.int32),
    "label_movie_rating": tf.constant(VALUES[:, np.newaxis]),
    "seen_movie_id": tf.constant(SEEN, tf.int32),
}

# What is left out: model.seen and train.leave_out_seen.
LEFT_OUT = {
    "nothing": (pb.TIMELINE, False),
    "context": (pb.CONTEXT, True),
    "timeline": (pb.TIMELINE, True),
}


def configured(left_out: str, **train: object) -> pb.RecommenderConfig:
    config = pb.RecommenderConfig()
    knobs = {"feature_type": pb.INT, "vocab_name": "movie_id", "embedding_dim": 3}
    group = config.input.activity_feature_groups.add(encoder_type=pb.GRU)
    group.features.add(feature_name="context_movie_id", feature_length=4, **knobs)
    config.input.label_feature.CopyFrom(
        pb.Feature(feature_name="label_movie_id", **knobs)
    )
    config.input.label_value_feature.feature_name = "label_movie_rating"
    config.model.seen, config.train.leave_out_seen = LEFT_OUT[left_out]
    config.model.gru_num_units = 4
    config.train.label_smoothing = SMOOTHING
    config.train.num_sampled_negatives = len(SAMPLE)
    config.train.MergeFrom(pb.TrainConfig(**train))
    return config


def objective_of(config: pb.RecommenderConfig) -> tuple[RecommendationModel, Objective]:
    """A model whose scores are not about 0, and its objective."""
    rows = {"context_movie_id": ROWS, "label_movie_id": ROWS}
    model = RecommendationModel(config, ModelInputs(rows, CANDIDATES))
    objective = Objective(model, config, CANDIDATES, COUNTS)
    objective(BATCH)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    return model, objective


def expected_count(place: np.ndarray) -> np.ndarray:
    """How often the sampler says that it draws a place."""
    return 1 / (2.0 + place)


@pytest.fixture(autouse=True)
def draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed ones, in the place of random places among the candidates."""

    def sample(true_classes: tf.Tensor, **knobs: object) -> SimpleNamespace:
        assert knobs.pop("seed") == 1
        assert knobs == {
            "num_true": 1,
            "num_sampled": len(SAMPLE),
            "unique": True,
            "range_max": len(ITEMS),
        }
        true = expected_count(true_classes.numpy())
        return SimpleNamespace(
            sampled_candidates=tf.constant(SAMPLE, tf.int64),
            true_expected_count=tf.constant(true, tf.float32),
            sampled_expected_count=tf.constant(
                expected_count(np.array(SAMPLE)), tf.float32
            ),
        )

    def uniform(
        shape: tf.Tensor, low: int, high: tf.Tensor, dtype: tf.DType, seed: int
    ) -> tf.Tensor:
        assert (low, int(high), dtype, seed) == (0, len(ITEMS), tf.int32, 1)
        return tf.constant(other_places(int(shape[0])), tf.int32)

    monkeypatch.setattr(tf.random, "log_uniform_candidate_sampler", sample)
    monkeypatch.setattr(tf.random, "uniform", uniform)


def other_places(number: int) -> np.ndarray:
    """The other item's place, of each target that binary cross-entropy has."""
    return 2 * np.arange(number) % len(ITEMS)


@dataclass(frozen=True)
class Target:
    """A label, the vector of what came before it, and what is left out for it."""

    label: int
    context: np.ndarray
    left_out: set[int]

    def rivals(self, items: Iterable[int]) -> list[int]:
        """Those of some items that are its negatives."""
        none = {self.label, *self.left_out}
        return [int(item) for item in items if CANDIDATES[item] and item not in none]


def targets_of(
    model: RecommendationModel, left_out: str, every_position: bool
) -> list[Target]:
    vectors = model.encode(BATCH, every_step=True).numpy()
    found = []
    for row, (context, label, seen) in enumerate(
        zip(CONTEXTS, LABELS, SEEN, strict=True)
    ):
        length = np.count_nonzero(context)
        following = [*context[1:length], label]
        for step in range(0 if every_position else length - 1, length):
            out = set()
            if left_out != "nothing":
                out.update(context[: step + 1].tolist())
            if left_out == "timeline":
                out.update(seen[: len(seen) - length].tolist())
            found.append(Target(int(following[step]), vectors[row, step], out))
    return found


def cross_entropy(scores: np.ndarray, stand_for: np.ndarray) -> float:
    """Of the first of some items, smoothed by how many each stands for."""
    target = SMOOTHING * stand_for / stand_for.sum()
    target[0] += 1 - SMOOTHING
    return -target @ (scores - np.log(np.exp(scores).sum()))


def global_softmax(target: Target, scores: np.ndarray) -> float:
    items = [target.label, *target.rivals(ITEMS)]
    return cross_entropy(scores[items], np.ones(len(items)))


def batch_softmax(target: Target, scores: np.ndarray, labels: list[int]) -> float:
    shares = np.maximum(COUNTS, 1) / COUNTS.sum()
    rivals = target.rivals(set(labels))
    times = np.array([1, *map(labels.count, rivals)])
    items = [target.label, *rivals]
    stand_for = times / (len(labels) * shares[items])
    stand_for[0] = 1
    return cross_entropy(scores[items] + np.log(times / shares[items]), stand_for)


def sampled_softmax(target: Target, scores: np.ndarray) -> float:
    items = [target.label, *target.rivals(ITEMS[SAMPLE])]
    stand_for = 1 / expected_count(np.searchsorted(ITEMS, items))
    corrected = scores[items] + np.log(stand_for)
    stand_for[0] = 1
    return cross_entropy(corrected, stand_for)


def binary_cross_entropy(target: Target, scores: np.ndarray, other: int) -> float:
    loss = np.log1p(np.exp(-scores[target.label]))
    return loss + sum(np.log1p(np.exp(scores[target.rivals([other])])))


def loss_of(kind: int, targets: list[Target], catalogue: np.ndarray) -> float:
    """The mean over the targets that are candidates."""
    labels = [target.label for target in targets]
    others = ITEMS[other_places(len(targets))]
    found = []
    for target, other in zip(targets, others, strict=True):
        scores = catalogue @ target.context
        if not CANDIDATES[target.label]:
            continue
        if kind == pb.GLOBAL_SOFTMAX:
            found.append(global_softmax(target, scores))
        elif kind == pb.BATCH_SOFTMAX:
            found.append(batch_softmax(target, scores, labels))
        elif kind == pb.SAMPLED_SOFTMAX:
            found.append(sampled_softmax(target, scores))
        else:
            found.append(binary_cross_entropy(target, scores, int(other)))
    return float(np.mean(found))


@pytest.mark.parametrize("left_out", LEFT_OUT)
@pytest.mark.parametrize("targets", pb.Targets.keys())
@pytest.mark.parametrize("loss", pb.Loss.keys())
def test_each_loss(loss: str, targets: str, left_out: str) -> None:
    config = configured(left_out, loss=loss, targets=targets)
    model, objective = objective_of(config)
    found = targets_of(model, left_out, targets == "EVERY_POSITION")
    assert len(found) == (13 if targets == "EVERY_POSITION" else 5)
    expected = loss_of(
        config.train.loss, found, model.label_encoder.catalogue().numpy()
    )
    assert float(objective(BATCH)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("targets", pb.Targets.keys())
def test_the_value_head_is_weighted_and_learns_of_labels_alone(targets: str) -> None:
    config = configured("nothing", targets=targets, value_loss_weight=0.1)
    model, objective = objective_of(config)
    catalogue = model.label_encoder.catalogue().numpy()
    every = targets_of(model, "nothing", targets == "EVERY_POSITION")
    labels = targets_of(model, "nothing", every_position=False)
    contexts = np.stack([target.context for target in labels])
    error = model.value_head(contexts, catalogue[LABELS]).numpy() - VALUES
    expected = loss_of(pb.GLOBAL_SOFTMAX, every, catalogue)
    expected += 0.1 * np.mean(error[CANDIDATES[LABELS]] ** 2)
    assert float(objective(BATCH)) == pytest.approx(expected, rel=1e-5)


def with_ranking_head(
    left_out: str, targets: str
) -> tuple[RecommendationModel, Objective]:
    config = configured(left_out, targets=targets)
    config.model.ranking_num_candidates = 6
    return objective_of(config)


@pytest.mark.parametrize("left_out", LEFT_OUT)
@pytest.mark.parametrize("targets", pb.Targets.keys())
def test_the_ranking_head_has_the_label_among_the_best_rivals(
    targets: str, left_out: str
) -> None:
    model, objective = with_ranking_head(left_out, targets)
    catalogue = model.label_encoder.catalogue().numpy()
    found = []
    for target in targets_of(model, left_out, every_position=False):
        rivals = np.array(target.rivals(ITEMS))
        best = rivals[np.argsort(-catalogue[rivals] @ target.context)][:6]
        items = [target.label, *best]
        scores = model.rank(target.context[np.newaxis], catalogue[np.newaxis, items])
        if CANDIDATES[target.label]:
            found.append(cross_entropy(scores.numpy()[0], np.ones(len(items))))
    every = targets_of(model, left_out, targets == "EVERY_POSITION")
    expected = loss_of(pb.GLOBAL_SOFTMAX, every, catalogue) + np.mean(found)
    assert float(objective(BATCH)) == pytest.approx(expected, rel=1e-5)


def test_the_ranking_head_does_not_move_the_towers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, objective = with_ranking_head("timeline", "LABEL")
    head = model.ranking_head.trainable_variables
    own = {id(weight) for weight in head}
    towers = [w for w in model.trainable_variables if id(w) not in own]

    def gradients(weights: list) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = objective(BATCH)
        found = tape.gradient(loss, [weight.value for weight in weights])
        return [tf.convert_to_tensor(gradient).numpy() for gradient in found]

    with_head = gradients(towers)
    assert max(np.abs(gradient).max() for gradient in gradients(head)) > 1e-2
    monkeypatch.setattr(model, "ranking_head", None)
    for ours, alone in zip(with_head, gradients(towers), strict=True):
        np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-6)
