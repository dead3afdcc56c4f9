"""Reading examples: in memory and streamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import input_pipeline
from components.trainer.input_pipeline import ExampleSet
from configs import recommender_pb2 as pb
from configs.errors import UserError

COUNT = 23
PLENTY = 10**9


def config() -> pb.RecommenderConfig:
    result = pb.RecommenderConfig()
    group = result.input.activity_feature_groups.add()
    group.features.add(
        feature_name="context_movie_id",
        feature_type=pb.INT,
        vocab_name="movie_id",
        embedding_dim=4,
        feature_length=3,
    )
    group.features.add(
        feature_name="context_movie_rating", feature_type=pb.FLOAT, feature_length=3
    )
    result.input.label_feature.feature_name = "label_movie_id"
    return result


@pytest.fixture(params=["", ".gz"])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """Two files; example i has the label i, i % 4 seen items and a padded context."""
    paths = []
    for part, numbers in enumerate(np.array_split(np.arange(COUNT), 2)):
        path = str(tmp_path / f"part-{part}{request.param}")
        options = "GZIP" if request.param else None
        with tf.io.TFRecordWriter(path, options) as writer:
            for number in numbers:
                writer.write(example(int(number)))
        paths.append(path)
    return paths


def example(number: int) -> bytes:
    record = tf.train.Example()
    column = record.features.feature
    column["context_movie_id"].int64_list.value.extend([number + 1, 2, 0])
    column["context_movie_rating"].float_list.value.extend([number / 2, 1.0, 0.0])
    column["label_movie_id"].int64_list.value.append(number)
    column["seen_movie_id"].int64_list.value.extend(range(2, 2 + number % 4))
    column["user_id"].bytes_list.value.append(b"one for all")
    column["label_position"].int64_list.value.append(number + 2)
    return record.SerializeToString()


def read(files: list[str], limit: int, seen: bool = True) -> ExampleSet:
    settings = config()
    settings.model.seen = pb.TIMELINE if seen else pb.KEPT
    columns = input_pipeline.eval_columns(settings, 30)
    return input_pipeline.read_examples(files, columns, limit, "train")


def labels(dataset: tf.data.Dataset) -> list[list[int]]:
    return [b["label_movie_id"].numpy()[:, 0].tolist() for b in dataset]


def flat(batches: list[list[int]]) -> list[int]:
    return [label for batch in batches for label in batch]


@pytest.mark.parametrize("limit", [PLENTY, 0])
def test_batches_in_order(files: list[str], limit: int) -> None:
    examples = read(files, limit)
    assert examples.in_memory == (limit > 0)
    assert examples.num_examples == COUNT
    np.testing.assert_array_equal(examples.label_counts, [1] * COUNT + [0] * 7)
    batches = list(examples.batches(10))
    assert flat(labels(batches)) == list(range(COUNT))
    assert [len(b) for b in labels(batches)] == [10, 10, 3]
    last = batches[-1]
    np.testing.assert_array_equal(last["context_movie_id"][0], [21, 2, 0])
    np.testing.assert_array_equal(last["context_movie_rating"][0], [10.0, 1.0, 0.0])
    assert last["seen_movie_id"].to_list() == [[], [2], [2, 3]]
    assert last["context_movie_id"].dtype == last["seen_movie_id"].dtype == tf.int32


@pytest.mark.parametrize("limit", [PLENTY, 0])
def test_each_pass_has_every_example_once_in_a_new_order(
    files: list[str], limit: int
) -> None:
    examples = read(files, limit, seen=False)
    batches = labels(examples.shuffled_batches(10, seed=3).take(6))
    first, second = flat(batches[:3]), flat(batches[3:])
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second
    assert first != sorted(first)


@pytest.mark.parametrize("limit", [PLENTY, 0])
def test_the_seed_decides_the_order(files: list[str], limit: int) -> None:
    examples = read(files, limit, seen=False)
    one, again, other = (
        labels(examples.shuffled_batches(10, seed).take(6)) for seed in (3, 3, 4)
    )
    assert one == again
    assert one != other


@pytest.mark.parametrize("limit", [PLENTY, 0])
@pytest.mark.parametrize("leave_out_seen", [False, True])
def test_targets_are_counted_as_often_as_they_are_shown(
    files: list[str], limit: int, leave_out_seen: bool
) -> None:
    settings = config()
    settings.model.seen = pb.TIMELINE
    settings.train.leave_out_seen = leave_out_seen
    columns = input_pipeline.train_columns(settings, 30)
    found = input_pipeline.read_examples(files, columns, limit, "train")
    np.testing.assert_array_equal(found.target_counts, found.label_counts)
    assert found.num_distinct_targets == COUNT

    settings.train.targets = pb.EVERY_POSITION
    columns = input_pipeline.train_columns(settings, 30)
    found = input_pipeline.read_examples(files, columns, limit, "train")
    # The second step of each context is the item 2; one user's windows are one chain.
    more = found.target_counts - found.label_counts
    np.testing.assert_array_equal(more, np.bincount([2] * COUNT, minlength=30))
    assert found.num_distinct_targets == COUNT + 1
    for batch in found.shuffled_batches(10, seed=1).take(1):
        assert "user_id" not in batch
        assert "label_position" not in batch


def test_limit_is_on_the_bytes_of_the_arrays(files: list[str]) -> None:
    # 3 ids, 3 values and the label of 4 bytes each.
    size = COUNT * 7 * 4
    assert read(files, size, seen=False).in_memory
    assert not read(files, size - 1, seen=False).in_memory


def test_no_example_is_a_user_error(tmp_path: Path) -> None:
    path = str(tmp_path / "empty")
    tf.io.TFRecordWriter(path).close()
    with pytest.raises(UserError, match="split train holds no example"):
        read([path], PLENTY)
    with pytest.raises(UserError, match="split train holds no example"):
        read([], PLENTY)


def test_missing_column_is_a_user_error(tmp_path: Path) -> None:
    path = str(tmp_path / "other")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(UserError, match=r"split train.*context_movie_id") as raised:
        read([path], PLENTY)
    assert "{{" not in str(raised.value)
    assert "[Op:" not in str(raised.value)


def test_truncated_file_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example(1))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="split train"):
        read([str(path)], PLENTY)
