from __future__ import annotations

import math

import pytest

from components.evaluator.verdict import (
    OVERALL,
    MetricVerdict,
    Verdict,
    make_verdict,
)
from configs import recommender_pb2 as pb

NAMES = ("hr_1_test", "hr_2_test", "ndcg_1_test", "ndcg_2_test", "mrr_2_test")


def values(model: str, value: float, examples: int) -> dict[tuple[str, str], float]:
    metrics = {(model, name): value for name in NAMES}
    return {**metrics, (model, "example_count"): float(examples)}


def row(verdict: Verdict, metric: str) -> MetricVerdict:
    return next(r for r in verdict.rows if r.metric == metric)


def test_one_model(config: pb.RecommenderConfig) -> None:
    slices = {
        ("history_length", "100+"): values("", 0.1, 1),
        OVERALL: values("", 0.5, 10),
        ("history_length", "5-9"): values("", 0.2, 3),
        ("history_length", "10-19"): values("", 0.3, 6),
    }
    verdict = make_verdict(config, pb.TFLITE, slices, set(), True)
    assert verdict.gate == "TFLITE"
    assert verdict.blessed
    assert not verdict.compared
    assert verdict.examples == 10
    assert row(verdict, "hr_2_test") == MetricVerdict(
        "hr_2_test", 0.5, lower_bound=0.4, max_regression=0.1, blessed=True
    )
    assert row(verdict, "mrr_2_test") == MetricVerdict("mrr_2_test", 0.5)
    assert [(s.feature, s.value, s.examples) for s in verdict.slices] == [
        ("history_length", "5-9", 3),
        ("history_length", "10-19", 6),
        ("history_length", "100+", 1),
    ]
    assert verdict.slices[0].metrics == dict.fromkeys(NAMES, 0.2)
    assert verdict.summary() == "TFLITE: BLESSED on 10 examples"
    assert verdict.failures() == []


def test_two_models(config: pb.RecommenderConfig) -> None:
    slices = {OVERALL: values("candidate", 0.5, 10) | values("baseline", 0.7, 10)}
    verdict = make_verdict(config, pb.TFLITE, slices, {"hr_2_test"}, False)
    assert verdict.compared
    assert row(verdict, "hr_2_test") == MetricVerdict(
        "hr_2_test",
        0.5,
        lower_bound=0.4,
        baseline=0.7,
        max_regression=0.1,
        blessed=False,
    )
    assert verdict.failures() == [row(verdict, "hr_2_test")]
    assert verdict.summary() == (
        "TFLITE: NOT_BLESSED, hr_2_test = 0.5000 (at least 0.4, at most 0.1 worse than "
        "the current model's 0.7000): failed"
    )
    assert verdict.lines()[1:3] == [
        "  compared with the current model on the same examples, each in its own "
        "vocabulary",
        "  hr_1_test = 0.5000 (the current model has 0.7000)",
    ]


def test_lines_name_slices_and_their_sizes(config: pb.RecommenderConfig) -> None:
    part = "history_length", "5-9"
    slices = {OVERALL: values("", 0.5, 10), part: values("", 0.25, 3)}
    lines = make_verdict(config, pb.TFLITE, slices, set(), True).lines()
    assert lines[1] == "  no current model to compare with"
    assert lines[-1] == (
        "  history_length 5-9 (3 examples): hr_1_test = 0.2500, hr_2_test = 0.2500, "
        "ndcg_1_test = 0.2500, ndcg_2_test = 0.2500, mrr_2_test = 0.2500"
    )


def test_slices_come_as_configured_and_in_the_order_of_their_values(
    config: pb.RecommenderConfig,
) -> None:
    changed = pb.RecommenderConfig()
    changed.CopyFrom(config)
    names = ["user_age", "label_popularity", "label_movie_genre"]
    changed.eval.slice_features.extend(names)
    expected = [
        *(("history_length", "5-9"), ("history_length", "10-19")),
        *(("user_age", "9"), ("user_age", "25")),
        *(("label_popularity", bucket) for bucket in ("head", "middle", "tail")),
        *(("label_movie_genre", "Drama"), ("label_movie_genre", "War")),
    ]
    slices = {part: values("", 0.5, 1) for part in sorted([OVERALL, *expected])}
    verdict = make_verdict(changed, pb.TFLITE, slices, set(), True)
    assert [(s.feature, s.value) for s in verdict.slices] == expected


def test_nothing_measured(config: pb.RecommenderConfig) -> None:
    verdict = make_verdict(config, pb.SAVED_MODEL, {}, {"hr_2_test"}, False)
    assert verdict.summary() == (
        "SAVED_MODEL: NOT_BLESSED, there is no example to judge by; hr_2_test = not a "
        "number (at least 0.4, no current model to compare with): failed"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_manifest_holds_numbers_or_nothing(value: float) -> None:
    rows = (
        MetricVerdict("hr_2_test", 0.5, 0.4, 0.9, 0.45, 0.1, True),
        MetricVerdict("mean_rank_test", value, baseline=value),
    )
    assert Verdict("TFLITE", True, 1, True, rows, ()).as_dicts() == [
        {
            "metric": "hr_2_test",
            "value": 0.5,
            "lower_bound": 0.4,
            "upper_bound": 0.9,
            "baseline": 0.45,
            "max_regression": 0.1,
            "blessed": True,
        },
        {
            "metric": "mean_rank_test",
            "value": None,
            "lower_bound": None,
            "upper_bound": None,
            "baseline": None,
            "max_regression": None,
            "blessed": None,
        },
    ]
