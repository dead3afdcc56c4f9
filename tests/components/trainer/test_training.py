"""The training loop on data made in memory."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import training
from components.trainer.input_pipeline import ExampleSet, train_columns
from components.trainer.recommendation_model import ModelInputs
from components.trainer.trainer import build_model
from configs import recommender_pb2 as pb
from configs.errors import UserError

ROWS = 22
LENGTH = 4
CANDIDATES = np.arange(ROWS) > 1


def config(encoder: int = pb.CNN, **train: object) -> pb.RecommenderConfig:
    result = pb.RecommenderConfig()
    knobs = {"feature_type": pb.INT, "vocab_name": "movie_id", "embedding_dim": 8}
    group = result.input.activity_feature_groups.add(encoder_type=encoder)
    group.features.add(feature_name="context_movie_id", feature_length=LENGTH, **knobs)
    result.input.label_feature.CopyFrom(
        pb.Feature(feature_name="label_movie_id", **knobs)
    )
    result.train.CopyFrom(
        pb.TrainConfig(
            **{
                "batch_size": 32,
                "learning_rate": 0.02,
                "num_epochs": 4,
                "early_stopping_patience": 0,
                **train,
            }
        )
    )
    return result


def examples(count: int = 600, seed: int = 0, habit: bool = True) -> ExampleSet:
    """Each item is the one after that before, or any item without a habit."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, LENGTH + 1, count)
    items = rng.integers(0, ROWS - 2, (count, LENGTH + 1))
    if habit:
        items = (items[:, :1] + np.arange(LENGTH + 1)) % (ROWS - 2)
    label = items[np.arange(count), lengths] + 2
    context = items[:, :LENGTH] + 2
    context[np.arange(LENGTH) >= lengths[:, None]] = 0
    arrays = {
        "context_movie_id": tf.constant(context, tf.int32),
        "label_movie_id": tf.constant(label[:, None], tf.int32),
        "seen_movie_id": tf.RaggedTensor.from_row_lengths(
            tf.constant(context[context > 0], tf.int32), lengths
        ),
    }
    columns = train_columns(config(), ROWS)
    counts = np.bincount(label, minlength=ROWS)
    return ExampleSet([], columns, count, counts, counts, count, arrays)


def run(
    settings: pb.RecommenderConfig,
    train: ExampleSet | None = None,
    seed: int = 1,
    candidates: np.ndarray = CANDIDATES,
) -> tuple[keras.Model, training.Fit, list[bool]]:
    keras.utils.set_random_seed(seed)
    rows = {"context_movie_id": ROWS, "label_movie_id": ROWS}
    model = build_model(settings, ModelInputs(rows, candidates))
    best: list[bool] = []
    done = training.fit(
        model,
        settings,
        candidates,
        train or examples(),
        examples(100, seed=1),
        lambda epoch, is_best: best.append(is_best),
    )
    return model, done, best


@pytest.mark.parametrize(
    ("encoder", "loss"),
    [
        (pb.BOW, pb.BATCH_SOFTMAX),
        (pb.CNN, pb.GLOBAL_SOFTMAX),
        (pb.LSTM, pb.GLOBAL_SOFTMAX),
    ],
)
def test_loss_falls_and_hits_rise_above_popularity(encoder: int, loss: int) -> None:
    _, done, best = run(config(encoder, loss=loss, num_epochs=6))
    losses = [epoch.loss for epoch in done.epochs]
    assert losses == sorted(losses, reverse=True)
    assert not done.on_plateau
    assert done.best is done.epochs[-1]
    assert best == [True] * 6
    assert done.best.metrics["hr_10_eval"] > 0.8
    assert done.best.metrics["batch_mean_rank_eval"] < 0.3


LOSSES = pb.Loss.keys()


@pytest.mark.parametrize("targets", pb.Targets.keys())
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_the_habit(loss: str, targets: str) -> None:
    settings = config(
        pb.GRU,
        loss=pb.Loss.Value(loss),
        targets=pb.Targets.Value(targets),
        num_sampled_negatives=10,
        num_epochs=8,
        leave_out_seen=True,
    )
    settings.model.seen = pb.CONTEXT
    _, done, _ = run(settings)
    assert done.best.metrics["hr_5_eval"] > 0.8
    assert done.epochs[-1].loss < 0.7 * done.epochs[0].loss


@pytest.mark.parametrize("targets", pb.Targets.keys())
def test_all_items_as_samples_are_about_the_full_softmax(targets: str) -> None:
    """But for the correction, which counts on drawing each less often than always."""
    sizes = {"targets": pb.Targets.Value(targets), "num_epochs": 1}
    _, full, _ = run(config(pb.BOW, **sizes))
    sampled = config(
        pb.BOW, loss=pb.SAMPLED_SOFTMAX, num_sampled_negatives=10**6, **sizes
    )
    _, done, _ = run(sampled)
    assert done.best.loss == pytest.approx(full.best.loss, rel=0.01)


def test_an_epoch_is_as_long_as_its_distinct_targets() -> None:
    settings = config()
    data = examples(640)
    assert training.steps_per_epoch(settings, data) == 640 / 32
    overlapping = dataclasses.replace(
        data, target_counts=3 * data.target_counts, num_distinct_targets=640 + 320
    )
    assert training.steps_per_epoch(settings, overlapping) == 640 / 32 / 2
    settings.train.steps_per_epoch = 7
    assert training.steps_per_epoch(settings, overlapping) == 7


@pytest.mark.parametrize("targets", pb.Targets.keys())
def test_dropout_and_heads_are_trained_and_repeat(targets: str) -> None:
    settings = config(
        pb.TRANSFORMER,
        targets=pb.Targets.Value(targets),
        value_loss_weight=1.0,
        label_smoothing=0.1,
        weight_decay=0.01,
    )
    settings.model.dropout = 0.2
    settings.model.ranking_num_candidates = 15
    settings.model.num_predictions = 15
    settings.input.label_value_feature.feature_name = "label_movie_rating"
    data = examples()
    value = tf.cast(data.arrays["label_movie_id"] % 2, tf.float32)
    data = dataclasses.replace(
        data, arrays={**data.arrays, "label_movie_rating": value}
    )
    model, done, _ = run(settings, data)
    again, _, _ = run(settings, data)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert done.best.metrics["hr_5_eval"] > 0.5
    batch = {name: column[:64] for name, column in data.arrays.items()}
    own = model.label_encoder(batch["label_movie_id"][:, 0])
    error = model.value_head(model.encode(batch), own) - value[:64, 0]
    # Half of the labels have 1, half have 0.
    assert np.abs(error).mean() < 0.3
    head = model.ranking_head.weights[-2]
    assert np.abs(head).max() > 1e-3


@pytest.mark.parametrize(
    ("optimizer", "rate", "schedule"),
    [
        (pb.ADAM, 0.02, pb.COSINE),
        (pb.ADAGRAD, 0.2, pb.CONSTANT),
        (pb.SGD, 0.5, pb.CONSTANT),
    ],
)
def test_every_optimizer_learns(optimizer: int, rate: float, schedule: int) -> None:
    settings = config(
        pb.BOW,
        optimizer=optimizer,
        learning_rate_schedule=schedule,
        learning_rate=rate,
    )
    _, done, _ = run(settings)
    assert done.epochs[-1].loss < 0.95 * done.epochs[0].loss


def test_one_seed_gives_one_result() -> None:
    first, one, _ = run(config(num_epochs=2))
    second, two, _ = run(config(num_epochs=2))
    assert [e.loss for e in one.epochs] == [e.loss for e in two.epochs]
    assert [e.metrics for e in one.epochs] == [e.metrics for e in two.epochs]
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    _, other, _ = run(config(num_epochs=2), seed=2)
    assert other.epochs[0].loss != one.epochs[0].loss


def test_early_stopping_takes_the_best_weights() -> None:
    # Labels without a habit: eval does not get better for long.
    settings = config(pb.BOW, early_stopping_patience=2, num_epochs=40)
    train = examples(habit=False)
    model, done, best = run(settings, train)
    values = [epoch.metrics["hr_10_eval"] for epoch in done.epochs]
    assert len(values) == done.best.number + 2 < 40
    assert done.best.metrics["hr_10_eval"] == max(values)
    assert [i + 1 for i, is_best in enumerate(best) if is_best][-1] == done.best.number
    again = training.evaluate(
        model, settings, CANDIDATES, examples(100, seed=1), train.label_counts
    )
    assert again == done.best.metrics


def test_labels_that_nothing_foretells_end_on_the_plateau() -> None:
    _, done, _ = run(config(pb.BOW, num_epochs=1), examples(habit=False))
    assert done.on_plateau


def test_steps_per_epoch_go_on_into_the_next_pass() -> None:
    # A pass is 19 batches of 32 (the last of 24): both runs see the same 38.
    _, two_passes, _ = run(config(pb.BOW, num_epochs=2))
    _, one_epoch, _ = run(config(pb.BOW, steps_per_epoch=38, num_epochs=1))
    mean = sum(epoch.loss for epoch in two_passes.epochs) / 2
    assert one_epoch.epochs[0].loss == pytest.approx(mean, rel=1e-5)


def test_eval_steps_are_kept() -> None:
    settings = config(pb.BOW, num_eval_steps=2)
    rows = {"context_movie_id": ROWS, "label_movie_id": ROWS}
    model = build_model(settings, ModelInputs(rows, CANDIDATES))
    some = training.evaluate(model, settings, CANDIDATES, examples(100))
    settings.train.num_eval_steps = 0
    whole = training.evaluate(model, settings, CANDIDATES, examples(100))
    settings.train.batch_size = 64
    settings.train.num_eval_steps = 1
    same = training.evaluate(model, settings, CANDIDATES, examples(100))
    assert some["mean_rank_eval"] == same["mean_rank_eval"] != whole["mean_rank_eval"]


def test_loss_that_is_not_finite_ends_training() -> None:
    settings = config(
        pb.BOW,
        optimizer=pb.SGD,
        learning_rate=1e9,
        gradient_clip_norm=0.0,
        num_epochs=3,
    )
    with pytest.raises(UserError, match=r"loss is .* of epoch 1.*train.learning_rate"):
        run(settings)


def test_labels_that_are_no_items_are_no_training() -> None:
    counts = np.array([0, 600] + [0] * (ROWS - 2))
    nobody = dataclasses.replace(examples(), label_counts=counts, target_counts=counts)
    with pytest.raises(UserError, match=r"label_movie_id: none of the 600 labels"):
        run(config(pb.BOW), nobody)


@pytest.mark.parametrize("targets", pb.Targets.keys())
@pytest.mark.parametrize("loss", LOSSES)
def test_some_unknown_labels_leave_losses_and_metrics_finite(
    loss: str, targets: str
) -> None:
    """Whole batches of them too: 32 of 64 examples, in batches of 2."""
    data = examples(64)
    label = data.arrays["label_movie_id"].numpy()
    label[:32] = 1
    last = label == ROWS - 1
    counts = np.bincount(label[:, 0], minlength=ROWS)
    arrays = {**data.arrays, "label_movie_id": tf.constant(label)}
    partly = dataclasses.replace(
        data, label_counts=counts, target_counts=counts, arrays=arrays
    )
    assert last.any()
    settings = config(
        loss=pb.Loss.Value(loss),
        targets=pb.Targets.Value(targets),
        batch_size=2,
        num_epochs=1,
    )
    # The last row is no item either.
    candidates = CANDIDATES & (np.arange(ROWS) < ROWS - 1)
    model, done, _ = run(settings, partly, candidates=candidates)
    assert np.isfinite(done.best.loss)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    found = training.evaluate(model, config(batch_size=2), candidates, partly)
    assert all(np.isfinite(value) for value in found.values())
    assert found["hr_10_eval"] <= 0.5


def test_gradient_is_clipped_by_its_norm_over_all_weights() -> None:
    moved = []
    for clip in (0.001, 0.0):
        settings = config(
            pb.BOW,
            optimizer=pb.SGD,
            learning_rate=1.0,
            gradient_clip_norm=clip,
            steps_per_epoch=1,
            num_epochs=1,
        )
        keras.utils.set_random_seed(1)
        rows = {"context_movie_id": ROWS, "label_movie_id": ROWS}
        before = build_model(settings, ModelInputs(rows, CANDIDATES)).get_weights()
        model, _, _ = run(settings)
        pairs = zip(model.get_weights(), before, strict=True)
        moved.append(np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs)))
    assert moved[0] == pytest.approx(0.001, rel=1e-2)
    assert moved[1] > 0.01


@pytest.mark.parametrize("seen", [pb.KEPT, pb.CONTEXT, pb.TIMELINE])
def test_seen_items(seen: int) -> None:
    settings = config()
    settings.model.seen = seen
    batch = {
        "context_movie_id": tf.constant([[5, 6, 0, 0]]),
        "seen_movie_id": tf.ragged.constant([[2, 5, 6]]),
    }
    found = training.seen_items(settings, batch)
    if seen == pb.KEPT:
        assert found is None
    else:
        more = [2, 5, 6] if seen == pb.TIMELINE else []
        np.testing.assert_array_equal(found, [[5, 6, 0, 0, *more]])


def test_context_cannot_be_left_out_without_its_items() -> None:
    settings = config()
    settings.model.seen = pb.CONTEXT
    settings.input.activity_feature_groups[0].features[0].feature_name = "context_x"
    with pytest.raises(UserError, match=r"model\.seen.*context_movie_id"):
        training.seen_items(settings, {"context_x": tf.constant([[5]])})


@pytest.mark.parametrize(
    ("top_k", "expected"), [([], "hr_10"), ([1, 5, 20], "hr_5"), ([20, 50], "hr_20")]
)
def test_stopping_metric(top_k: list[int], expected: str) -> None:
    settings = config()
    settings.eval.eval_top_k.extend(top_k)
    assert training.stopping_metric(settings) == f"{expected}_eval"


def test_epochs_tell_what_is_recommended_to_anybody_and_how_popular_it_is() -> None:
    _, done, _ = run(config(num_epochs=2))
    for epoch in done.epochs:
        for k in (1, 5, 10):
            assert 0 < epoch.metrics[f"coverage_{k}_eval"] <= 1
            assert epoch.metrics[f"popularity_ratio_{k}_eval"] > 0
    assert epoch.metrics["coverage_1_eval"] <= epoch.metrics["coverage_10_eval"]


def test_a_constant_model_recommends_the_same_to_all() -> None:
    model, _, _ = run(config(num_epochs=1))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    counts = np.where(np.arange(ROWS) < 7, 3, 1)
    found = training.evaluate(model, config(), CANDIDATES, examples(100), counts)
    assert found["coverage_5_eval"] == 5 / (ROWS - 2)
    # Rows 2 to 6 are listed, of 3 examples each.
    labels = examples(100).arrays["label_movie_id"].numpy()[:, 0]
    chosen = counts[labels].mean()
    assert found["popularity_ratio_5_eval"] == pytest.approx(3 / chosen)
    alone = training.evaluate(model, config(), CANDIDATES, examples(100))
    assert not any(name.startswith("popularity") for name in alone)
    settings = config()
    settings.model.seen = pb.CONTEXT
    others = training.evaluate(model, settings, CANDIDATES, examples(100))
    assert others["coverage_5_eval"] > 5 / (ROWS - 2)
