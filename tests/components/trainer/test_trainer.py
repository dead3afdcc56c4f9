"""From transformed files to exported models, as the pipeline and the command do it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.trainer import model_inputs, names
from components.trainer.checkpoints import load_checkpoint, model_digest
from components.trainer.input_pipeline import eval_columns, read_examples
from components.trainer.metrics import catalogue_metrics
from components.trainer.run_fn import catalogue_patterns, copy_tree, run_fn
from components.trainer.trainer import (
    TrainingResult,
    build_model,
    export_from_checkpoint,
    train_model,
)
from components.trainer.training import evaluate
from components.transform.vocabularies import vocabulary_terms
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import config_to_text, validate_config
from tests.components.trainer.conftest import LENGTH, NUM_ITEMS, timelines

# Loads the model in a process of its own, by both loaders, and prints what it answers.
LOAD = """
import json, sys
import tensorflow as tf
path, records = sys.argv[1:]
examples = list(tf.data.TFRecordDataset(records).as_numpy_iterator())
def plain(value):
    return [v.decode() if isinstance(v, bytes) else v for v in value.ravel().tolist()]
model = tf.saved_model.load(path)
two = {name: {k: plain(v.numpy()) for k, v in run(tf.constant(examples)).items()}
       for name, run in model.signatures.items()}
one = {}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
    for name, signature in meta.signature_def.items():
        if not name.startswith("__"):
            found = session.run({k: v.name for k, v in signature.outputs.items()},
                                {signature.inputs["examples"].name: examples})
            one[name] = {k: plain(v) for k, v in found.items()}
print(json.dumps({"one": one, "two": two}))
"""

# Trains in a process of its own.
TRAIN = """
import json, sys
from components.trainer.trainer import train_model
from configs.loader import parse_config
job = json.load(open(sys.argv[1]))
files = {f"{split}_files": job["files"][split]
         for split in ("train", "eval", "catalogue")}
train_model(parse_config(job["config"]), **files, report=str,
            transform_output=job["transform_output"],
            serving_model_dir=job["folder"] + "/model/Format-Serving",
            model_run_dir=job["folder"] + "/run")
"""


def train(world, config: pb.RecommenderConfig, folder: Path, **knobs) -> TrainingResult:
    return train_model(
        config,
        **{
            "train_files": world.files["train"],
            "eval_files": world.files["eval"],
            "catalogue_files": world.files["catalogue"],
            "transform_output": world.transform_output,
            "serving_model_dir": str(folder / "model" / "Format-Serving"),
            "model_run_dir": str(folder / "run"),
            **knobs,
        },
    )


def copy(config: pb.RecommenderConfig) -> pb.RecommenderConfig:
    result = pb.RecommenderConfig()
    result.CopyFrom(config)
    return result


@pytest.fixture(scope="module")
def trained(vocabulary_world, tmp_path_factory: pytest.TempPathFactory):
    """A model with every feature, its folder and the lines it reported."""
    validate_config(vocabulary_world.config)
    folder = tmp_path_factory.mktemp("trained")
    lines: list[str] = []
    result = train(
        vocabulary_world, vocabulary_world.config, folder, report=lines.append
    )
    return result, folder, lines


def signatures(folder: Path):
    model = tf.saved_model.load(str(folder / "model" / "Format-Serving"))
    return model, model.signatures


def test_result_and_report(trained, vocabulary_world) -> None:
    result, folder, lines = trained
    assert len(lines) == len(result.fit.epochs) == 3
    first = result.fit.epochs[0]
    assert lines[0].startswith(
        f"epoch 1/3  loss {first.loss:.3f}  hr_10_eval "
        f"{first.metrics['hr_10_eval']:.4f}  ndcg_10_eval"
    )
    assert result.warnings == []
    assert not result.fit.on_plateau
    history = json.loads((folder / "run" / "history.json").read_text())
    assert history["best_epoch"] == 3
    assert [epoch["loss"] for epoch in history["epochs"]] == [
        epoch.loss for epoch in result.fit.epochs
    ]
    for split in ("train", "eval"):
        assert list((folder / "run" / split).glob("events.out.tfevents.*"))
    prefix = f"tiny-{model_digest(vocabulary_world.config)}"
    assert sorted(p.name for p in (folder / "run" / "checkpoints").iterdir()) == [
        f"{prefix}-best.weights.h5",
        *(f"{prefix}-epoch-000{epoch}.weights.h5" for epoch in (1, 2, 3)),
    ]
    assert result.checkpoint.name == f"{prefix}-best.weights.h5"


def test_serving_signature(trained, vocabulary_world) -> None:
    _, folder, _ = trained
    _, run = signatures(folder)
    answer = run["serving_default"](tf.constant(vocabulary_world.raw["test"][:5]))
    ids = answer["top_prediction_ids"].numpy()
    items = answer["top_prediction_items"].numpy()
    assert ids.shape == items.shape == (5, 12)
    assert ids.dtype == np.int32
    assert answer["top_prediction_scores"].dtype == tf.float32
    transform = tft.TFTransformOutput(vocabulary_world.transform_output)
    terms = transform.vocabulary_by_name("movie_id")
    assert [terms[i - 2] for i in ids.ravel()] == items.ravel().tolist()
    for row, raw in zip(items, vocabulary_world.raw["test"], strict=False):
        example = tf.train.Example.FromString(raw)
        seen = example.features.feature["seen_movie_id"].int64_list.value
        assert not {int(item) for item in row} & set(seen)


@pytest.mark.parametrize("seen", ["KEPT", "CONTEXT", "TIMELINE"])
def test_evaluate_agrees_with_the_metrics_of_training(
    trained, vocabulary_world, tmp_path: Path, seen: str
) -> None:
    result, _, _ = trained
    config = copy(vocabulary_world.config)
    config.model.seen = pb.Seen.Value(seen)
    inputs = model_inputs.read_model_inputs(
        config,
        tft.TFTransformOutput(vocabulary_world.transform_output),
        vocabulary_world.files["catalogue"],
    )
    model = build_model(config, inputs)
    load_checkpoint(model, result.checkpoint)
    export_from_checkpoint(
        config,
        result.checkpoint,
        vocabulary_world.transform_output,
        vocabulary_world.files["catalogue"],
        str(tmp_path / "model" / "Format-Serving"),
    )
    _keep, run = signatures(tmp_path)
    raw = vocabulary_world.raw["eval"]
    found = run["evaluate"](tf.constant(raw))["label_rank"].numpy()
    columns = eval_columns(config, model.num_rows)
    for limit in (10**9, 0):
        examples = read_examples(vocabulary_world.files["eval"], columns, limit, "eval")
        assert examples.in_memory == bool(limit)
        metrics = evaluate(model, config, inputs.candidates, examples)
        expected = catalogue_metrics(found, (1, 5, 10), "eval")
        assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    if seen == "TIMELINE":
        last = dict(result.fit.epochs[-1].metrics)
        # It needs the labels of train.
        for k in (1, 5, 10):
            assert last.pop(f"popularity_ratio_{k}_eval") > 0
        assert metrics == pytest.approx(last)
    # And with the rank counted by hand from the scores of the whole catalogue.
    terms = vocabulary_terms(
        tft.TFTransformOutput(vocabulary_world.transform_output), "movie_id"
    )
    row_of = {int(term): row for row, term in enumerate(terms, 2)}
    batch = next(iter(examples.batches(len(raw))))
    scores = model(batch).numpy()
    for own, rank, serialized in zip(scores, found, raw, strict=True):
        values = tf.train.Example.FromString(serialized).features.feature
        label = row_of[values["label_movie_id"].int64_list.value[0]]
        out = {"KEPT": [], "CONTEXT": ["context"], "TIMELINE": ["context", "seen"]}
        left_out = {
            row_of[item]
            for kind in out[seen]
            for item in values[f"{kind}_movie_id"].int64_list.value
            if item
        }
        rivals = set(range(2, 32)) - left_out - {label}
        assert rank == 1 + sum(own[rival] >= own[label] for rival in rivals)


def test_unknown_label_ranks_last(trained, vocabulary_world) -> None:
    _, folder, _ = trained
    _, run = signatures(folder)
    example = tf.train.Example.FromString(vocabulary_world.raw["test"][0])
    example.features.feature["label_movie_id"].int64_list.value[:] = [777]
    raw = tf.constant([example.SerializeToString()])
    assert run["evaluate"](raw)["label_rank"].numpy() == [30.0]


def test_only_needed_columns_are_parsed(trained, vocabulary_world) -> None:
    _, folder, _ = trained
    _, run = signatures(folder)
    raw = vocabulary_world.raw["test"][:3]
    bare = []
    for serialized in raw:
        example = tf.train.Example.FromString(serialized)
        del example.features.feature["label_movie_genre"]
        del example.features.feature["label_movie_genre_length"]
        bare.append(example.SerializeToString())
    whole = run["evaluate"](tf.constant(raw))["label_rank"]
    np.testing.assert_array_equal(
        run["evaluate"](tf.constant(bare))["label_rank"], whole
    )
    for serialized in bare:
        example = tf.train.Example.FromString(serialized)
        del example.features.feature["label_movie_id"]
        run["serving_default"](tf.constant([example.SerializeToString()]))


def test_transform_features_signature(trained, vocabulary_world) -> None:
    _, folder, _ = trained
    _, run = signatures(folder)
    raw = vocabulary_world.raw["test"]
    found = run["transform_features"](tf.constant(raw))
    expected = tft.TFTransformOutput(vocabulary_world.transform_output)
    columns = expected.transform_features_layer()(
        tf.io.parse_example(raw, expected.raw_feature_spec())
    )
    assert set(found) == {
        "context_movie_id",
        "context_movie_rating",
        "context_movie_genre",
        "user_age",
        "seen_movie_id",
    }
    for name, value in found.items():
        column = columns[name]
        if isinstance(column, tf.SparseTensor):
            column = tf.sparse.to_dense(column)
        np.testing.assert_array_equal(value, column)


def test_device_model_agrees_with_the_serving_model(trained, vocabulary_world) -> None:
    _, folder, _ = trained
    _, run = signatures(folder)
    device = tf.saved_model.load(str(folder / "model" / "Format-Device"))
    for raw in vocabulary_world.raw["test"][:5]:
        columns = run["transform_features"](tf.constant([raw]))
        inputs = {
            name: tf.cast(c, tf.int32) if c.dtype == tf.int64 else c
            for name, c in columns.items()
        }
        seen = inputs["seen_movie_id"]
        inputs["seen_movie_id"] = tf.pad(seen, [[0, 0], [0, 20 - seen.shape[1]]])
        ours = device.signatures["serving_default"](**inputs)
        theirs = run["serving_default"](tf.constant([raw]))
        for name, value in ours.items():
            np.testing.assert_allclose(value, theirs[name][0], rtol=1e-5)


def test_model_loads_in_a_fresh_process_without_the_transform_graph(
    trained, vocabulary_world, tmp_path: Path
) -> None:
    _, folder, _ = trained
    moved = tmp_path / "model"
    shutil.copytree(folder / "model" / "Format-Serving", moved)
    raw = vocabulary_world.raw["test"][:4]
    records = str(tmp_path / "raw")
    with tf.io.TFRecordWriter(records) as writer:
        for serialized in raw:
            writer.write(serialized)
    hidden = Path(vocabulary_world.transform_output).with_name("hidden")
    Path(vocabulary_world.transform_output).rename(hidden)
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(moved), records],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        hidden.rename(vocabulary_world.transform_output)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    names = {"serving_default", "evaluate", "transform_features"}
    assert set(answers["one"]) == set(answers["two"]) == names
    _, run = signatures(folder)
    for name in names:
        here = run[name](tf.constant(raw))
        for loader in ("one", "two"):
            for output, values in answers[loader][name].items():
                expected = here[output].numpy().ravel()
                if expected.dtype == object:
                    assert values == [v.decode() for v in expected]
                else:
                    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_export_from_a_checkpoint_gives_the_same_model(
    trained, vocabulary_world, tmp_path: Path
) -> None:
    result, folder, _ = trained
    export_from_checkpoint(
        vocabulary_world.config,
        result.checkpoint,
        vocabulary_world.transform_output,
        vocabulary_world.files["catalogue"],
        str(tmp_path / "model" / "Format-Serving"),
    )
    raw = tf.constant(vocabulary_world.raw["test"][:6])
    (_keep, ours), (_keep2, theirs) = signatures(folder), signatures(tmp_path)
    for name, value in ours["serving_default"](raw).items():
        other = theirs["serving_default"](raw)[name]
        if value.dtype == tf.string:
            assert value.numpy().tolist() == other.numpy().tolist()
        else:
            np.testing.assert_allclose(value, other, rtol=1e-5)
    assert (tmp_path / "model" / "Format-Device" / "saved_model.pb").exists()


def test_checkpoint_of_another_configuration_is_refused(
    trained, vocabulary_world, tmp_path: Path
) -> None:
    result, _, _ = trained
    config = copy(vocabulary_world.config)
    config.model.hidden_layer_dims[:] = [17]
    with pytest.raises(UserError, match="does not fit the configuration"):
        export_from_checkpoint(
            config,
            result.checkpoint,
            vocabulary_world.transform_output,
            vocabulary_world.files["catalogue"],
            str(tmp_path / "model"),
        )


def lay_out(world, folder: Path) -> None:
    """The examples as an artifact has them."""
    for split, files in world.files.items():
        (folder / f"Split-{split}").mkdir()
        for file in files:
            shutil.copy(file, folder / f"Split-{split}")


def test_run_fn_on_a_remote_file_system(
    vocabulary_world, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """As on Kubeflow: TensorFlow's own in memory stands for a bucket."""
    lay_out(vocabulary_world, tmp_path)
    config = copy(vocabulary_world.config)
    config.train.num_epochs = 1

    def run(run_dir: str, base_model: str) -> None:
        run_fn(
            SimpleNamespace(
                custom_config={"config": config_to_text(config)},
                hyperparameters=None,
                train_files=[str(tmp_path / "Split-train" / "*")],
                eval_files=[str(tmp_path / "Split-eval" / "*")],
                transform_output=vocabulary_world.transform_output,
                serving_model_dir=str(tmp_path / "model" / "Format-Serving"),
                model_run_dir=run_dir,
                base_model=base_model,
            )
        )

    run("ram://bucket/first", "ram://bucket/nothing")
    [best] = tf.io.gfile.glob("ram://bucket/first/checkpoints/*-best.weights.h5")
    assert tf.io.gfile.exists("ram://bucket/first/history.json")
    base = "ram://bucket/base"
    copy_tree(vocabulary_world.transform_output, f"{base}/{names.BASE_TRANSFORM}")
    tf.io.gfile.copy(best, f"{base}/{names.BASE_WEIGHTS}")
    with tf.io.gfile.GFile(f"{base}/{names.BASE_CONFIG}", "w") as file:
        file.write(config_to_text(config))
    capsys.readouterr()
    config.train.warm_start = True
    run("ram://bucket/second", base)
    assert capsys.readouterr().out.startswith("warm start: movie_id ")
    assert not list(Path().glob("ram:*"))


def test_run_fn_finds_the_catalogue_beside_train(
    vocabulary_world, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lay_out(vocabulary_world, tmp_path)
    config = copy(vocabulary_world.config)
    config.train.num_epochs = 1
    config.train.steps_per_epoch = 2
    config.train.checkpoint_path = str(tmp_path / "kept")
    run_fn(
        SimpleNamespace(
            train_files=[str(tmp_path / "Split-train" / "*")],
            eval_files=[str(tmp_path / "Split-eval" / "*")],
            transform_output=vocabulary_world.transform_output,
            serving_model_dir=str(tmp_path / "model" / "Format-Serving"),
            model_run_dir=str(tmp_path / "run"),
            custom_config={"config": config_to_text(config), "code_digest": "x"},
            hyperparameters={"values": {"train.batch_size": 32}},
            base_model=None,
        )
    )
    assert capsys.readouterr().out.startswith("epoch 1/1  loss ")
    for form in ("Format-Serving", "Format-Device"):
        assert (tmp_path / "model" / form / "saved_model.pb").exists()
    assert len(list((tmp_path / "kept").glob("tiny-*.weights.h5"))) == 2
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_catalogue_patterns() -> None:
    assert catalogue_patterns(["/a/b/Split-train/*"]) == ["/a/b/Split-catalogue/*"]


def test_raw_ids_of_the_catalogue_are_the_candidates(
    raw_id_world, tmp_path: Path
) -> None:
    config = copy(raw_id_world.config)
    config.model.seen = pb.CONTEXT
    config.input.label_id_embedding = False
    config.model.num_predictions = 100
    train(raw_id_world, config, tmp_path)
    _, run = signatures(tmp_path)
    raw = tf.constant(raw_id_world.raw["test"][:3])
    answer = run["serving_default"](raw)
    for row in answer["top_prediction_ids"].numpy():
        assert sorted(row) == list(range(1, 31))
    items = answer["top_prediction_items"].numpy().astype(int)
    np.testing.assert_array_equal(items, answer["top_prediction_ids"])
    assert set(run["transform_features"](raw)) == {
        "context_movie_id",
        "context_movie_rating",
        "context_movie_genre",
        "user_age",
    }


def test_raw_id_without_a_row_is_named(raw_id_world, tmp_path: Path) -> None:
    config = copy(raw_id_world.config)
    for feature in (
        config.input.activity_feature_groups[0].features[0],
        config.input.label_feature,
    ):
        feature.vocab_size = 20
    with pytest.raises(
        UserError, match=r"context_movie_id: value 30 .* Expected 1 to 19"
    ):
        train(raw_id_world, config, tmp_path)


def test_ids_outside_the_range_are_named() -> None:
    config = pb.RecommenderConfig()
    config.input.label_feature.CopyFrom(
        pb.Feature(feature_name="label_x", feature_type=pb.INT, vocab_size=9)
    )
    model_inputs.check_raw_ids(config, {"label_x_min": 1, "label_x_max": 8})
    # What a minimum and a maximum over no value at all are.
    ends = np.iinfo(np.int64)
    nothing = {"label_x_min": int(ends.max), "label_x_max": int(ends.min)}
    model_inputs.check_raw_ids(config, nothing)
    with pytest.raises(UserError, match=r"label_x: value 0 .* Expected 1 to 8"):
        model_inputs.check_raw_ids(config, {"label_x_min": 0, "label_x_max": 8})
    with pytest.raises(UserError, match=r"label_x: value 9 .* Expected 1 to 8"):
        model_inputs.check_raw_ids(config, {"label_x_min": 1, "label_x_max": 9})


def test_a_missing_value_of_another_field_than_the_item_is_no_mistake() -> None:
    config = pb.RecommenderConfig()
    config.input.label_feature.feature_name = "label_x"
    config.input.activity_feature_groups.add().features.add(
        feature_name="context_year", feature_type=pb.INT, vocab_size=9
    )
    zero = {"context_year_min": 0, "context_year_max": 8}
    model_inputs.check_raw_ids(config, zero)
    with pytest.raises(UserError, match=r"context_year: value -1 .* Expected 0 to 8"):
        model_inputs.check_raw_ids(config, zero | {"context_year_min": -1})


def test_what_transform_analyzed_reaches_the_model(vocabulary_world) -> None:
    found = model_inputs.read_model_inputs(
        vocabulary_world.config,
        tft.TFTransformOutput(vocabulary_world.transform_output),
        vocabulary_world.files["catalogue"],
    )
    assert found.rows == {
        "context_movie_id": 32,
        "label_movie_id": 32,
        "context_movie_genre": 6,
        "label_movie_genre": 6,
    }
    np.testing.assert_array_equal(np.flatnonzero(found.candidates), np.arange(2, 32))
    genres = found.item_values["label_movie_genre"]
    assert genres.shape == (32, 2)
    assert (genres[:2] == 0).all()
    assert (genres[2:, 0] > 0).all()
    age = found.scalings["user_age"]
    assert age.offset == 20.0
    assert age.scale == pytest.approx(1 / 39)
    rating = found.scalings["context_movie_rating"]
    assert 2.5 < rating.offset < 3.5
    assert rating.scale == pytest.approx(1 / np.sqrt(2), rel=0.05)


def test_values_that_no_step_is_known_of_have_no_every_position(
    vocabulary_world, tmp_path: Path
) -> None:
    """Genres one after the other, even if there are as many as steps."""
    config = copy(vocabulary_world.config)
    config.train.targets = pb.EVERY_POSITION
    config.input.activity_feature_groups[1].features[0].feature_length = LENGTH
    with pytest.raises(UserError, match=r"EVERY_POSITION.*context_movie_genre"):
        train(vocabulary_world, config, tmp_path)


def test_histories_beyond_the_devices_are_counted(
    vocabulary_world, tmp_path: Path
) -> None:
    config = copy(vocabulary_world.config)
    config.train.num_epochs = 1
    config.model.max_seen_length = 10
    lines: list[str] = []
    train(vocabulary_world, config, tmp_path, report=lines.append)
    long = sum(len(line) - 2 > 10 for line in timelines())
    assert 0 < long < 40
    [line] = [line for line in lines if "max_seen_length" in line]
    assert f"warning: {long} of 40 eval examples have more than 10 earlier" in line


@pytest.mark.parametrize("limit", [10**9, 0])
@pytest.mark.parametrize("seen", ["CONTEXT", "TIMELINE"])
@pytest.mark.parametrize("targets", pb.Targets.keys())
def test_seen_items_are_left_out_of_the_loss_in_memory_and_streamed(
    vocabulary_world, tmp_path: Path, targets: str, seen: str, limit: int
) -> None:
    """A user never comes back to an item, so that leaving them out lowers the loss."""
    config = copy(vocabulary_world.config)
    del config.input.activity_feature_groups[1]
    config.model.seen = pb.Seen.Value(seen)
    config.train.targets = pb.Targets.Value(targets)
    config.train.num_epochs = 1
    config.train.learning_rate = 1e-9
    config.train.max_in_memory_bytes = limit
    kept = train(vocabulary_world, config, tmp_path / "kept", export=False)
    config.train.leave_out_seen = True
    left_out = train(vocabulary_world, config, tmp_path / "left_out", export=False)
    # Untrained, all items score about alike: 30 of them, or those that are left.
    assert kept.fit.best.loss == pytest.approx(np.log(NUM_ITEMS), abs=0.3)
    expected = []
    for line in timelines():
        for place in range(1, len(line) - 2):
            before = line[:place] if seen == "TIMELINE" else line[:place][-LENGTH:]
            expected.append(np.log(NUM_ITEMS - len(set(before) - {line[place]})))
    difference = kept.fit.best.loss - left_out.fit.best.loss
    if targets == "LABEL":
        expected_difference = np.log(NUM_ITEMS) - np.mean(expected)
        assert difference == pytest.approx(expected_difference, abs=0.04)
    else:
        assert difference > 0.05


@pytest.mark.parametrize("limit", [10**9, 0])
@pytest.mark.parametrize("targets", pb.Targets.keys())
def test_ties_are_shuffled_the_same_way_again(
    vocabulary_world, tmp_path: Path, targets: str, limit: int
) -> None:
    config = copy(vocabulary_world.config)
    del config.input.activity_feature_groups[1]
    config.input.activity_feature_groups[0].encoder_type = pb.GRU
    config.train.targets = pb.Targets.Value(targets)
    config.train.num_epochs = 2
    config.train.max_in_memory_bytes = limit
    as_they_are = train(vocabulary_world, config, tmp_path / "one", export=False)
    config.train.shuffle_ties = True
    shuffled, again = (
        train(vocabulary_world, config, tmp_path / name, export=False)
        for name in ("two", "three")
    )
    losses = [
        [epoch.loss for epoch in done.fit.epochs]
        for done in (as_they_are, shuffled, again)
    ]
    assert losses[1] == losses[2] != losses[0]


def test_empty_catalogue_is_a_user_error(vocabulary_world, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="catalogue holds no item"):
        train(vocabulary_world, vocabulary_world.config, tmp_path, catalogue_files=[])


def test_plateau_is_reported(vocabulary_world, tmp_path: Path) -> None:
    config = copy(vocabulary_world.config)
    config.train.num_epochs = 1
    config.train.steps_per_epoch = 1
    config.train.learning_rate = 1e-9
    lines: list[str] = []
    result = train(vocabulary_world, config, tmp_path, report=lines.append)
    assert len(result.warnings) == 1
    assert lines[-1] == f"warning: {result.warnings[0]}"
    assert "not clearly above" in result.warnings[0]


def test_one_seed_gives_the_same_weights_in_every_process(
    vocabulary_world, tmp_path: Path
) -> None:
    config = copy(vocabulary_world.config)
    # Beside a CNN and a bag of words.
    config.input.activity_feature_groups[0].encoder_type = pb.LSTM
    here = train(vocabulary_world, config, tmp_path / "here", report=str)
    job = {
        "config": config_to_text(config),
        "files": vocabulary_world.files,
        "transform_output": vocabulary_world.transform_output,
        "folder": str(tmp_path / "there"),
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(tmp_path / "job.json")],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    there = json.loads((tmp_path / "there" / "run" / "history.json").read_text())
    assert [epoch["loss"] for epoch in there["epochs"]] == [
        epoch.loss for epoch in here.fit.epochs
    ]
    assert [epoch["metrics"] for epoch in there["epochs"]] == [
        epoch.metrics for epoch in here.fit.epochs
    ]
    raw = tf.constant(vocabulary_world.raw["test"])
    _keep, run = signatures(tmp_path / "here")
    _keep2, other = signatures(tmp_path / "there")
    answer = other["serving_default"](raw)
    for name, values in run["serving_default"](raw).items():
        np.testing.assert_array_equal(values, answer[name])


def test_streamed_training_gives_the_same_metrics_of_the_same_weights(
    vocabulary_world, tmp_path: Path
) -> None:
    config = copy(vocabulary_world.config)
    config.train.num_epochs = 1
    config.train.learning_rate = 1e-9
    held = train(vocabulary_world, config, tmp_path / "held", report=str)
    config.train.max_in_memory_bytes = 0
    streamed = train(vocabulary_world, config, tmp_path / "streamed", report=str)
    assert streamed.fit.epochs[0].metrics == held.fit.epochs[0].metrics
