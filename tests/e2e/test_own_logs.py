"""Logs of one's own: JSON Lines in dated spans, with fields of the activities.

One run, whose bundle the device then feeds from a history alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pocketrec_device import Recommender
from pocketrec_device.features import tensors_from_example
from tests.e2e.commands import Command, pocketrec

pytestmark = pytest.mark.e2e

CONFIG = """
name: "own"
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 8 feature_length: 6 }
    features { feature_name: "context_device" embedding_dim: 2 feature_length: 6 }
    features { feature_name: "context_share" feature_type: FLOAT feature_length: 6
               scaling: MIN_MAX }
    features { feature_name: "context_hour" embedding_dim: 2 feature_length: 6 }
    features { feature_name: "context_weekday" feature_type: INT vocab_size: 8
               embedding_dim: 2 feature_length: 6 }
    features { feature_name: "context_genres" embedding_dim: 2 feature_length: 6
               values_per_step: 2 }
    features { feature_name: "context_gap" feature_type: FLOAT feature_length: 6
               embedding_dim: 2 num_buckets: 5 }
    encoder_type: LSTM
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 8 }
}
data {
  source: JSON_LINES
  timezone: "America/St_Johns"
  span_folder: "{YYYY}-{MM}-{DD}"
  span_window: 2
  files {
    activities_files: "part-*.jsonl"
    item_column: "movie"
    timestamp_format: EPOCH_MILLISECONDS
    activity_fields { column: "device" }
    activity_fields { column: "share" type: FLOAT }
    items_file: "movies.jsonl" item_key_column: "movie" title_column: "title"
    item_fields { column: "genres" separator: "|" }
  }
  derived_fields { field: "hour" derivation: HOUR }
  derived_fields { field: "weekday" derivation: WEEKDAY }
  derived_fields { field: "gap" derivation: GAP }
}
model { lstm_num_units: 8 num_predictions: 20 seen: TIMELINE }
train { num_epochs: 2 batch_size: 64 learning_rate: 0.01 }
eval {
  bounds { metric: "hr_10_test" lower_bound: 0.001 }
  # Hardly trained, it recommends few.
  bounds { metric: "distinct_items" lower_bound: 1 }
  bounds { metric: "first_item_share" upper_bound: 1 }
}
"""
DAYS = ("2024-03-09", "2024-03-10", "2024-03-11")  # Clocks change on the second.
MIDNIGHT = 1_709_942_400  # of the first


@dataclass(frozen=True)
class Run:
    """The run, its configuration and its data."""

    folder: Path
    command: Command

    @property
    def examples(self) -> Path:
        [found] = (self.folder / "out/artifacts/TimelineExampleGen/examples").iterdir()
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Run:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.pbtxt").write_text(CONFIG)
    movies = (tiny_data / "movies.dat").read_text(encoding="latin-1").splitlines()
    rows = [line.split("::") for line in (tiny_data / "ratings.dat").open()]
    for number, day in enumerate(DAYS):
        span = folder / "data" / day
        span.mkdir(parents=True)
        lines = []
        for index, (user, movie, rating, time) in enumerate(rows):
            if index % 3 == number:
                second = MIDNIGHT + 86_400 * number + int(time) % 86_400
                row = {
                    "user_id": f"u {user}",
                    "movie": movie,
                    "share": float(rating) / 5,
                }
                row |= {"timestamp": 1000 * second + index % 1000}
                row |= {"device": ["phone", "tv", None][int(time) % 3]}
                lines.append(json.dumps(row))
        (span / "part-0.jsonl").write_text("\n".join(lines[::2]))
        (span / "part-1.jsonl").write_text("\n".join(lines[1::2]))
    items = []
    for line in movies:
        movie, title, genres = line.split("::")
        item = {"movie": movie, "title": title, "genres": genres.split("|")}
        items.append(json.dumps(item))
    (folder / "data" / "movies.jsonl").write_text("\n".join(items))
    command = run_own(folder)
    assert command.code == 0, command.out + command.err
    return Run(folder, command)


def run_own(folder: Path, *arguments: str) -> Command:
    return pocketrec(
        *("run", "--config", folder / "own.pbtxt", "--data", folder / "data"),
        *("--output", folder / "out", *arguments),
    )


def test_the_newest_spans_are_read_together(run: Run) -> None:
    assert "Spans: 2024-03-10 (19792) to 2024-03-11 (19793)" in run.command.out
    manifest = json.loads(pocketrec("inspect-bundle", bundle(run), "--json").out)
    assert manifest["data"]["spans"] == [19792, 19793]
    assert manifest["data"]["dates"] == ["2024-03-10", "2024-03-11"]
    first = manifest["data"]["first_timestamp"]
    assert first >= MIDNIGHT + 86_400, "nothing of the day before the window"


def test_a_span_that_is_not_there(run: Run) -> None:
    refused = run_own(run.folder, "--span", "2024-03-12")
    assert refused.code == 1
    [line] = refused.err.splitlines()
    assert "span 2024-03-12 (19794) does not exist" in line
    assert "There are 2024-03-09 (19791) to 2024-03-11 (19793)" in line


def test_the_device_makes_the_same_tensors_from_a_history(run: Run) -> None:
    from tests.e2e.test_sample import columns_of, records

    recommender = Recommender(bundle(run))
    inputs, vocabularies = recommender.bundle.inputs, recommender.bundle.vocabularies
    raw = records(run.examples / "Split-test")
    transformed = transform(run, raw)
    hours, with_older, several = set(), 0, 0
    for row, serialized in enumerate(raw):
        columns = columns_of(serialized)
        steps = columns["context_length"][0]
        history = {name: values[:steps] for name, values in columns.items()}
        # The window's first gap is since an activity that is outside of it.
        older = columns["label_position"][0] > steps
        first = history["context_timestamp"][0] - int(history["context_gap"][0])
        with_older += older
        several += max(columns["context_genres_step_lengths"]) > 1
        tensors = recommender.tensors(
            ["1"] * older + history["context_movie_id"],
            timestamps=[first] * older + history["context_timestamp"],
            activities={
                "device": [None] * older
                + [text or None for text in history["context_device"]],
                "share": [None] * older + history["context_share"],
            },
            seen=columns["seen_movie_id"],
        )
        expected = tensors_from_example(inputs, columns, vocabularies)
        assert set(tensors) == set(expected)
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, expected[name], err_msg=name)
            if name != "seen_movie_id":
                np.testing.assert_array_equal(
                    tensor[0], transformed[name][row], err_msg=name
                )
        hours |= set(history["context_hour"])
    assert len(raw) == 60
    assert len(hours) > 6
    assert min(with_older, several) > 10


def transform(run: Run, raw: list[bytes]) -> dict[str, np.ndarray]:
    """What Transform makes of examples, by feature."""
    import tensorflow as tf

    saved = bundle(run).parent / "training" / "saved_model"
    signature = tf.saved_model.load(str(saved)).signatures["transform_features"]
    columns = signature(examples=tf.constant(raw))
    return {name: column.numpy() for name, column in columns.items()}


def test_the_device_is_told_of_steps_and_gaps(run: Run) -> None:
    inspected = pocketrec("inspect-bundle", bundle(run)).out
    assert "genres in the catalogue, 2 of each item" in inspected
    assert "seconds between the timestamps" in inspected


def test_the_command_line_asks_for_them(run: Run) -> None:
    arguments = ("recommend", "--bundle", run.folder / "out/push", "--history", "1,2")
    asked = pocketrec(*arguments, "--timestamps", "1709942400,1709946000")
    assert asked.code == 1
    assert "device" in asked.err
    answered = pocketrec(
        *arguments,
        *("--timestamps", "1709942400,1709946000"),
        *("--activity", "device=phone,", "--activity", "share=0.5,1"),
        "--json",
    )
    assert answered.code == 0, answered.err
    assert len(json.loads(answered.out)["recommendations"]) == 10


def bundle(run: Run) -> Path:
    return run.folder / "out" / "push" / "versions" / "1" / "bundle"
