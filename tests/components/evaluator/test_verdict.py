from __future__ import annotations

import math

import pytest

from components.evaluator.bounds import gate_metrics
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
        # Another machine would have another one.
        MetricVerdict("latency_p50_ms", 0.3),
    )
    assert Verdict("TFLITE", True, 1, True, rows, ()).as_dicts() == [
        {
            "metric": "hr_2_test",
            "slice": "",
            "value": 0.5,
            "lower_bound": 0.4,
            "upper_bound": 0.9,
            "baseline": 0.45,
            "max_regression": 0.1,
            "blessed": True,
        },
        {
            "metric": "mean_rank_test",
            "slice": "",
            "value": None,
            "lower_bound": None,
            "upper_bound": None,
            "baseline": None,
            "max_regression": None,
            "blessed": None,
        },
    ]


LONG, SHORT = ("history_length", "100+"), ("history_length", "5-9")


def sliced(config: pb.RecommenderConfig, **bound: object) -> pb.RecommenderConfig:
    result = pb.RecommenderConfig()
    result.CopyFrom(config)
    result.eval.bounds.add(
        metric="hr_2_test",
        slice_feature="history_length",
        min_slice_examples=5,
        **bound,
    )
    return result


def judged(config: pb.RecommenderConfig, long: float, short: float) -> Verdict:
    slices = {
        OVERALL: values("candidate", 0.9, 20) | values("baseline", 0.5, 20),
        LONG: values("candidate", long, 7) | values("baseline", 0.5, 7),
        SHORT: values("candidate", short, 4) | values("baseline", 0.5, 4),
    }
    return make_verdict(config, pb.TFLITE, slices, set(), True)


@pytest.mark.parametrize(
    ("bound", "value", "passes"),
    [
        ({"lower_bound": 0.3}, 0.3, True),
        ({"lower_bound": 0.3}, 0.29, False),
        ({"upper_bound": 0.3}, 0.31, False),
        ({"max_regression": 0.125}, 0.375, True),
        ({"max_regression": 0.125}, 0.37, False),
        ({"max_regression": 0.125}, 0.99, True),
        ({"lower_bound": 0.3}, math.nan, False),
        ({"max_regression": 0.1}, math.nan, False),
    ],
)
def test_a_slice_decides_however_good_all_together_are(
    config: pb.RecommenderConfig, bound: dict, value: float, passes: bool
) -> None:
    verdict = judged(sliced(config, slice_value="100+", **bound), value, short=0.0)
    assert verdict.blessed == passes
    [found] = [row for row in verdict.rows if row.slice]
    assert (found.name, found.blessed) == ("hr_2_test history_length=100+", passes)
    assert (found in verdict.failures()) != passes
    assert ("hr_2_test history_length=100+ = " in verdict.summary()) != passes


def test_without_a_value_each_slice_is_judged_if_it_is_large_enough(
    config: pb.RecommenderConfig,
) -> None:
    verdict = judged(sliced(config, lower_bound=0.3), long=0.4, short=0.0)
    assert verdict.blessed
    small, large = [row for row in verdict.rows if row.slice]
    assert (small.slice, small.blessed) == ("history_length=5-9", None)
    assert "not judged: 4 examples are fewer than 5" in small.text()
    assert (large.slice, large.blessed) == ("history_length=100+", True)
    assert not judged(sliced(config, lower_bound=0.3), long=0.2, short=1.0).blessed


def test_a_mean_rank_of_a_slice_regresses_upwards(
    config: pb.RecommenderConfig,
) -> None:
    changed = sliced(config, max_regression=1.0)
    changed.eval.bounds[-1].metric = "mean_rank_test"
    for value, passes in ((5.9, True), (6.1, False), (1.0, True)):
        models = {
            ("candidate", "mean_rank_test"): value,
            ("baseline", "mean_rank_test"): 5.0,
        }
        names = [m.name for m in gate_metrics(config, pb.SAVED_MODEL)]
        others = {("candidate", name): 0.5 for name in [*names, "example_count"]}
        models = {**others, **models, ("candidate", "example_count"): 9.0}
        slices = {OVERALL: models, LONG: models}
        verdict = make_verdict(changed, pb.SAVED_MODEL, slices, set(), True)
        assert verdict.blessed == passes
