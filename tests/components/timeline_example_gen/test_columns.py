from __future__ import annotations

from collections.abc import Callable

import pytest

from components.timeline_example_gen.columns import plan_columns
from components.timeline_example_gen.inputs import Inputs
from components.timeline_example_gen.sources import movielens
from components.timeline_example_gen.sources.derived import with_derived_fields
from components.timeline_example_gen.sources.movielens_dat import MovieLensDat
from configs import recommender_pb2 as pb
from configs.errors import UserError
from configs.features import history_bucket

SOURCE = with_derived_fields(
    MovieLensDat(Inputs(("data/ratings.dat",), {"users.dat": "data/users.dat"})),
    movielens.DERIVED_FIELDS,
    "UTC",
)
MakeConfig = Callable[..., pb.RecommenderConfig]


def _columns(config: pb.RecommenderConfig) -> dict[str, tuple[int, int]]:
    return {s.name: (s.type, s.length) for s in plan_columns(config, SOURCE).specs}


def test_all_fields_get_columns_and_features_tell_type_and_length(
    make_config: MakeConfig,
) -> None:
    assert _columns(make_config()) == {
        "context_movie_id": (pb.INT, 3),
        "context_movie_rating": (pb.FLOAT, 3),
        "context_movie_year": (pb.INT, 3),
        "context_movie_genre": (pb.STRING, 4),
        "label_movie_id": (pb.INT, 1),
        "label_movie_rating": (pb.FLOAT, 1),
        "label_movie_year": (pb.INT, 1),
        "label_movie_genre": (pb.STRING, 4),
        "user_age": (pb.INT, 1),
        "user_gender": (pb.STRING, 1),
        "user_occupation": (pb.INT, 1),
        "user_zip": (pb.STRING, 1),
    }


def test_types_of_features_go_for_all_columns_of_their_field(
    make_config: MakeConfig,
) -> None:
    config = make_config()
    features = config.input.activity_feature_groups[0].features
    features.add(feature_name="context_movie_year", feature_length=3, embedding_dim=2)
    config.input.global_feature_groups.add().features.add(
        feature_name="user_age", feature_type=pb.FLOAT
    )
    columns = _columns(config)
    assert columns["context_movie_year"] == (pb.STRING, 3)
    assert columns["label_movie_year"] == (pb.STRING, 1)
    assert columns["user_age"] == (pb.FLOAT, 1)


def test_lengths_of_columns_without_a_feature(make_config: MakeConfig) -> None:
    config = make_config(max_context_length=5)
    del config.input.activity_feature_groups[1]
    config.data.max_feature_lengths.add(feature_name="context_movie_year", length=2)
    columns = _columns(config)
    assert columns["context_movie_id"][1] == 3
    assert columns["context_movie_year"][1] == 2
    assert columns["context_movie_genre"][1] == 15
    config.data.max_context_movie_genre_length = 7
    assert _columns(config)["context_movie_genre"][1] == 7


def test_an_aligned_column_has_slots_for_every_step(
    make_config: MakeConfig,
) -> None:
    config = make_config()
    [genre] = config.input.activity_feature_groups[1].features
    genre.feature_length, genre.values_per_step = 2, 5
    plan = plan_columns(config, SOURCE)
    specs = {spec.name: spec for spec in plan.specs}
    assert specs["context_movie_genre"].length == 10
    assert specs["context_movie_genre"].steps == 2
    assert specs["context_movie_genre"].is_aligned
    # Of one activity the label holds what a step does.
    assert specs["label_movie_genre"].length == 5
    assert not specs["label_movie_genre"].is_aligned
    genre.feature_length = 4
    with pytest.raises(UserError, match=r"length 4 is not .* Expected at most 3"):
        plan_columns(config, SOURCE)


def test_a_field_of_one_value_has_no_slots(make_config: MakeConfig) -> None:
    config = make_config()
    config.input.activity_feature_groups[0].features[0].values_per_step = 2
    with pytest.raises(
        UserError, match=r"feature context_movie_id: values_per_step 2 .* Expected 0"
    ):
        plan_columns(config, SOURCE)


def test_titles_are_columns_only_if_a_feature_names_them(
    make_config: MakeConfig,
) -> None:
    config = make_config()
    config.input.label_item_features.add(feature_name="label_title", embedding_dim=2)
    columns = _columns(config)
    assert columns["label_title"] == (pb.STRING, 1)
    assert "context_title" not in columns


@pytest.mark.parametrize(
    ("name", "group", "message"),
    [
        ("context_movie_mood", "activity", "context_movie_id, context_movie_rating"),
        ("context_age", "activity", "context_movie_id, context_movie_rating"),
        ("user_mood", "global", "user_gender, user_age, user_occupation, user_zip"),
        ("user_movie_genre", "global", "user_gender, user_age"),
    ],
)
def test_a_feature_that_the_data_lacks_is_named(
    make_config: MakeConfig, name: str, group: str, message: str
) -> None:
    config = make_config()
    groups = getattr(config.input, f"{group}_feature_groups")
    groups.add().features.add(feature_name=name, embedding_dim=2)
    with pytest.raises(UserError, match=f"feature {name}: .*{message}"):
        plan_columns(config, SOURCE)


def test_the_value_of_an_activity_is_no_item_feature(make_config: MakeConfig) -> None:
    config = make_config()
    config.input.label_item_features.add(
        feature_name="label_movie_rating", feature_type=pb.FLOAT
    )
    with pytest.raises(UserError, match="feature label_movie_rating: the data"):
        plan_columns(config, SOURCE)


def test_the_label_is_the_items_id(make_config: MakeConfig) -> None:
    config = make_config()
    config.input.label_feature.feature_name = "label_movie_genre"
    with pytest.raises(UserError, match="Expected one of: label_movie_id"):
        plan_columns(config, SOURCE)


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("context_movie_year", 4, "length 4 is not allowed. Expected at most 3"),
        ("label_movie_year", 2, "length 2 is not allowed. Expected 1"),
        ("user_age", 2, "length 2 is not allowed. Expected 1"),
        ("context_mood", 2, "there is no column context_mood"),
        ("context_title", 4, "length 4 is not allowed. Expected at most 3"),
    ],
)
def test_lengths_that_do_not_fit(
    make_config: MakeConfig, name: str, length: int, message: str
) -> None:
    config = make_config()
    config.data.max_feature_lengths.add(feature_name=name, length=length)
    with pytest.raises(UserError, match=message):
        plan_columns(config, SOURCE)


@pytest.mark.parametrize(
    ("position", "bucket"),
    [
        (0, "0"), (1, "1-4"), (4, "1-4"), (5, "5-9"), (99, "50-99"), (100, "100+"),
        (5000, "100+"),
    ],
)  # fmt: skip
def test_history_buckets(position: int, bucket: str) -> None:
    assert history_bucket(position, (5, 10, 20, 50, 100)) == bucket


def test_history_buckets_of_one_length() -> None:
    assert [history_bucket(p, (2, 3)) for p in range(5)] == ["0", "1", "2", "3+", "3+"]
