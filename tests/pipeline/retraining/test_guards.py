"""Whether a new span looks like those before it."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.loader import load_config
from data.daily import SPAN_FOLDER, cut, day_folder, read_ratings, shuffled, write_day
from pipeline.retraining.guards import Span, guard_lines, judge, judge_spans
from tests.checkout import ROOT

GUARD = pb.DriftGuard


def span(
    items: list[int],
    ratings: list[float] | None = None,
    rows: int = 0,
    rejected: int = 0,
) -> Span:
    """Activities; all of them can be used unless it is said how many cannot."""
    ratings = [3.0] * len(items) if ratings is None else ratings
    column = pa.chunked_array([pa.array(items, pa.int64())])
    return Span(
        items=column,
        fields={
            "movie_id": column,
            "rating": pa.chunked_array([pa.array(ratings, pa.float64())]),
        },
        rows=rows or len(items) + rejected,
        rejected=rejected,
    )


def measured(measure: str, newest: Span, *others: Span) -> float:
    [judged] = judge_spans([GUARD(measure=measure, upper_bound=1)], newest, others)
    return judged.value


def test_row_count_ratio() -> None:
    others = span([1, 2]), span([1, 2, 3, 4])
    assert measured("row_count_ratio", span([1] * 9), *others) == pytest.approx(3)
    assert measured("row_count_ratio", span([]), *others) == 0
    assert math.isnan(measured("row_count_ratio", span([1])))


def test_unknown_items_is_a_share_of_activities() -> None:
    others = span([1, 2]), span([2, 3])
    assert measured("unknown_items", span([1, 2, 3]), *others) == 0
    assert measured("unknown_items", span([1, 9, 9, 9]), *others) == 0.75
    assert math.isnan(measured("unknown_items", span([]), *others))
    assert math.isnan(measured("unknown_items", span([1])))


def test_rejected_rows() -> None:
    assert measured("rejected_rows", span([1] * 9, rejected=1)) == 0.1
    assert measured("rejected_rows", span([])) == 0


def test_ids_drift_by_the_largest_difference_of_a_share() -> None:
    old, before = span([1, 1, 1, 1]), span([1, 1, 2, 2])
    newest = span([1, 2, 2, 2])
    # 1 has a quarter, before it a half; in both others together three quarters.
    assert measured("drift_movie_id", newest, old, before) == pytest.approx(0.25)
    assert measured("skew_movie_id", newest, old, before) == pytest.approx(0.5)


def test_numbers_drift_by_their_divergence() -> None:
    rng = np.random.default_rng(1)
    before = span([1] * 2000, rng.normal(3, 1, 2000).tolist())
    alike = span([1] * 2000, rng.normal(3, 1, 2000).tolist())
    apart = span([1] * 2000, rng.normal(30, 1, 2000).tolist())
    assert measured("drift_rating", alike, before) < 0.05
    assert measured("drift_rating", apart, before) > 0.9


def test_nothing_to_compare_with() -> None:
    for measure in ("drift_movie_id", "skew_rating"):
        assert math.isnan(measured(measure, span([1])))
        assert math.isnan(measured(measure, span([]), span([1])))
        assert math.isnan(measured(measure, span([1]), span([])))


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ({"upper_bound": 0.5}, True),
        ({"upper_bound": 0.49}, False),
        ({"lower_bound": 0.5}, True),
        ({"lower_bound": 0.51}, False),
        ({"lower_bound": 0.1, "upper_bound": 0.9}, True),
        ({"lower_bound": 0.1, "upper_bound": 0.2}, False),
    ],
)
def test_bounds(bounds: dict[str, float], holds: bool) -> None:
    guard = GUARD(measure="unknown_items", action=GUARD.SKIP, **bounds)
    [judged] = judge_spans([guard], span([1, 9]), [span([1])])
    assert judged.holds is holds
    assert judged.action == (None if holds else GUARD.SKIP)


def test_lines_tell_each_guard() -> None:
    guards = [
        GUARD(measure="unknown_items", upper_bound=0.25, action=GUARD.WARN),
        GUARD(measure="row_count_ratio", lower_bound=0.5, upper_bound=2),
    ]
    judged = judge_spans(guards, span([1, 9]), [span([1, 2])])
    assert [" ".join(line.split()) for line in guard_lines(judged)] == [
        "guard value at least at most",
        "unknown_items 0.5 0.25 FAILED: WARN",
        "row_count_ratio 1 0.5 2 holds",
    ]
    assert str(judged[0]) == "unknown_items 0.5 (at most 0.25)"
    [alone] = judge_spans(guards[:1], span([1]), [])
    assert alone.holds
    assert "nothing to compare with" in guard_lines([alone])[1]


def config(*overrides: str) -> pb.RecommenderConfig:
    return load_config(ROOT / "configs" / "sample_daily.pbtxt", overrides)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("days")
    sample = ROOT / "data" / "sample"
    for index, ratings in enumerate(cut(read_ratings(sample), 8)[:4]):
        write_day(sample, folder, index, ratings)
    with (day_folder(folder, 3) / "ratings.dat").open("a") as file:
        file.write("nobody\n" * 50)
    return folder


def test_the_sample_day_by_day(days: Path) -> None:
    for day in ("2024-03-02", "2024-03-03"):
        judged = judge(config(f"data.span={day}"), str(days))
        assert all(one.holds for one in judged), guard_lines(judged)
    ratio, rejected, unknown, skew = judge(config(), str(days))
    # 4,871 of the day and 50 more, beside 5,253, 4,965 and 5,056.
    assert ratio.value == pytest.approx((4871 + 50) * 3 / (5253 + 4965 + 5056))
    window = config("retrain.guard_spans=0", "data.span_window=2")
    assert judge(window, str(days))[0].value == pytest.approx((4871 + 50) / 5056)
    assert rejected.value == pytest.approx(50 / 4921)
    assert rejected.action == GUARD.STOP
    assert unknown.holds
    assert skew.holds


def test_who_has_what_may_be_shuffled_unseen(days: Path, tmp_path: Path) -> None:
    """Guards look at columns by themselves; the gate is what finds this."""
    sample = ROOT / "data" / "sample"
    ratings = cut(read_ratings(sample), 8)
    write_day(sample, tmp_path, 0, ratings[0])
    write_day(sample, tmp_path, 1, shuffled(ratings[1], seed=1))
    assert all(one.holds for one in judge(config(), str(tmp_path)))


def test_a_day_without_rows_and_one_without_a_good_row(tmp_path: Path) -> None:
    sample = ROOT / "data" / "sample"
    ratings = cut(read_ratings(sample), 8)
    for index in range(4):
        write_day(sample, tmp_path, index, ratings[index])
    newest = day_folder(tmp_path, 3) / "ratings.dat"
    newest.write_text("")
    ratio, rejected, unknown, skew = judge(config(), str(tmp_path))
    assert ratio.value == 0
    assert ratio.action == GUARD.SKIP
    assert all(one.holds for one in (rejected, unknown, skew))
    newest.write_text("nobody\n" * 100)
    ratio, rejected, unknown, skew = judge(config(), str(tmp_path))
    assert rejected.value == 1
    assert rejected.action == GUARD.STOP
    # An empty day before is no reason to fail.
    write_day(sample, tmp_path, 3, ratings[3])
    (day_folder(tmp_path, 2) / "ratings.dat").write_text("")
    ratio, rejected, unknown, skew = judge(config(), str(tmp_path))
    assert ratio.value == pytest.approx(len(ratings[3].user) * 3 / (5253 + 4965))
    assert unknown.value < 0.1


def test_a_day_that_is_missing_before_is_not_needed(tmp_path: Path) -> None:
    sample = ROOT / "data" / "sample"
    ratings = cut(read_ratings(sample), 8)
    for index in (0, 2, 3):
        write_day(sample, tmp_path, index, ratings[index])
    ratio, *_ = judge(config(), str(tmp_path))
    before = len(ratings[0].user) + len(ratings[2].user)
    assert ratio.value == pytest.approx(len(ratings[3].user) * 2 / before)
    # Nor is the one just before it.
    shutil.rmtree(day_folder(tmp_path, 2))
    ratio, *_ = judge(config(), str(tmp_path))
    assert ratio.value == pytest.approx(len(ratings[3].user) / len(ratings[0].user))


def test_data_without_spans_is_refused() -> None:
    plain = config("data.span_folder=")
    with pytest.raises(UserError, match=r"retrain.guards: .* has no spans to compare"):
        judge(plain, str(ROOT / "data" / "sample"))


def test_an_unknown_field_is_refused(days: Path) -> None:
    with pytest.raises(UserError) as error:
        judge(config("retrain.guards.3.measure=drift_price"), str(days))
    assert str(error.value) == (
        "retrain.guards.3.measure: 'drift_price' is not allowed. The activities have "
        "movie_id, movie_rating"
    )


def test_the_pattern_of_the_configuration() -> None:
    assert config().data.span_folder == SPAN_FOLDER
