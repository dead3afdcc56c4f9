"""The gate of the SavedModel, on models whose ranks are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.evaluator.verdict import Verdict, read_verdict
from configs import recommender_pb2 as pb
from configs.errors import UserError

pytestmark = pytest.mark.slow

POPULARITY = {11: 4.0, 12: 3.0, 13: 2.0, 14: 1.0}


@dataclass(frozen=True)
class Gates:
    """Runs the gate of the SavedModel on scores; shares the examples."""

    folder: Path
    config: pb.RecommenderConfig
    save_model: Callable[[Path, Mapping[int, float]], None]
    run: Callable[..., Any]

    def __call__(
        self,
        scores: Mapping[int, float],
        baseline: Mapping[int, float] | None = None,
        **bound: float | str,
    ) -> tuple[Verdict, Any]:
        config = pb.RecommenderConfig()
        config.CopyFrom(self.config)
        if bound:
            del config.eval.bounds[:]
            config.eval.bounds.add(**bound)
        number = len(list(self.folder.iterdir()))
        model = self.folder / f"model-{number}"
        current = self.folder / f"current-{number}"
        current.mkdir()
        self.save_model(model / "Format-Serving", scores)
        if baseline is not None:
            self.save_model(current / "Format-Serving", baseline)
        gate = self.run(self.folder, config, pb.SAVED_MODEL, model, current)
        return read_verdict(gate.evaluation, config, pb.SAVED_MODEL), gate


@pytest.fixture(scope="module")
def gates(
    tmp_path_factory: pytest.TempPathFactory,
    config: pb.RecommenderConfig,
    write_examples: Any,
    save_model: Any,
    run_gate: Any,
    rows: Any,
) -> Gates:
    folder = tmp_path_factory.mktemp("gates")
    write_examples(folder / "examples", rows)
    return Gates(folder, config, save_model, run_gate)


@pytest.fixture(scope="module")
def first_run(gates: Gates) -> tuple[Verdict, Any]:
    """No baseline: the artifact of the current model is an empty folder."""
    return gates(POPULARITY)


def test_first_run_is_judged_by_the_absolute_bound(first_run: Any) -> None:
    verdict, gate = first_run
    assert gate.blessed
    assert gate.files == {"BLESSED"}
    assert verdict.blessed
    assert not verdict.compared


def test_metrics_equal_those_by_hand(first_run: Any) -> None:
    verdict, _ = first_run
    # Ranks 1, 2, 3, 1, 4.
    assert {row.metric: row.value for row in verdict.rows} == pytest.approx(
        {
            "hr_1_test": 2 / 5,
            "hr_2_test": 3 / 5,
            "ndcg_1_test": 2 / 5,
            "ndcg_2_test": (2 + 1 / math.log2(3)) / 5,
            "mrr_test": (1 + 1 / 2 + 1 / 3 + 1 + 1 / 4) / 5,
            "mean_rank_test": 11 / 5,
        }
    )


def test_history_length_is_reported_but_binds_nothing(first_run: Any) -> None:
    verdict, _ = first_run
    short, long = verdict.slices
    assert (short.value, short.examples) == ("1-4", 3)
    assert short.metrics["hr_2_test"] == 1.0
    assert (long.value, long.examples) == ("5-9", 2)
    # Below the bound of 0.4, and yet the model is blessed.
    assert long.metrics["hr_2_test"] == 0.0
    assert verdict.examples == 5


def test_a_slice_takes_the_blessing_back(gates: Gates) -> None:
    """Better than the current model in all, far worse where histories are long."""
    config = pb.RecommenderConfig()
    config.CopyFrom(gates.config)
    config.eval.bounds.add(
        metric="hr_2_test",
        max_regression=0.5,
        slice_feature="history_length",
        slice_value="5-9",
        min_slice_examples=2,
    )
    strict = Gates(gates.folder, config, gates.save_model, gates.run)
    long_only = {13: 4.0, 14: 3.0, 11: 2.0, 12: 1.0}
    verdict, gate = strict(POPULARITY, baseline=long_only)
    assert not verdict.blessed
    assert gate.files == {"NOT_BLESSED"}
    assert not gate.blessed
    [row] = verdict.failures()
    assert (row.name, row.value, row.baseline) == (
        "hr_2_test history_length=5-9",
        0.0,
        1.0,
    )
    config.eval.bounds[-1].min_slice_examples = 3
    verdict, gate = strict(POPULARITY, baseline=long_only)
    assert verdict.blessed
    assert gate.files == {"BLESSED"}


# Of three items the most popular and the next; the test split has 11 twice.
REPORT = {"popularity": {"head": ["11"], "middle": ["12"]}}


def sliced(gates: Gates, *names: str, report: Mapping[str, Any] | None) -> Verdict:
    config = pb.RecommenderConfig()
    config.CopyFrom(gates.config)
    config.eval.slice_features.extend(names)
    number = len(list(gates.folder.iterdir()))
    model = gates.folder / f"model-{number}"
    gates.save_model(model / "Format-Serving", POPULARITY)
    gate = gates.run(gates.folder, config, pb.SAVED_MODEL, model, report=report)
    return read_verdict(gate.evaluation, config, pb.SAVED_MODEL)


def test_slices_by_popularity_and_genre(gates: Gates) -> None:
    verdict = sliced(gates, "label_popularity", "label_movie_genre", report=REPORT)
    found = [
        (s.feature, s.value, s.examples, s.metrics["hr_2_test"]) for s in verdict.slices
    ]
    assert found[2:] == [
        ("label_popularity", "head", 2, 1.0),
        ("label_popularity", "middle", 1, 1.0),
        ("label_popularity", "tail", 2, 0.0),
        # One example has no genre, which is no slice, and one has both.
        ("label_movie_genre", "Drama", 3, pytest.approx(2 / 3)),
        ("label_movie_genre", "War", 2, 1 / 2),
    ]
    assert verdict.examples == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("label_movie_mood", "is no column of the examples. .* label_movie_genre"),
        ("label_movie_rating", "'label_movie_rating' holds floats"),
        ("label_popularity", "without an ingestion report"),
    ],
)
def test_slices_that_cannot_be_made_are_one_line(
    gates: Gates, name: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        sliced(gates, name, report=None)
    assert "\n" not in str(error.value)


def test_an_out_of_reach_bound_is_named_with_metric_and_value(gates: Gates) -> None:
    verdict, gate = gates(POPULARITY, metric="hr_2_test", lower_bound=0.99)
    assert not gate.blessed
    assert gate.files == {"NOT_BLESSED"}
    assert (
        verdict.summary()
        == "SAVED_MODEL: NOT_BLESSED, hr_2_test = 0.6000 (at least 0.99): failed"
    )


@pytest.mark.parametrize("score", [0.5, math.nan])
def test_a_model_that_tells_no_item_from_another_has_no_hit(
    gates: Gates, score: float
) -> None:
    verdict, gate = gates(dict.fromkeys(POPULARITY, score))
    assert not gate.blessed
    values = {row.metric: row.value for row in verdict.rows}
    assert values["hr_2_test"] == 0.0
    assert values["mean_rank_test"] == 4.0


@pytest.mark.parametrize(
    ("baseline", "hr_2"),
    [
        pytest.param({11: 3.0, 21: 2.0, 22: 1.0, 12: 0.0}, 2 / 5, id="fewer-known"),
        pytest.param(POPULARITY | {i: 0.0 for i in range(20, 90)}, 3 / 5, id="larger"),
    ],
)
def test_a_baseline_is_judged_in_its_own_vocabulary(
    gates: Gates, baseline: Mapping[int, float], hr_2: float
) -> None:
    verdict, gate = gates(
        POPULARITY | {10: 9.0},
        baseline,
        metric="hr_2_test",
        lower_bound=0.1,
        max_regression=0.1,
    )
    row = next(r for r in verdict.rows if r.metric == "hr_2_test")
    assert verdict.compared
    assert row.baseline == pytest.approx(hr_2)
    # Item 10 is above all labels: only 11 is among the best two.
    assert row.value == pytest.approx(2 / 5)
    assert gate.blessed is (hr_2 == 2 / 5)


def test_a_regression_is_named_with_both_values(gates: Gates) -> None:
    verdict, gate = gates(
        {14: 4.0, 13: 3.0, 12: 2.0, 11: 1.0},
        POPULARITY,
        metric="hr_2_test",
        lower_bound=0.1,
        max_regression=0.1,
    )
    assert not gate.blessed
    assert verdict.summary() == (
        "SAVED_MODEL: NOT_BLESSED, hr_2_test = 0.4000 (at least 0.1, at most 0.1 worse "
        "than the current model's 0.6000): failed"
    )


def test_mean_rank_may_not_grow(gates: Gates) -> None:
    verdict, gate = gates(
        {14: 4.0, 13: 3.0, 12: 2.0, 11: 1.0},
        POPULARITY,
        metric="mean_rank_test",
        upper_bound=4.0,
        max_regression=0.5,
    )
    assert not gate.blessed
    (row,) = verdict.failures()
    assert row.metric == "mean_rank_test"
    assert (row.value, row.baseline) == (pytest.approx(2.8), pytest.approx(2.2))


@pytest.mark.parametrize("content", ["", "no graph"])
def test_a_broken_current_model_is_one_line(gates: Gates, content: str) -> None:
    number = len(list(gates.folder.iterdir()))
    model, current = (gates.folder / f"{n}-{number}" for n in ("model", "current"))
    gates.save_model(model / "Format-Serving", POPULARITY)
    (current / "Format-Serving").mkdir(parents=True)
    (current / "Format-Serving" / "saved_model.pb").write_text(content)
    with pytest.raises(UserError, match="current model cannot be evaluated") as error:
        gates.run(gates.folder, gates.config, pb.SAVED_MODEL, model, current)
    assert "\n" not in str(error.value)


def test_without_an_example_nothing_is_blessed(
    tmp_path: Path,
    config: pb.RecommenderConfig,
    write_examples: Any,
    save_model: Any,
    run_gate: Any,
) -> None:
    write_examples(tmp_path / "examples", ())
    save_model(tmp_path / "model" / "Format-Serving", POPULARITY)
    gate = run_gate(tmp_path, config, pb.SAVED_MODEL, tmp_path / "model")
    assert not gate.blessed
    verdict = read_verdict(gate.evaluation, config, pb.SAVED_MODEL)
    assert "there is no example to judge by" in verdict.summary()
    assert all(math.isnan(row.value) for row in verdict.rows)
