"""What the device derives from a history equals what the examples say."""

from __future__ import annotations

import datetime
import math
import zoneinfo
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec_device.features import (
    History,
    InputSpec,
    Item,
    RequestError,
    catalogue_key,
    item_id_type,
    tensors_from_example,
    tensors_from_history,
)

GENRES = {
    "50": ["Action", "Sci-Fi"],
    "172": ["Action"],
    "181": ["Action", "Romance", "Sci-Fi"],
    "7": ["Drama", "Western"],
    "9": [],
}
YEARS = {"50": 1977, "172": 1980, "181": 1983, "7": 1995, "9": 0}
ITEMS = {
    key: Item(i, key, f"Movie {key}", {"genre": GENRES[key], "year": [YEARS[key]]})
    for i, key in enumerate(GENRES, 2)
}
VOCABULARIES = {
    "movie_id": {b"50": 2, b"172": 3, b"181": 4, b"7": 5, b"9": 6},
    "genre": {b"Action": 2, b"Sci-Fi": 3, b"Drama": 4, b"Romance": 5},
    "year": {b"1977": 2, b"1983": 3, b"0": 4},
    "word": {b"writer": 2, "caf\u00e9".encode(): 3},
    "device": {b"phone": 2, b"tv": 3},
    "floor": {b"0": 2, b"12": 3},
    "weekday": {b"7": 2, b"6": 3, b"1": 4},
    "hour": {b"23": 2, b"0": 3},
}


def spec(name: str, length: int, source: str, kind: str, **values: Any) -> InputSpec:
    role = {"user": "user", "seen": "seen"}.get(source, "context")
    defaults: dict[str, Any] = {
        "name": name,
        "dtype": "float32" if kind == "FLOAT" else "int32",
        "length": length,
        "role": role,
        "field": name.split("_", 1)[1],
        "source": source,
        "feature_type": kind,
        "multi_valued": False,
        "vocabulary": None,
        "vocab_size": 0,
    }
    return InputSpec(**defaults | values)


IDS = spec("context_movie_id", 3, "item_id", "INT", vocabulary="movie_id")
RATINGS = spec("context_rating", 3, "value", "FLOAT")
TIMES = spec("context_timestamp", 3, "timestamp", "FLOAT")
GENRE = spec(
    "context_genre", 4, "item", "STRING", vocabulary="genre", multi_valued=True
)
BY_STEP = spec(
    "context_genre",
    6,
    "item",
    "STRING",
    vocabulary="genre",
    multi_valued=True,
    values_per_step=2,
)
GAP = spec("context_gap", 3, "gap", "FLOAT")
YEAR = spec("context_year", 2, "item", "INT", vocabulary="year")
RAW_YEAR = spec("context_year", 3, "item", "INT", vocab_size=2001)
SEEN = spec("seen_movie_id", 5, "seen", "INT", vocabulary="movie_id")
AGE = spec("user_age", 1, "user", "FLOAT")
STARS = spec("context_rating", 3, "value", "INT", vocab_size=6)
WORD = spec("user_word", 1, "user", "STRING", vocabulary="word")
DEVICE = spec("context_device", 3, "activity", "STRING", vocabulary="device")
FLOOR = spec("context_floor", 3, "activity", "INT", vocabulary="floor")
RAW_FLOOR = spec("context_floor", 3, "activity", "INT", vocab_size=13)
VOLUME = spec("context_volume", 3, "activity", "FLOAT")
WEEKDAY = spec("context_weekday", 3, "weekday", "STRING", vocabulary="weekday")
HOUR = spec("context_hour", 3, "hour", "FLOAT", timezone="Europe/Berlin")
TAGS = spec("user_word", 3, "user", "STRING", vocabulary="word", multi_valued=True)


def derive(inputs: list[InputSpec], items: list[Any], **history: Any) -> dict[str, Any]:
    tensors = tensors_from_history(
        inputs, ITEMS, VOCABULARIES, 3, History(items=items, **history)
    )
    for one in inputs:
        assert tensors[one.name].shape == (1, one.length)
        assert tensors[one.name].dtype == one.dtype
    return {name: tensor[0].tolist() for name, tensor in tensors.items()}


def test_padding_stands_at_the_end():
    assert derive([IDS, GENRE, YEAR], [50, 172]) == {
        "context_movie_id": [2, 3, 0],
        "context_genre": [2, 3, 2, 0],
        "context_year": [2, 1],
    }


def test_the_newest_steps_survive():
    history = [9, 7, 50, 172, 181]
    assert derive([IDS, YEAR], history) == {
        "context_movie_id": [2, 3, 4],
        "context_year": [1, 3],
    }


def test_the_newest_values_of_a_step_that_is_cut_survive():
    # Drama, Western | Action, Sci-Fi | Action, Romance, Sci-Fi: the last four.
    assert derive([GENRE], [7, 50, 181])["context_genre"] == [3, 2, 5, 3]


def test_steps_before_the_context_give_no_values():
    assert derive([GENRE], [181, 9, 9, 172])["context_genre"] == [2, 0, 0, 0]


def test_values_of_a_step_stay_with_it():
    assert derive([IDS, BY_STEP], [181, 9, 172]) == {
        "context_movie_id": [4, 6, 3],
        # Of Action, Romance and Sci-Fi the first two; nothing; Action.
        "context_genre": [2, 5, 0, 0, 2, 0],
    }
    assert derive([BY_STEP], [99])["context_genre"] == [0] * 6


def test_where_fewer_steps_fit_the_newest_survive():
    short = spec(
        "context_genre",
        4,
        "item",
        "STRING",
        vocabulary="genre",
        multi_valued=True,
        values_per_step=2,
    )
    history = [181, 50, 172]
    assert derive([short], history)["context_genre"] == [2, 3, 2, 0]


@pytest.mark.parametrize(
    ("times", "gaps"),
    [
        ([100], [0, 0, 0]),
        ([100, 100, 160], [0, 0, 60]),
        # The first of the steps has one before it, too.
        ([100, 130, 131, 2**31], [30, 1, 2**31 - 131]),
        ([100, None, 160], [0, 0, 60]),
        ([None, 160, None, 190], [0, 0, 30]),
        ([None, None], [0, 0, 0]),
    ],
)
def test_gaps_are_counted_from_the_last_known_time(times, gaps):
    found = derive([GAP], [50] * len(times), timestamps=times)["context_gap"]
    assert found == [float(np.float32(gap)) for gap in gaps]


def test_an_empty_history_is_all_padding():
    inputs = [IDS, RATINGS, GENRE, YEAR, SEEN, GAP]
    for values in derive(inputs, [], ratings=[]).values():
        assert set(values) == {0}


def test_ids_are_taken_as_numbers_or_text():
    for history in ([50, 181], ["50", "181"], [b"50", np.int64(181)], ["050", " 181"]):
        assert derive([IDS], history)["context_movie_id"] == [2, 4, 0]


def test_an_array_is_a_history_too():
    ratings = np.array([1.5, 2.5], np.float32)
    assert derive([IDS, RATINGS], np.array([50, 181]), ratings=ratings) == {
        "context_movie_id": [2, 4, 0],
        "context_rating": [1.5, 2.5, 0.0],
    }


def test_an_unknown_item_is_out_of_vocabulary_and_has_no_features():
    assert derive([IDS, GENRE, RAW_YEAR, SEEN], [99], seen=[99]) == {
        "context_movie_id": [1, 0, 0],
        "context_genre": [0, 0, 0, 0],
        "context_year": [0, 0, 0],
        "seen_movie_id": [1, 0, 0, 0, 0],
    }


def test_a_number_that_an_item_lacks_is_looked_up_as_0():
    # As in the examples, where a year that is not known is 0.
    assert derive([YEAR], [99, 9])["context_year"] == [4, 4]
    assert derive([YEAR], [172])["context_year"] == [1, 0]


def test_ratings_and_times_go_with_their_steps():
    tensors = derive(
        [RATINGS, TIMES],
        [9, 7, 50, 172],
        ratings=[1, None, 4.5, 5],
        timestamps=[10, 20, 20, 30],
    )
    assert tensors == {
        "context_rating": [0.0, 4.5, 5.0],
        "context_timestamp": [20.0, 20.0, 30.0],
    }


def test_ratings_may_be_words_or_ids():
    vocabularies = {"stars": {b"4": 2, b"4.5": 3}}
    text = spec("context_rating", 3, "value", "STRING", vocabulary="stars")
    whole = spec("context_rating", 3, "value", "INT", vocab_size=6)
    history = History(items=[50, 7, 9], ratings=[4, 4.5, None])

    def tensor(one: InputSpec) -> list[int]:
        tensors = tensors_from_history([one], ITEMS, vocabularies, 3, history)
        return tensors["context_rating"][0].tolist()

    assert tensor(text) == [2, 3, 1]
    assert tensor(whole) == [4, 4, 0]


def test_without_ratings_all_are_unknown():
    assert derive([RATINGS], [9, 7])["context_rating"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"age": 31, "word": "writer"}, ([31.0], [2])),
        ({"age": "31.5", "word": "caf\u00e9"}, ([31.5], [3])),
        ({"age": None, "word": None}, ([0.0], [1])),
        ({"age": 1, "word": "pilot", "zip": "1234"}, ([1.0], [1])),
        ({"age": 1, "word": "\udcff"}, ([1.0], [1])),
    ],
)
def test_user_features(user, expected):
    tensors = derive([AGE, WORD], [50], user=user)
    assert (tensors["user_age"], tensors["user_word"]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["writer", "pilot"], [2, 1, 0]),
        ("writer", [2, 0, 0]),
        (None, [0, 0, 0]),
        ([], [0, 0, 0]),
        (["pilot", "pilot", "pilot", "writer"], [1, 1, 2]),
    ],
)
def test_user_features_of_several_values(value, expected):
    assert derive([TAGS], [50], user={"word": value})["user_word"] == expected


def test_seen_items_are_the_newest_ones():
    seen = [181, 9, 7, 50, 172, 50]
    assert derive([SEEN], [50], seen=seen)["seen_movie_id"] == [6, 5, 2, 3, 2]


def test_unless_told_the_history_is_what_was_seen():
    assert derive([SEEN], [9, 50, 7, 181])["seen_movie_id"] == [6, 2, 5, 4, 0]
    assert derive([SEEN], [9, 50], seen=[])["seen_movie_id"] == [0] * 5


@pytest.mark.parametrize(
    ("one", "values", "expected"),
    [
        (DEVICE, ["tv", "phone"], [3, 2, 0]),
        (DEVICE, [b"tv", None], [3, 1, 0]),
        (DEVICE, np.array(["radio", "tv"]), [1, 3, 0]),
        (DEVICE, ("\udcff", 12), [1, 1, 0]),
        (FLOOR, [12, 3], [3, 1, 0]),
        (FLOOR, ["12", None], [3, 2, 0]),
        (FLOOR, np.array([0, 12]), [2, 3, 0]),
        (RAW_FLOOR, [12, None], [12, 0, 0]),
        (RAW_FLOOR, ["1", 0], [1, 0, 0]),
        (VOLUME, [0.5, None], [0.5, 0.0, 0.0]),
        (VOLUME, ["0.25", 3], [0.25, 3.0, 0.0]),
        (VOLUME, np.array([1.5, 2.5], np.float32), [1.5, 2.5, 0.0]),
    ],
)
def test_features_of_activities(one, values, expected):
    activities = {one.field: values, "place": "not looked at"}
    tensors = derive([one], [50, 7], activities=activities)
    assert tensors == {one.name: expected}


def test_activities_go_with_their_steps():
    short = spec("context_device", 2, "activity", "STRING", vocabulary="device")
    activities = {"device": ["radio", "phone", "tv", None], "volume": [1, 2, 3, 4]}
    assert derive([short, VOLUME], [9, 7, 50, 172], activities=activities) == {
        "context_device": [3, 1],
        "context_volume": [2.0, 3.0, 4.0],
    }


# Sunday, 2024-03-31, in Berlin: half past midnight, Saturday in UTC; an hour before
# clocks are set forward; the moment that they are.
SUNDAY = [1_711_841_400, 1_711_843_200, 1_711_846_800]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (WEEKDAY, [3, 2, 2]),
        (HOUR, [0.0, 1.0, 3.0]),
        (spec("context_hour", 2, "hour", "INT", vocab_size=24), [0, 1]),
        (spec("context_hour", 3, "hour", "STRING", vocabulary="hour"), [2, 3, 1]),
        (spec("context_hour", 3, "hour", "INT", vocabulary="hour"), [2, 3, 1]),
        (spec("context_day", 3, "weekday", "FLOAT"), [6.0, 7.0, 7.0]),
        (
            spec("context_day", 3, "weekday", "INT", vocab_size=8, timezone="UTC"),
            [6, 7, 7],
        ),
        (
            spec("context_d", 3, "weekday", "INT", vocab_size=8, timezone="Asia/Tokyo"),
            [7, 7, 7],
        ),
    ],
)
def test_weekdays_and_hours_are_of_the_local_time(one, expected):
    tensors = derive([one], [9, 50, 7, 172], timestamps=[0, *SUNDAY])
    assert tensors == {one.name: expected}


def test_an_unknown_time_has_neither_weekday_nor_hour():
    inputs = [WEEKDAY, HOUR, TIMES]
    assert derive(inputs, [50, 7], timestamps=[None, SUNDAY[2]]) == {
        "context_weekday": [1, 2, 0],
        "context_hour": [0.0, 3.0, 0.0],
        "context_timestamp": [0.0, float(np.float32(SUNDAY[2])), 0.0],
    }
    assert derive(inputs, [50], timestamps=[None])["context_weekday"] == [1, 0, 0]


def test_an_empty_history_needs_neither_times_nor_activities():
    assert derive([DEVICE, WEEKDAY, HOUR, GAP], []) == {
        "context_device": [0, 0, 0],
        "context_weekday": [0, 0, 0],
        "context_hour": [0.0, 0.0, 0.0],
        "context_gap": [0.0, 0.0, 0.0],
    }


RAW_IDS = spec("context_movie_id", 3, "item_id", "INT", vocab_size=182)


def test_without_a_vocabulary_values_are_ids():
    assert derive([RAW_IDS, RAW_YEAR], [50, 9, 181]) == {
        "context_movie_id": [50, 9, 181],
        "context_year": [1977, 0, 1983],
    }


def test_a_catalogue_value_that_the_model_has_no_row_for_is_padding():
    old = spec("context_year", 3, "item", "INT", vocab_size=1980)
    assert derive([old], [50, 172, 181]) == {"context_year": [1977, 0, 0]}


@pytest.mark.parametrize("value", [0, 182, -1, 2**40])
def test_raw_ids_outside_the_table_are_refused(value):
    with pytest.raises(RequestError, match=f"context_movie_id: {value} .* 1 to 181"):
        derive([RAW_IDS], [50, value])


@pytest.mark.parametrize(
    ("inputs", "history", "message"),
    [
        ([IDS], {"items": "50"}, "history: '50' is not allowed. Expected a list"),
        ([IDS], {"items": ["x"]}, "an item id: 'x' is not allowed. Expected a whole"),
        ([IDS], {"items": [5.5]}, "an item id: 5.5 is not allowed. Expected a whole"),
        ([IDS], {"items": [50], "ratings": []}, "0 ratings for 1 items"),
        ([IDS], {"items": [50], "timestamps": [1, 2]}, "2 timestamps for 1 items"),
        ([IDS], {"items": [50, 7], "timestamps": [2, 1]}, "timestamps: 1 after 2"),
        ([RATINGS], {"items": [50], "ratings": ["good"]}, "context_rating: 'good'"),
        ([RATINGS], {"items": [50], "ratings": [math.nan]}, "context_rating: nan is"),
        ([STARS], {"items": [50], "ratings": ["inf"]}, "context_rating: 'inf' is not"),
        ([STARS], {"items": [50], "ratings": [math.nan]}, "context_rating: nan is"),
        ([AGE], {"items": [50], "user": {"age": "-inf"}}, "user_age: '-inf' is not"),
        ([AGE], {"items": [50], "user": {"age": 1e39}}, r"user_age: 1e\+39 is not"),
        ([AGE], {"items": [50]}, "user: age is missing, which the model looks at"),
        ([AGE], {"items": [50], "user": {"ages": 3}}, "user: age is missing"),
        ([AGE], {"items": [50], "user": {"age": [1]}}, r"user: age is \[1\]"),
        ([AGE], {"items": [50], "user": {"age": "old"}}, "user_age: 'old' is not"),
        ([AGE], {"items": [50], "user": {"age": 10**400}}, r"user_age: 10+\.\.\.0+ is"),
        ([WORD], {"items": [50], "user": {"word": "\ud800"}}, "Expected whole char"),
        ([IDS], {"items": [10**400]}, r"an item id: 10+\.\.\.0+ is not allowed"),
        ([SEEN], {"items": [50], "seen": "50"}, "seen: '50' is not allowed"),
        ([SEEN], {"items": [], "seen": ["x"]}, "seen_movie_id: 'x' is not allowed"),
        ([IDS], {"items": [50], "ratings": 5}, "ratings: 5 is not allowed. Expected a"),
        (
            [DEVICE],
            {"items": [50]},
            r"activities: device is missing, which the model looks at\. Expected a "
            r"value for each item, or None \(not known\)",
        ),
        (
            [DEVICE],
            {"items": [50], "activities": {"devices": ["tv"]}},
            "device is miss",
        ),
        (
            [DEVICE, VOLUME],
            {"items": [50], "activities": {"device": ["tv"]}},
            "activities: volume is missing",
        ),
        (
            [DEVICE],
            {"items": [50], "activities": {"device": ["tv", "tv"]}},
            "2 values of device for 1 items. Expected one for each",
        ),
        (
            [DEVICE],
            {"items": [], "activities": {"device": ["tv"]}},
            "1 values of device for 0 items",
        ),
        (
            [DEVICE],
            {"items": [50, 7], "activities": {"device": "tv"}},
            "activities: device: 'tv' is not allowed. Expected a list",
        ),
        (
            [DEVICE],
            {"items": [50], "activities": {"device": None}},
            "activities: device: None is not allowed. Expected a list",
        ),
        (
            [DEVICE],
            {"items": [50], "activities": {"device": [["tv"]]}},
            r"activities: device has \['tv'\]. Expected one value for each item",
        ),
        (
            [FLOOR],
            {"items": [50], "activities": {"floor": ["top"]}},
            "context_floor: 'top' is not allowed. Expected a whole number",
        ),
        (
            [FLOOR],
            {"items": [50], "activities": {"floor": [1.5]}},
            "context_floor: 1.5 is not allowed. Expected a whole number",
        ),
        (
            [RAW_FLOOR],
            {"items": [50], "activities": {"floor": [13]}},
            "context_floor: 13 is not allowed. Expected 0 to 12, the ids that",
        ),
        (
            [RAW_FLOOR],
            {"items": [50], "activities": {"floor": [-1]}},
            "context_floor: -1 is not allowed. Expected 0 to 12, the ids that",
        ),
        (
            [VOLUME],
            {"items": [50], "activities": {"volume": ["loud"]}},
            "context_volume: 'loud' is not allowed. Expected a number",
        ),
        (
            [VOLUME],
            {"items": [50], "activities": {"volume": [math.nan]}},
            "context_volume: nan is not allowed. Expected a number",
        ),
        (
            [HOUR],
            {"items": [50]},
            r"timestamps: are missing, of which the model takes the hour\. Expected "
            r"one for each item, or None \(not known\)",
        ),
        ([WEEKDAY], {"items": [50]}, "of which the model takes the weekday"),
        ([GAP], {"items": [50]}, "of which the model takes the gap"),
        (
            [GAP],
            {"items": [50] * 5, "timestamps": [-1, 1, 2, 3, 4]},
            "timestamps: -1 is not allowed. Expected seconds since 1970, before 2100",
        ),
        ([HOUR], {"items": [50], "timestamps": []}, "0 timestamps for 1 items"),
        (
            [HOUR],
            {"items": [50], "timestamps": ["noon"]},
            "timestamps: 'noon' is not allowed. Expected a whole number",
        ),
        (
            [HOUR],
            {"items": [50], "timestamps": [1.5]},
            "timestamps: 1.5 is not allowed",
        ),
        (
            [HOUR],
            {"items": [50], "timestamps": [-1]},
            "timestamps: -1 is not allowed. Expected seconds since 1970, before 2100",
        ),
        (
            [WEEKDAY],
            {"items": [50], "timestamps": [1_700_000_000_000]},
            "timestamps: 1700000000000 is not allowed. Expected seconds since 1970",
        ),
    ],
)
def test_a_request_that_does_not_fit_is_refused(inputs, history, message):
    with pytest.raises(RequestError, match=message) as caught:
        tensors_from_history(inputs, ITEMS, VOCABULARIES, 3, History(**history))
    assert "\n" not in str(caught.value)


def test_ids_of_text_are_taken_as_they_are():
    text = spec("context_movie_id", 3, "item_id", "STRING", vocabulary="movie_id")
    assert item_id_type([text]) == "STRING"
    assert derive([text], ["50", "050", 50])["context_movie_id"] == [2, 1, 2]
    assert catalogue_key(b"caf\xc3\xa9", "STRING") == "caf\u00e9"


# Examples, as the pipeline writes them.

COLUMNS: dict[str, Any] = {
    "context_movie_id": np.array([50, 7, 0], np.int64),
    "context_rating": np.array([4.0, 0.0, 0.0], np.float32),
    "context_genre": np.array([b"Action", b"Sci-Fi", b"Drama", b"Western", b"", b""]),
    "context_genre_length": np.array([4]),
    "context_year": np.array([[1977, 1995]]),
    "context_length": [2],
    "seen_movie_id": np.array([9, 9, 9, 172, 50, 7]),
    "user_age": [31.0],
    "user_word": np.array([b"writer"], object),
    "label_movie_id": [181],
    "context_device": np.array([b"tv", b"", b""], object),
    "context_floor": np.array([12, 0, 0]),
    "context_volume": np.array([0.5, 0.0, 0.0], np.float32),
    "context_weekday": np.array([b"7", b"1", b""], object),
    "context_hour": np.array([23, 0, 0]),
    "context_gap": np.array([7.0, 60.0, 0.0], np.float32),
}
# Three values of each step, the last of three steps is padding.
STEP_COLUMNS: dict[str, Any] = {
    "context_genre": [b"Drama", b"Action", b"?", b"Sci-Fi", *[b""] * 5],
    "context_genre_step_lengths": np.array([3, 1, 0]),
}


def from_example(inputs: list[InputSpec], **changes: Any) -> dict[str, Any]:
    tensors = tensors_from_example(inputs, COLUMNS | changes, VOCABULARIES)
    for one in inputs:
        assert tensors[one.name].shape == (1, one.length)
        assert tensors[one.name].dtype == one.dtype
    return {name: tensor[0].tolist() for name, tensor in tensors.items()}


def test_an_example_becomes_tensors():
    assert from_example([IDS, RATINGS, GENRE, YEAR, SEEN, AGE, WORD]) == {
        "context_movie_id": [2, 5, 0],
        "context_rating": [4.0, 0.0, 0.0],
        "context_genre": [2, 3, 4, 1],
        "context_year": [2, 1],
        "seen_movie_id": [6, 6, 3, 2, 5],
        "user_age": [31.0],
        "user_word": [2],
    }


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (DEVICE, [3, 1, 0]),
        (spec("context_device", 1, "activity", "STRING", vocabulary="device"), [1]),
        (FLOOR, [3, 2, 0]),
        (RAW_FLOOR, [12, 0, 0]),
        (spec("context_floor", 3, "activity", "INT", vocab_size=12), [0, 0, 0]),
        (VOLUME, [0.5, 0.0, 0.0]),
        (WEEKDAY, [2, 4, 0]),
        (spec("context_weekday", 1, "weekday", "STRING", vocabulary="weekday"), [4]),
        (HOUR, [23.0, 0.0, 0.0]),
        (GAP, [7.0, 60.0, 0.0]),
        (spec("context_hour", 3, "hour", "INT", vocabulary="hour"), [2, 3, 0]),
        (spec("context_hour", 3, "hour", "INT", vocab_size=24), [23, 0, 0]),
    ],
)
def test_columns_of_activities_are_one_value_a_step(one, expected):
    assert from_example([one]) == {one.name: expected}


@pytest.mark.parametrize(
    ("length", "per_step", "expected"),
    [
        (6, 2, [4, 2, 3, 0, 0, 0]),
        (6, 3, [4, 2, 1, 3, 0, 0]),
        (2, 2, [3, 0]),
        (8, 4, [4, 2, 1, 0, 3, 0, 0, 0]),
    ],
)
def test_an_example_has_values_of_each_step(length, per_step, expected):
    one = spec(
        "context_genre",
        length,
        "item",
        "STRING",
        vocabulary="genre",
        multi_valued=True,
        values_per_step=per_step,
    )
    assert from_example([one], **STEP_COLUMNS)["context_genre"] == expected


def test_the_lengths_of_steps_must_be_there():
    with pytest.raises(RequestError, match="no column context_genre_step_lengths"):
        from_example([BY_STEP])


def test_padding_is_told_by_the_length_not_by_the_value():
    changes = {"context_movie_id": [0, 50, 0], "context_length": [2]}
    assert from_example([IDS], **changes)["context_movie_id"] == [1, 2, 0]


def test_a_bundle_of_a_shorter_context_takes_the_newest_steps():
    short = spec("context_movie_id", 1, "item_id", "INT", vocabulary="movie_id")
    assert from_example([short])["context_movie_id"] == [5]


def test_a_raw_id_that_an_old_model_does_not_have_is_padding():
    old = spec("context_movie_id", 3, "item_id", "INT", vocab_size=50)
    assert from_example([old])["context_movie_id"] == [0, 7, 0]


def test_an_empty_seen_list_is_padding():
    assert from_example([SEEN], seen_movie_id=[])["seen_movie_id"] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("column", "inputs"),
    [
        ("context_movie_id", [IDS]),
        ("context_length", [IDS]),
        ("context_genre_length", [GENRE]),
    ],
)
def test_a_column_that_an_example_lacks_is_named(column, inputs):
    columns = {key: value for key, value in COLUMNS.items() if key != column}
    with pytest.raises(RequestError, match=f"the example has no column {column}, "):
        tensors_from_example(inputs, columns, VOCABULARIES)


UNKNOWN = ["99", "123"]
STEP = st.tuples(
    st.sampled_from([*GENRES, *UNKNOWN]),
    st.floats(0, 5, width=32, allow_nan=False, allow_subnormal=False),
)


@given(
    steps=st.lists(STEP, max_size=12),
    max_context_length=st.integers(1, 6),
    genre_length=st.integers(1, 8),
    year_length=st.integers(1, 6),
    seen_length=st.integers(1, 8),
    per_step=st.none() | st.integers(1, 4),
)
def test_a_history_gives_what_its_example_gives(
    steps, max_context_length, genre_length, year_length, seen_length, per_step
):
    """The example is made here step by step, padded and cut as the examples are."""
    context = steps[-max_context_length:]
    year_length = min(year_length, max_context_length)

    def padded(values: list[Any], length: int, padding: Any) -> list[Any]:
        return values[-length:] + [padding] * max(0, length - len(values))

    genres = [g.encode() for key, _ in context for g in GENRES.get(key, [])]
    years = [YEARS.get(key, 0) for key, _ in context]
    length = max_context_length
    columns = {
        "context_movie_id": padded([int(key) for key, _ in context], length, 0),
        "context_rating": padded([rating for _, rating in context], length, 0.0),
        "context_genre": padded(genres, genre_length, b""),
        "context_genre_length": [min(len(genres), genre_length)],
        "context_year": padded(years, year_length, 0),
        "context_length": [len(context)],
        "seen_movie_id": [int(key) for key, _ in steps],
    }
    if per_step is not None:
        genre_length = year_length * per_step
        by_step = [
            [g.encode() for g in GENRES.get(key, [])][:per_step] for key, _ in context
        ][-year_length:]
        columns["context_genre"] = padded(
            [g for own in by_step for g in padded(own, per_step, b"")],
            genre_length,
            b"",
        )
        lengths = [len(own) for own in by_step]
        columns["context_genre_step_lengths"] = padded(lengths, year_length, 0)
    inputs = [
        spec("context_movie_id", length, "item_id", "INT", vocabulary="movie_id"),
        spec("context_rating", length, "value", "FLOAT"),
        spec(
            "context_genre",
            genre_length,
            "item",
            "STRING",
            vocabulary="genre",
            multi_valued=True,
            values_per_step=per_step or 0,
        ),
        spec("context_year", year_length, "item", "INT", vocabulary="year"),
        spec("seen_movie_id", seen_length, "seen", "INT", vocabulary="movie_id"),
    ]
    history = History(
        items=[key for key, _ in steps],
        ratings=[rating for _, rating in steps],
        seen=[key for key, _ in steps],
    )
    from_columns = tensors_from_example(inputs, columns, VOCABULARIES)
    derived = tensors_from_history(inputs, ITEMS, VOCABULARIES, length, history)
    assert list(derived) == list(from_columns)
    for name, tensor in derived.items():
        np.testing.assert_array_equal(tensor, from_columns[name], err_msg=name)


@given(
    history=st.lists(st.sampled_from([*GENRES, *UNKNOWN]), max_size=8),
    older=st.lists(st.sampled_from([*GENRES, *UNKNOWN]), max_size=4),
)
def test_what_is_older_than_the_context_does_not_matter(history, older):
    inputs = [IDS, GENRE, YEAR]
    context = history[-3:]
    if len(context) == 3:
        assert derive(inputs, older + context) == derive(inputs, context)


@given(history=st.lists(st.sampled_from([*GENRES, *UNKNOWN]), max_size=8))
def test_padding_follows_the_values_and_never_stands_between(history):
    tensors = derive([IDS, GENRE], history)
    for values in tensors.values():
        real = [value for value in values if value != 0]
        assert values == real + [0] * (len(values) - len(real))


ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia")
ACTIVITY = st.tuples(
    st.integers(0, 4_102_444_799),
    st.sampled_from(["phone", "tv", "radio", None]),
    st.sampled_from([0, 12, 7, None]),
    st.none() | st.floats(0, 1, width=32, allow_nan=False, allow_subnormal=False),
)


@given(
    steps=st.lists(ACTIVITY, max_size=8).map(lambda s: sorted(s, key=lambda x: x[0])),
    max_context_length=st.integers(1, 6),
    cut=st.integers(0, 3),
    zone=st.sampled_from(ZONES),
)
def test_activities_give_what_their_example_gives(steps, max_context_length, cut, zone):
    """What is not known stands in the examples as empty text or 0, times as text."""
    context = steps[-max_context_length:]
    short = max(1, max_context_length - cut)
    local = [
        datetime.datetime.fromtimestamp(time, zoneinfo.ZoneInfo(zone))
        for time, *_ in context
    ]

    gaps = [
        float(time - earlier)
        for (earlier, *_), (time, *_) in zip(steps[:1] + steps, steps, strict=False)
    ]

    def padded(values: list[Any], padding: Any) -> list[Any]:
        return values + [padding] * (max_context_length - len(values))

    columns = {
        "context_device": padded([(d or "").encode() for _, d, _, _ in context], b""),
        "context_floor": padded([f or 0 for _, _, f, _ in context], 0),
        "context_volume": padded([v or 0.0 for *_, v in context], 0.0),
        "context_weekday": padded([b"%d" % t.isoweekday() for t in local], b""),
        "context_hour": padded([t.hour for t in local], 0),
        "context_gap": padded(gaps[-max_context_length:], 0.0),
        "context_length": [len(context)],
    }
    times = {"timezone": zone}
    inputs = [
        spec("context_device", short, "activity", "STRING", vocabulary="device"),
        spec("context_floor", short, "activity", "INT", vocabulary="floor"),
        spec("context_volume", max_context_length, "activity", "FLOAT"),
        spec(
            "context_weekday", short, "weekday", "STRING", vocabulary="weekday", **times
        ),
        spec("context_hour", short, "hour", "INT", vocab_size=24, **times),
        spec("context_gap", short, "gap", "FLOAT"),
    ]
    history = History(
        items=["50"] * len(steps),
        timestamps=[time for time, *_ in steps],
        activities={
            "device": [device for _, device, _, _ in steps],
            "floor": [floor for _, _, floor, _ in steps],
            "volume": [volume for *_, volume in steps],
        },
    )
    from_columns = tensors_from_example(inputs, columns, VOCABULARIES)
    derived = tensors_from_history(
        inputs, ITEMS, VOCABULARIES, max_context_length, history
    )
    assert list(derived) == list(from_columns)
    for name, tensor in derived.items():
        np.testing.assert_array_equal(tensor, from_columns[name], err_msg=name)
