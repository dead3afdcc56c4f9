"""Which spans are read: patterns, the window, and what is said when one is missing."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.timeline_example_gen import spans
from configs.errors import UserError


def pattern(text: str) -> spans.Pattern:
    return spans.parse_pattern(text, "data.span_folder")


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("span-{SPAN}/log.csv", "span-3/log.csv", (3, 0)),
        ("span-{SPAN}/log.csv", "span-0012/log.csv", (12, 0)),
        ("span-{SPAN}/log.csv", "span-x/log.csv", None),
        ("span-{SPAN}/log.csv", "span-3/more/log.csv", None),
        ("{SPAN}/v{VERSION}/*.csv", "7/v2/a.csv", (7, 2)),
        ("{SPAN}/v{VERSION}/*.csv", "7/v2/a/b.csv", None),
        ("{YYYY}-{MM}-{DD}/log.csv", "2024-03-01/log.csv", (19783, 0)),
        ("{YYYY}/{MM}/{DD}/p?.csv", "1970/01/02/p7.csv", (1, 0)),
        ("a.{SPAN}+(x)", "a.1+(x)", (1, 0)),
        ("a.{SPAN}+(x)", "ab1+(x)", None),
        ("{SPAN}/log-{SPAN}.csv", "4/log-4.csv", (4, 0)),
        ("{SPAN}/log-{SPAN}.csv", "4/log-5.csv", None),
        ("span-{SPAN:2}/log.csv", "span-12/log.csv", (12, 0)),
        ("span-{SPAN:2}/log.csv", "span-3/log.csv", None),
        ("{SPAN}/v{VERSION:3}", "7/v012", (7, 12)),
        ("s-{SPAN:14}", "s-20240301123000", (20240301123000, 0)),
        ("s-{SPAN:14}", "s-2024030112300", None),
    ],
)
def test_names(text: str, name: str, expected: tuple[int, int] | None) -> None:
    assert pattern(text).match(name) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{DAY}/log.csv", r"\{DAY\} in '\{DAY\}/log.csv' is not allowed"),
        ("{YYYY:4}-{MM}-{DD}", r"\{YYYY:4\} in .* is not allowed"),
        ("{DAY:2}/{SPAN}", r"\{DAY:2\} in .* is not allowed"),
        ("{SPAN:0}/log.csv", r"\{SPAN:0\} in .*\{SPAN:2\}"),
        ("{SPAN:}/log.csv", r"\{SPAN:\} in .* is not allowed"),
        ("{SPAN}/v{VERSION:n}", r"\{VERSION:n\} in .* is not allowed"),
        ("{SPAN}/v{VERSION:999}", r"\{VERSION:999\} in .* is not allowed"),
        ("{YYYY-MM-DD}/log.csv", r"\{YYYY-MM-DD\} in .* is not allowed"),
        ("{VERSION}/log.csv", r"Expected \{SPAN\}, or all of \{YYYY\}"),
        ("{YYYY}-{MM}/log.csv", r"Expected \{SPAN\}, or all of \{YYYY\}"),
        ("{SPAN}/{YYYY}-{MM}-{DD}", r"Expected \{SPAN\}, or all of \{YYYY\}"),
    ],
)
def test_patterns_that_tell_no_span(text: str, part: str) -> None:
    with pytest.raises(UserError, match=part):
        pattern(text)


def test_a_date_that_there_is_not() -> None:
    with pytest.raises(UserError, match="2024-02-30 is no date"):
        pattern("{YYYY}-{MM}-{DD}").match("2024-02-30")


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2100, 1, 1)))
def test_dates_are_days_since_1970(day: datetime.date) -> None:
    number = spans.number_of(day.isoformat())
    assert spans.span_text(number, dated=True) == f"{day} ({number})"
    assert pattern("{YYYY}{MM}{DD}").match(day.strftime("%Y%m%d")) == (number, 0)


@pytest.mark.parametrize("text", ["", "newest", "-1", "2024-3-1", "2024-02-30", "1.5"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(UserError, match="Expected a number, a date"):
        spans.number_of(text)


@pytest.mark.parametrize(
    ("name", "span", "size", "told"),
    [
        ("2024-03-01", "999999999", 1, r"span day 999999999 \(999999999\) does not"),
        ("2024-03-01", "9" * 18, 1, "span day 999999999999999999 "),
        ("0001-01-02", "0001-01-01", 2, r"span 0001-01-01 \(-719162\) does not"),
    ],
)
def test_days_of_no_calendar(name: str, span: str, size: int, told: str) -> None:
    with pytest.raises(UserError, match=told):
        spans.select([pattern("{YYYY}-{MM}-{DD}")], [name], span, size)


def test_spans_by_the_second() -> None:
    names = ["20240301123000/log.csv", "20240301123001/log.csv"]
    window = spans.select([pattern("{SPAN}/log.csv")], names, "20240301123001", 2)
    assert window.spans == (20240301123000, 20240301123001)


NAMES = ["1/log.csv", "2/log.csv", "3/log.csv", "3/other.csv", "x/log.csv"]


@pytest.mark.parametrize(
    ("span", "size", "expected"),
    [
        ("latest", 1, {3: ("3/log.csv",)}),
        ("latest", 2, {2: ("2/log.csv",), 3: ("3/log.csv",)}),
        ("2", 2, {1: ("1/log.csv",), 2: ("2/log.csv",)}),
        # There was none before.
        ("2", 3, {1: ("1/log.csv",), 2: ("2/log.csv",)}),
        ("1", 100_000, {1: ("1/log.csv",)}),
    ],
)
def test_the_window_is_the_span_and_those_before_it(
    span: str, size: int, expected: dict[int, tuple[str, ...]]
) -> None:
    window = spans.select([pattern("{SPAN}/log.csv")], NAMES, span, size)
    assert window.files == expected
    assert window.spans == tuple(expected)
    assert window.newest == max(expected)


@pytest.mark.parametrize(
    ("there", "size", "expected"),
    [
        ([1, 2, 3], 2, (2, 3)),
        ([1, 3], 3, (1, 3)),
        ([1, 3, 4], 9, (1, 3, 4)),
        ([1, 3, 5, 9], 3, (3, 5, 9)),
        ([1, 3], 1, (3,)),
        ([3], 9, (3,)),
    ],
)
def test_a_window_that_need_not_be_whole_is_of_those_that_there_are(
    there: list[int], size: int, expected: tuple[int, ...]
) -> None:
    names = [f"{number}/log.csv" for number in there]
    patterns = [pattern("{SPAN}/log.csv")]
    assert spans.select(patterns, names, "latest", size, False).spans == expected
    with pytest.raises(UserError, match="span 99 does not exist"):
        spans.select(patterns, names, "99", size, False)


def test_a_window_that_need_not_be_whole_passes_over_spans_that_are_not() -> None:
    patterns = [pattern("{SPAN}/a.csv"), pattern("{SPAN}/b.csv")]
    names = ["1/a.csv", "1/b.csv", "2/a.csv", "3/a.csv", "3/b.csv"]
    assert spans.select(patterns, names, "latest", 3, False).spans == (1, 3)
    with pytest.raises(UserError, match="span 2 has no file"):
        spans.select(patterns, names, "2", 1, False)


@pytest.mark.parametrize(
    ("names", "span", "size", "parts"),
    [
        (NAMES, "4", 1, ("span 4 does not exist", "There are 1 to 3")),
        (NAMES, "0", 3, ("span 0 does not exist", "There are 1 to 3")),
        (["1/log.csv", "3/log.csv"], "latest", 2, ("span 2 does", "There are 1, 3")),
        (["1/log.csv", "3/log.csv"], "latest", 9, ("window of 9 up to 3 needs",)),
        (["log.csv"], "latest", 1, ("no file is named as {SPAN}/log.csv",)),
    ],
)
def test_missing_spans_and_gaps_name_what_exists(
    names: list[str], span: str, size: int, parts: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as error:
        spans.select([pattern("{SPAN}/log.csv")], names, span, size)
    for part in parts:
        assert part in str(error.value)


def test_missing_dates_are_named_as_dates() -> None:
    names = ["2024-02-28/log.csv", "2024-02-29/log.csv"]
    with pytest.raises(UserError) as error:
        spans.select([pattern("{YYYY}-{MM}-{DD}/log.csv")], names, "2024-03-01", 1)
    assert "span 2024-03-01 (19783) does not exist" in str(error.value)
    assert "There are 2024-02-28 (19781) to 2024-02-29 (19782)" in str(error.value)


def test_the_newest_version_is_taken_of_each_span() -> None:
    names = ["1/v1/a", "1/v10/a", "1/v9/a", "2/v0/a", "2/v0/b"]
    window = spans.select([pattern("{SPAN}/v{VERSION}/*")], names, "latest", 2)
    assert window.files == {1: ("1/v10/a",), 2: ("2/v0/a", "2/v0/b")}
    assert window.versions == {1: 10, 2: 0}


def test_every_pattern_has_files_in_every_span() -> None:
    patterns = [pattern("{SPAN}/views.csv"), pattern("{SPAN}/buys.csv")]
    names = ["1/views.csv", "1/buys.csv", "2/views.csv"]
    assert spans.select(patterns, names, "1", 1).files == {
        1: ("1/views.csv", "1/buys.csv")
    }
    with pytest.raises(UserError, match=r"span 2 has no file \{SPAN\}/buys.csv"):
        spans.select(patterns, names, "latest", 1)


def test_numbers_and_dates_do_not_go_together() -> None:
    patterns = [pattern("{SPAN}/a"), pattern("{YYYY}{MM}{DD}/a")]
    with pytest.raises(UserError, match="count spans differently"):
        spans.select(patterns, ["1/a"], "latest", 1)


def test_of_many_ranges_the_newest_are_shown() -> None:
    text = spans.ranges_text(range(0, 60, 2), dated=False)
    assert text.startswith("…, 40, ") and text.endswith(", 58")
