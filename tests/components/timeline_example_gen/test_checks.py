"""Refusals in one line: what they name, and where their borders are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from components.timeline_example_gen import checks
from components.timeline_example_gen.lookups import Lookup
from components.timeline_example_gen.sources.source import RowCount, Sample
from configs import recommender_pb2 as pb
from configs.errors import UserError


def count_of(rows: int, **rejected: int) -> RowCount:
    count = RowCount(rows=rows)
    for line, (reason, number) in enumerate(rejected.items(), 2):
        count.reject(reason, number, [Sample(line, "a,b")])
    return count


@pytest.mark.parametrize("percent", range(0, 101))
def test_the_share_allowed_is_allowed_and_no_row_more(percent: int) -> None:
    # As users write it, and not as percent / 100, which is the nearest number anyway.
    allowed = float(f"0.{percent:02d}") if percent < 100 else 1.0
    checks.check_rejected("log", count_of(1000, bad=10 * percent), allowed)
    checks.check_rejected("log", count_of(100, bad=percent), allowed)
    if percent < 100:
        with pytest.raises(UserError, match=r"^log: line 2: bad: 'a,b'; "):
            checks.check_rejected("log", count_of(1000, bad=10 * percent + 1), allowed)


def test_all_reasons_are_told_the_most_frequent_first() -> None:
    count = count_of(10, odd=1, worse=3, bad=2)
    with pytest.raises(UserError) as caught:
        checks.check_rejected("log.csv", count, 0.5)
    assert str(caught.value) == (
        "log.csv: line 3: worse: 'a,b'; 6 of 10 rows cannot be used (60.00%), others "
        "since bad (2), odd (1), data.max_rejected_fraction allows 0.5"
    )


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (count_of(0), "items.csv: no row to be read"),
        (count_of(2, bad=2), "items.csv: line 2: bad: 'a,b'; 2 of 2 rows cannot be "),
    ],
)
def test_a_table_must_have_a_row(count: RowCount, message: str) -> None:
    nothing = Lookup(keys=pa.array([], pa.int64()), fields={}, titles=None)
    with pytest.raises(UserError) as caught:
        checks.check_table("items.csv", count, nothing, 1.0)
    assert str(caught.value).startswith(message)


def test_logs_must_have_an_activity() -> None:
    filtered = {"activities_below_min_rating": 0, "activities_of_other_types": 0}
    files = {"a.csv": count_of(0), "b.csv": count_of(3, bad=1, worse=2)}
    with pytest.raises(UserError, match=r"b\.csv: line 3: worse: .*3 of 3 rows"):
        checks.check_activities(pb.RecommenderConfig(), files, 0, filtered)
    with pytest.raises(UserError, match=r"^a\.csv: no activity to be read"):
        checks.check_activities(
            pb.RecommenderConfig(), {"a.csv": count_of(0)}, 0, filtered
        )


@pytest.mark.parametrize(
    ("form", "last", "refused"),
    [
        (pb.EPOCH_MILLISECONDS, 1_700_000_000 // 1000, True),
        (pb.EPOCH_MILLISECONDS, 4_102_444_799 // 1000, True),
        (pb.EPOCH_MILLISECONDS, 1_700_000_000, False),
        (pb.EPOCH_MILLISECONDS, 99_999, False),
        (pb.EPOCH_SECONDS, 1_700_000, False),
        (pb.ISO_8601, 1_700_000, False),
    ],
)
def test_seconds_are_not_read_as_milliseconds(
    form: int, last: int, refused: bool
) -> None:
    files = pb.FilesConfig(timestamp_format=form)
    config = pb.RecommenderConfig(data=pb.DataConfig(files=files))
    if refused:
        with pytest.raises(UserError, match=r"^data\.files\.timestamp_format: EPOCH_M"):
            checks.check_times(config, last)
    else:
        checks.check_times(config, last)
