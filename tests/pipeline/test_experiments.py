"""Grids: read or refused, their trainings run once, rates chosen on eval alone."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from configs import recommender_pb2 as pb
from configs.errors import UserError
from pipeline.cli import main
from pipeline.experiment import results
from pipeline.experiment.grid import Grid, load_grid, training_config
from pipeline.experiment.plot import plot
from pipeline.experiment.progress import Bar, Lines, progress_on
from pipeline.experiment.results import DIVERGED, Trained, choose_rate
from pipeline.experiment.run import run_experiment

READY = sorted((Path(__file__).parents[2] / "configs/experiments").glob("*.pbtxt"))

BASE = """
name: "tiny"
input {
  activity_feature_groups {
    features { feature_name: "context_movie_id" feature_type: INT
               vocab_name: "movie_id" embedding_dim: 8 feature_length: 6 }
  }
  label_feature { feature_name: "label_movie_id" feature_type: INT
                  vocab_name: "movie_id" embedding_dim: 8 }
}
model { num_predictions: 20 seen: TIMELINE }
train { num_epochs: 2 batch_size: 64 checkpoint_path: "/elsewhere" }
eval { bounds { metric: "hr_10_test" lower_bound: 0.001 } }
"""
GROUP = "input.activity_feature_groups.0"
GRID = f"""
config: "base.pbtxt"
set: "model.hidden_layer_dims=16"
axes {{
  name: "encoder"
  values {{ set: "{GROUP}.encoder_type=BOW" }}
  values {{ set: "{GROUP}.encoder_type=CNN" set: "model.hidden_layer_dims="
            label: "convolution" }}
}}
axes {{
  name: "context"
  values {{ set: "{GROUP}.features.0.feature_length=4" }}
  values {{ set: "{GROUP}.features.0.feature_length=6" }}
}}
seeds: [1, 2]
learning_rates: [0.01, 0.1]
"""


def written(folder: Path, grid: str = GRID) -> Path:
    (folder / "base.pbtxt").write_text(BASE)
    path = folder / "grid.pbtxt"
    path.write_text(grid)
    return path


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return load_grid(written(tmp_path))


def test_cells_are_the_product_of_the_axes(grid: Grid) -> None:
    assert (grid.name, grid.axes) == ("grid", ("encoder", "context"))
    assert [cell.labels for cell in grid.cells] == [
        ("BOW", "4"),
        ("BOW", "6"),
        ("convolution", "4"),
        ("convolution", "6"),
    ]
    found = [
        (
            pb.EncoderType.Name(group.encoder_type),
            group.features[0].feature_length,
            list(cell.config.model.hidden_layer_dims),
        )
        for cell in grid.cells
        for group in cell.config.input.activity_feature_groups
    ]
    assert found == [
        ("BOW", 4, [16]),
        ("BOW", 6, [16]),
        ("CNN", 4, []),
        ("CNN", 6, []),
    ]
    assert grid.learning_rates == ((0.01, 0.1),) * 4
    assert (grid.seeds, grid.metric, grid.x_axis) == ((1, 2), "hr_10_eval", 1)


def test_what_a_training_gets(grid: Grid) -> None:
    config = training_config(grid.cells[0], 0.1, 2)
    assert (config.train.learning_rate, config.train.seed) == (0.1, 2)
    assert config.train.checkpoint_path == ""
    assert grid.cells[0].config.train.seed == 1


def test_seeds_and_overrides_from_the_command(tmp_path: Path) -> None:
    overrides = ["train.num_epochs=7", "model.hidden_layer_dims=8"]
    grid = load_grid(written(tmp_path), overrides, [5])
    assert grid.seeds == (5,)
    assert {cell.config.train.num_epochs for cell in grid.cells} == {7}
    layers = [list(cell.config.model.hidden_layer_dims) for cell in grid.cells]
    assert layers == [[8], [8], [], []]  # An axis has the last word.


def test_a_grid_of_one_cell(tmp_path: Path) -> None:
    grid = load_grid(written(tmp_path, 'config: "base.pbtxt" name: "one"'))
    assert (grid.name, grid.axes, grid.x_axis) == ("one", (), None)
    [cell] = grid.cells
    assert cell.labels == ()
    assert grid.learning_rates == ((cell.config.train.learning_rate,),)


def test_contexts_of_one_length_leave_out_the_same(tmp_path: Path) -> None:
    """However long the examples' are."""
    text = (
        'config: "base.pbtxt" set: "model.seen=CONTEXT" axes { name: "a" '
        'values { set: "data.max_context_length=6" } '
        'values { set: "data.max_context_length=9" } }'
    )
    assert len(load_grid(written(tmp_path, text)).cells) == 2


AXIS = 'axes { name: "a" values { set: "train.batch_size=32" } }'
WRONG = {
    "config": ('name: "x"', ["config: ''", "base configuration"]),
    "absent": ('config: "absent.pbtxt"', ["config: ", "absent.pbtxt", "No such file"]),
    "syntax": ('config: "base.pbtxt"\nexes {}', ["line 2", "exes"]),
    "name": ('config: "base.pbtxt" name: "a/b"', ["name: 'a/b'", "letters"]),
    "set": (
        'config: "base.pbtxt" set: "train.batch_size=0x"',
        ["set.0: train.batch_size: '0x'", "whole number"],
    ),
    "axis": (
        'config: "base.pbtxt" axes { values { label: "x" } }',
        ["axes.0.name: ''"],
    ),
    "values": (
        'config: "base.pbtxt" axes { name: "a" }',
        ["axes.0.values: 'none'", "at least one"],
    ),
    "label": (
        'config: "base.pbtxt" axes { name: "a" values { } }',
        ["axes.0.values.0.label: ''"],
    ),
    "same labels": (
        f'config: "base.pbtxt" {AXIS.replace("} }", "} values { label: ")}"32" }} }}',
        ["axes.0.values: '32'", "each once"],
    ),
    "same axes": (f'config: "base.pbtxt" {AXIS} {AXIS}', ["axes: 'a'", "each once"]),
    "path": (
        'config: "base.pbtxt" axes { name: "a" values { set: "train.rate=1" } }',
        ["axes.0.values.0.set.0: train.rate: no such field"],
    ),
    "cell": (
        'config: "base.pbtxt" axes { name: "a" values { set: "train.batch_size=0" } }',
        ["cell a 0: train.batch_size: 0", "1 to 1000000"],
    ),
    "twice": (
        f'config: "base.pbtxt" {AXIS.replace("} }", "} values { label: ")}"x" '
        'set: "train.batch_size=32" } }',
        ["'cell a x'", "another configuration than cell a 32"],
    ),
    "seed": (
        'config: "base.pbtxt" axes { name: "a" values { set: "train.seed=3" } }',
        ["axes.0.values.0.set.0: 'train.seed=3'", "`seeds`"],
    ),
    "rate": (
        'config: "base.pbtxt" set: "train.learning_rate=3" learning_rates: 0.1',
        ["set.0: 'train.learning_rate=3'", "`learning_rates`"],
    ),
    "rates": ('config: "base.pbtxt" learning_rates: 0', ["learning_rates: 0", "1e-09"]),
    "seeds": ('config: "base.pbtxt" seeds: [3, 3]', ["seeds: 3", "each once"]),
    "test": (
        'config: "base.pbtxt" metric: "hr_10_test"',
        ["metric: 'hr_10_test'", "hr_<k>_eval"],
    ),
    "k": (
        'config: "base.pbtxt" metric: "hr_7_eval"',
        ["metric: 'hr_7_eval'", "[1, 5, 10]"],
    ),
    "x axis": (
        f'config: "base.pbtxt" x_axis: "b" {AXIS}',
        ["x_axis: 'b'", "one of a"],
    ),
    "protocol": (
        'config: "base.pbtxt" axes { name: "a" values { set: "model.seen=KEPT" } '
        'values { set: "model.seen=TIMELINE" } }',
        ["cell a TIMELINE: model.seen: 'TIMELINE of ", "Expected KEPT"],
    ),
    "length of the timeline": (
        'config: "base.pbtxt" set: "model.seen=TIMELINE" axes { name: "a" '
        'values { set: "model.max_seen_length=50" } '
        'values { set: "model.max_seen_length=90" } }',
        ["model.seen: 'TIMELINE of 90 items'", "Expected TIMELINE of 50 items"],
    ),
    "context left out": (
        'config: "base.pbtxt" set: "model.seen=CONTEXT" axes { name: "a" '
        f'values {{ set: "{GROUP}.features.0.feature_length=4" }} '
        f'values {{ set: "{GROUP}.features.0.feature_length=6" }} }}',
        ["cell a 6: model.seen: 'CONTEXT of 6 steps'", "Expected CONTEXT of 4 steps"],
    ),
    "candidates": (
        'config: "base.pbtxt" axes { name: "a" values { label: "all" } values { '
        f'label: "50" set: "{GROUP}.features.0.vocab_size=50" '
        'set: "input.label_feature.vocab_size=50" } }',
        ["cell a 50: input.label_feature.vocab_size: '50'", "Expected 0"],
    ),
    "labels": (
        'config: "base.pbtxt" axes { name: "a" values { set: "data.min_rating=1" } '
        'values { set: "data.min_rating=4" } }',
        ["data.min_rating: '4.0'", "Expected 1.0"],
    ),
    "eval steps": (
        'config: "base.pbtxt" axes { name: "a" values { set: "train.num_eval_steps=1" '
        '} values { set: "train.num_eval_steps=0" } }',
        ["train.num_eval_steps: 'all'", "examples"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_grids_are_refused(tmp_path: Path, case: str) -> None:
    text, parts = WRONG[case]
    path = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        load_grid(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_grids_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent"):
        load_grid(tmp_path / "absent.pbtxt")


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_grids(path: Path) -> None:
    grid = load_grid(path)
    assert grid.name == path.stem
    assert len(grid.cells) > 1


def test_the_published_study() -> None:
    [path] = [path for path in READY if path.stem == "published_study"]
    grid = load_grid(path)
    assert len(grid.cells) == 18
    for cell in grid.cells:
        encoder, context, names = cell.labels
        [group] = cell.config.input.activity_feature_groups
        assert pb.EncoderType.Name(group.encoder_type) == encoder
        assert {f.feature_length for f in group.features} == {int(context)}
        widths = [(f.feature_name, f.embedding_dim) for f in group.features]
        expected = [("context_movie_id", 8), ("context_movie_genre", 4)]
        assert widths == expected[: 1 + (names == "id and genre")]


def test_the_encoders_have_about_equally_many_weights() -> None:
    import numpy as np

    from components.trainer.recommendation_model import ModelInputs
    from components.trainer.trainer import build_model

    [path] = [path for path in READY if path.stem == "encoders"]
    rows = 1684
    inputs = ModelInputs(
        {"context_movie_id": rows, "label_movie_id": rows}, np.arange(rows) > 1
    )
    counts = []
    for cell in load_grid(path).cells:
        [group] = cell.config.input.activity_feature_groups
        if group.encoder_type != pb.TRANSFORMER:
            # Without positions, weights are as many whatever the steps.
            group.features[0].feature_length = 4
        counts.append(build_model(cell.config, inputs).count_params())
    assert len(counts) == 5
    # Beside the table of embeddings, which all have.
    own = [count - rows * 64 for count in counts]
    assert max(own) < 1.03 * min(own)


class FakeWork:
    """Trains nothing: a result is what `value` makes of a configuration."""

    def __init__(self, value: Callable[[pb.RecommenderConfig], float | None]) -> None:
        self.value = value
        self.done: list[str] = []
        self.fails_after: int | None = None

    def examples_key(self, config: pb.RecommenderConfig) -> str:
        [group] = config.input.activity_feature_groups
        return f"length {group.features[0].feature_length}"

    def transform_key(self, config: pb.RecommenderConfig) -> str:
        return "transform"

    def training_key(self, config: pb.RecommenderConfig) -> str:
        return str(config)

    def test_key(self) -> str:
        return "test"

    def make_examples(self, config: pb.RecommenderConfig, output: Path) -> None:
        self.done.append("examples")

    def transform(
        self, config: pb.RecommenderConfig, examples: Path, output: Path
    ) -> None:
        assert examples.is_dir()
        self.done.append("transform")

    def train(
        self,
        config: pb.RecommenderConfig,
        examples: Path,
        transformed: Path,
        output: Path,
        report: Callable[[str], None],
    ) -> dict[str, Any]:
        assert examples.is_dir() and transformed.is_dir()
        assert output.is_dir()
        if self.done.count("train") == self.fails_after:
            raise KeyboardInterrupt
        self.done.append("train")
        report("epoch 1/2")
        value = self.value(config)
        if value is None:
            return {DIVERGED: "the loss is nan", "stopped_early": True, "epochs": []}
        curve = [value / 2, value]
        return {
            "best_epoch": 2,
            "metrics": metrics(value),
            "num_weights": 1234,
            "stopped_early": False,
            "eval_examples": 100,
            "seconds": 1.0,
            "epochs": [
                {"number": n, "metrics": metrics(v)} for n, v in enumerate(curve)
            ],
        }

    def test(
        self, config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, float]:
        assert (training / "result.json").is_file()
        self.done.append("test")
        value = (self.value(config) or 0.0) / 2
        return {"hr_10_test": value, "ndcg_10_test": value / 2}

    def tflite_bytes(
        self, config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, int]:
        self.done.append("tflite")
        return {"FLOAT32": 4000, "FLOAT16": 2000}

    def count(self, what: str) -> int:
        return self.done.count(what)


def metrics(value: float) -> dict[str, float]:
    return {"hr_10_eval": value, "ndcg_10_eval": value / 2, "mean_rank_eval": 9 * value}


def by_rate(config: pb.RecommenderConfig) -> float:
    """Better for BOW with 0.1, else with 0.01, and the better the larger the seed."""
    [group] = config.input.activity_feature_groups
    good = (config.train.learning_rate == 0.1) == (group.encoder_type == pb.BOW)
    return 0.1 + 0.1 * good + 0.02 * config.train.seed


def run(
    grid: Grid, work: FakeWork, output: Path, test: bool = False
) -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    return run_experiment(grid, work, output, Lines(lines.append), test), lines


def test_everything_is_made_once(grid: Grid, tmp_path: Path) -> None:
    work = FakeWork(by_rate)
    _, lines = run(grid, work, tmp_path / "out")
    assert work.count("train") == 16
    assert work.count("examples") == work.count("transform") == 2
    assert lines[0] == "16 trainings, of which 0 are done already"
    name = "encoder BOW, context 4, rate 0.01, seed 1"
    assert lines[1:4] == [
        f"        {name}: making examples ...",
        f"        {name}: Transform ...",
        f"[ 1/16] {name} ...",
    ]
    ended = "[ 1/16] hr_10_eval 0.1200, best epoch 2 of 2, "
    assert lines[4].startswith(ended)


def test_a_second_run_trains_nothing(grid: Grid, tmp_path: Path) -> None:
    first, _ = run(grid, FakeWork(by_rate), tmp_path / "out", test=True)
    work = FakeWork(by_rate)
    second, lines = run(grid, work, tmp_path / "out", test=True)
    assert work.done == []
    assert lines == ["16 trainings, of which 16 are done already"]
    assert second == first


def test_only_what_is_missing_is_trained(grid: Grid, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first, _ = run(grid, FakeWork(by_rate), output)
    removed = sorted(output.glob("trainings/*/result.json"))[3]
    removed.unlink()
    shutil.rmtree(output / "transforms")
    work = FakeWork(by_rate)
    second, _ = run(grid, work, output)
    assert work.done == ["transform", "train"]
    assert second == first


def test_a_changed_configuration_is_trained(tmp_path: Path) -> None:
    path = written(tmp_path)
    run(load_grid(path), FakeWork(by_rate), tmp_path / "out")
    work = FakeWork(by_rate)
    run(load_grid(path, [], [2, 3]), work, tmp_path / "out")
    assert work.count("train") == 8
    work = FakeWork(by_rate)
    run(load_grid(path, ["train.batch_size=8"]), work, tmp_path / "out")
    assert (work.count("train"), work.count("examples")) == (16, 0)


def test_changed_code_is_trained(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(grid, FakeWork(by_rate), tmp_path / "out")
    work = FakeWork(by_rate)
    monkeypatch.setattr(work, "transform_key", lambda config: "other")
    run(grid, work, tmp_path / "out")
    assert work.count("examples") == 0
    assert (work.count("transform"), work.count("train")) == (2, 16)


def test_another_tensorflow_trains_and_tests_anew(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.experiment.worker import Worker

    def keys() -> tuple[str, str]:
        worker = Worker(tmp_path)
        return worker.training_key(grid.cells[0].config), worker.test_key()

    before = keys()
    assert keys() == before
    monkeypatch.setattr("tensorflow.__version__", "2.0.0")
    for ours, theirs in zip(keys(), before, strict=True):
        assert ours != theirs


def test_a_run_that_was_stopped_goes_on(grid: Grid, tmp_path: Path) -> None:
    work = FakeWork(by_rate)
    work.fails_after = 5
    with pytest.raises(KeyboardInterrupt):
        run(grid, work, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/.partial-*"))
    (tmp_path / "out" / "trainings" / ".partial-killed").mkdir()
    work = FakeWork(by_rate)
    run(grid, work, tmp_path / "out")
    assert work.count("train") == 11
    assert not list((tmp_path / "out").glob("*/.partial-*"))


def test_two_runs_in_one_folder_are_refused(grid: Grid, tmp_path: Path) -> None:
    work = FakeWork(by_rate)

    def again(config: pb.RecommenderConfig) -> float:
        run(grid, FakeWork(by_rate), tmp_path / "out")
        return 0.0

    work.value = again
    with pytest.raises(UserError, match="another process"):
        run(grid, work, tmp_path / "out")


def test_a_broken_result_is_told(grid: Grid, tmp_path: Path) -> None:
    run(grid, FakeWork(by_rate), tmp_path / "out")
    broken = next((tmp_path / "out").glob("trainings/*/result.json"))
    broken.write_text("{")
    with pytest.raises(UserError, match=rf"{broken}: is no JSON"):
        run(grid, FakeWork(by_rate), tmp_path / "out")


def trained(rate: float, seed: int, value: float | None) -> Trained:
    result = {DIVERGED: "nan"} if value is None else {"metrics": metrics(value)}
    return Trained(0, rate, seed, result)


def test_the_rate_with_the_best_mean_is_chosen() -> None:
    values = [
        trained(0.1, 1, 0.3),
        trained(0.1, 2, 0.1),
        trained(0.2, 1, 0.22),
        trained(0.2, 2, 0.2),
        trained(0.3, 1, 0.9),
        trained(0.3, 2, None),
    ]
    assert choose_rate("hr_10_eval", values) == 0.2
    assert choose_rate("mean_rank_eval", values) == 0.1
    assert choose_rate("hr_10_eval", values[4:]) is None
    equal = [trained(0.2, 1, 0.5), trained(0.1, 1, 0.5)]
    assert choose_rate("hr_10_eval", equal) == 0.2
    with pytest.raises(ValueError, match="eval alone"):
        choose_rate("hr_10_test", values)


def test_the_choice_looks_at_eval_alone(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test has the opposite order here, and only what was chosen is tested."""
    work = FakeWork(by_rate)
    tested = []

    def test(
        config: pb.RecommenderConfig, transformed: Path, training: Path
    ) -> dict[str, float]:
        tested.append((config.train.learning_rate, config.train.seed))
        return {"hr_10_test": 1 - by_rate(config), "ndcg_10_test": 0.0}

    monkeypatch.setattr(work, "test", test)
    result, _ = run(grid, work, tmp_path / "out", test=True)
    rates = [cell["chosen_learning_rate"] for cell in result["cells"]]
    assert rates == [0.1, 0.1, 0.01, 0.01]
    assert tested == [(rate, seed) for rate in rates for seed in (1, 2)]
    assert work.count("tflite") == 4


def test_results_as_json(grid: Grid, tmp_path: Path) -> None:
    result, _ = run(grid, FakeWork(by_rate), tmp_path / "out", test=True)
    assert json.loads(json.dumps(result)) == result
    assert result["experiment"] == "grid"
    assert (result["seeds"], result["tested"]) == ([1, 2], True)
    cell = result["cells"][2]
    assert cell["labels"] == {"encoder": "convolution", "context": "4"}
    assert cell["metrics"]["hr_10_eval"] == {
        "mean": pytest.approx(0.23),
        "standard_deviation": pytest.approx(0.02 / 2**0.5),
    }
    assert cell["metrics"]["hr_10_test"]["mean"] == pytest.approx(0.115)
    assert cell["tflite_bytes"] == {"FLOAT32": 4000, "FLOAT16": 2000}
    assert [rate["mean"] for rate in cell["learning_rates"]] == [
        pytest.approx(0.23),
        pytest.approx(0.13),
    ]
    assert [
        (t["learning_rate"], t["seed"], t["chosen"], "test" in t)
        for t in cell["trainings"]
    ] == [
        (0.01, 1, True, True),
        (0.01, 2, True, True),
        (0.1, 1, False, False),
        (0.1, 2, False, False),
    ]
    curve = [e["metrics"]["hr_10_eval"] for e in cell["trainings"][0]["epochs"]]
    assert curve == [pytest.approx(0.11), pytest.approx(0.22)]


def test_the_table(grid: Grid, tmp_path: Path) -> None:
    result, _ = run(grid, FakeWork(by_rate), tmp_path / "out", test=True)
    lines = list(results.report(result))
    assert lines[0].split() == [
        *("encoder", "context", "rate", "epoch", "hr_10_eval", "ndcg_10_eval"),
        *("hr_10_test", "ndcg_10_test", "weights"),
        *("bytes", "of", "float16", ".tflite", "bytes", "of", "float32", ".tflite"),
    ]
    assert lines[1].split() == [
        *("BOW", "4", "0.1*", "2"),
        *("0.2300", "±", "0.0141", "0.1150", "±", "0.0071"),
        *("0.1150", "±", "0.0071", "0.0575", "±", "0.0035"),
        *("1,234", "2,000", "4,000"),
    ]
    notes = "\n".join(lines[6:])
    assert "over 2 seeds" in notes
    assert "The standard error of hr_10_eval by the number of examples alone" in notes
    assert "is 0.042" in notes
    assert "* the smallest or largest of those tried (4 of 4 cells)" in notes
    assert "8 chosen trainings ran for all train.num_epochs" in notes


def test_without_test_and_with_one_seed(tmp_path: Path) -> None:
    grid = load_grid(written(tmp_path), [], [7])
    result, _ = run(grid, FakeWork(by_rate), tmp_path / "out")
    lines = list(results.report(result))
    assert "test" not in lines[0]
    assert "±" not in "".join(lines)
    assert "One seed: differences between cells may be chance." in lines
    value = result["cells"][0]["metrics"]["hr_10_eval"]
    assert value == {"mean": pytest.approx(0.34), "standard_deviation": None}


def test_rates_that_diverge(grid: Grid, tmp_path: Path) -> None:
    """The other rate is chosen; a cell without any other is told."""

    def value(config: pb.RecommenderConfig) -> float | None:
        [group] = config.input.activity_feature_groups
        high = config.train.learning_rate == 0.1
        return None if high or group.encoder_type == pb.CNN else 0.2

    result, lines = run(grid, FakeWork(value), tmp_path / "out", test=True)
    rates = [cell["chosen_learning_rate"] for cell in result["cells"]]
    assert rates == [0.01, 0.01, None, None]
    assert any(line.startswith("[ 3/16] diverged, ") for line in lines)
    table = list(results.report(result))
    assert table[3].split() == ["convolution", "4", "diverged"]
    assert table[-1] == "12 trainings diverged; their rates are not chosen."
    plot(result, grid.x_axis, tmp_path / "plot.png")


def test_plots_are_png_files(grid: Grid, tmp_path: Path) -> None:
    one = load_grid(written(tmp_path, 'config: "base.pbtxt" name: "one"'))
    for number, drawn in enumerate((grid, one)):
        result, _ = run(drawn, FakeWork(by_rate), tmp_path / f"out-{number}")
        file = tmp_path / f"{number}.png"
        plot(result, drawn.x_axis, file)
        assert file.read_bytes().startswith(b"\x89PNG")


def test_long_names_of_cells_do_not_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    values = "".join(
        f'values {{ label: "{word} of it is here" set: "train.batch_size={size}" }} '
        for size, word in enumerate(("all", "much", "some", "little", "nothing"), 8)
    )
    axes = f'config: "base.pbtxt" name: "long" axes {{ name: "features" {values} }}'
    drawn = load_grid(written(tmp_path, axes))
    result, _ = run(drawn, FakeWork(by_rate), tmp_path / "out")
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    plot(result, drawn.x_axis, tmp_path / "plot.png")
    [figure] = figures
    figure.draw_without_rendering()
    texts = figure.axes[0].get_xticklabels()
    assert len(texts) == 5
    # Slanted, they end below their ticks, a line's height or more from the next.
    assert {text.get_rotation() for text in texts} == {25}
    ends = [text.get_window_extent().x1 for text in texts]
    assert all(b - a > 20 for a, b in itertools.pairwise(ends))


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(grid: Grid, tmp_path: Path) -> None:
    terminal = Terminal()
    bar = progress_on(terminal)
    assert isinstance(bar, Bar)
    run_experiment(grid, FakeWork(by_rate), tmp_path / "out", bar)
    assert "16/16" in terminal.text
    assert "encoder BOW, context 4, rate 0.01, seed 1" in terminal.text
    assert terminal.text.count("\n") == 1


def test_a_mistake_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = written(tmp_path, 'config: "base.pbtxt" metric: "hr"')
    arguments = ["experiment", str(grid), "--data", str(tmp_path)]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert done.output.startswith(f"Error: {grid}: metric: 'hr'")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    grid = written(tmp_path)
    done = CliRunner().invoke(main, [*arguments, "--plot", str(tmp_path / "plot.png")])
    assert done.exit_code == 1
    assert 'pip install "pocketrec[benchmarks]"' in done.output
