"""Configurations: read, overridden, refused with the field's path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs import features, loader
from configs import recommender_pb2 as pb
from configs.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs"
READY = sorted(CONFIGS.glob("*.pbtxt"))
ORIGINAL_FORMAT = sorted((Path(__file__).parent / "testdata").glob("*.pbtxt"))

FULL = """
input {
  activity_feature_groups {
    features {
      feature_name: "context_movie_id" feature_type: STRING
      embedding_dim: 8 feature_length: 10
    }
    features { feature_name: "context_movie_rating" feature_type: FLOAT
               feature_length: 10 }
    encoder_type: CNN
  }
  label_feature { feature_name: "label_movie_id" embedding_dim: 8 }
}
eval { bounds { metric: "hr_10_test" lower_bound: 0.1 } }
"""


@pytest.fixture
def config() -> pb.RecommenderConfig:
    return loader.parse_config(FULL)


def refused(config: pb.RecommenderConfig, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        for override in overrides:
            loader.apply_override(config, override)
        loader.validate_config(config)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_attention_shares_its_width_among_heads(config: pb.RecommenderConfig) -> None:
    heads = "model.transformer_num_heads=3"
    loader.apply_override(config, heads)
    loader.validate_config(config)  # No group asks for one.
    group = "input.activity_feature_groups.0.encoder_type=TRANSFORMER"
    message = refused(config, group, heads)
    assert "model.transformer_num_units: 32 is not allowed" in message
    assert "a multiple of model.transformer_num_heads, 3" in message


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_configs_load(path: Path) -> None:
    config = loader.load_config(path)
    assert config.name == path.stem


def test_there_are_ready_configs_for_each_data_set() -> None:
    names = {path.stem for path in READY}
    for data in ("sample", "movielens_100k", "movielens_latest_small", "movielens_1m"):
        assert {data, f"{data}_id_based"} <= names


@pytest.mark.parametrize("path", ORIGINAL_FORMAT, ids=lambda path: path.stem)
def test_the_original_format_loads_with_all_else_by_default(path: Path) -> None:
    config = loader.load_config(path)
    assert config.input.label_feature.vocab_size == 3953
    assert list(config.eval.bounds) == [loader.DEFAULT_BOUND]
    assert config.train.batch_size == 128
    assert features.max_context_length(config) == 10


def test_the_original_format_has_its_features() -> None:
    by_name = {path.stem: loader.load_config(path) for path in ORIGINAL_FORMAT}
    groups = by_name["feature_based_input"].input.activity_feature_groups
    assert [group.encoder_type for group in groups] == [pb.CNN, pb.LSTM]
    assert features.vocabulary_name(groups[1].features[0]) == "movie_genre_vocab"
    assert len(by_name["global_groups_input"].input.global_feature_groups) == 2
    assert not features.vocabularies(by_name["id_only_input"])


def test_numbers_of_the_original_format_stay() -> None:
    numbers = {
        message.DESCRIPTOR.name: {
            field.name: field.number for field in message.DESCRIPTOR.fields
        }
        for message in (pb.InputConfig, pb.FeatureGroup, pb.Feature)
    }
    assert numbers["InputConfig"]["global_feature_groups"] == 1
    assert numbers["InputConfig"]["activity_feature_groups"] == 2
    assert numbers["InputConfig"]["label_feature"] == 3
    assert numbers["FeatureGroup"] == {"features": 1, "encoder_type": 2}
    first_six = {k: v for k, v in numbers["Feature"].items() if v <= 6}
    assert first_six == {
        "feature_name": 1,
        "feature_type": 2,
        "vocab_name": 3,
        "vocab_size": 4,
        "embedding_dim": 5,
        "feature_length": 6,
    }
    assert dict(pb.FeatureType.items()) == {"STRING": 0, "INT": 1, "FLOAT": 2}
    assert {"BOW": 0, "CNN": 1, "LSTM": 2}.items() <= dict(
        pb.EncoderType.items()
    ).items()


def test_text_round_trip(config: pb.RecommenderConfig) -> None:
    assert loader.parse_config(loader.config_to_text(config)) == config


def test_overrides(config: pb.RecommenderConfig) -> None:
    for override in (
        "model.hidden_layer_dims=64,32",
        "train.learning_rate=0.01",
        "train.optimizer=SGD",
        "data.build_vocabs=false",
        "data.vocab_dir=/some/where=x",
        "eval.bounds.0.lower_bound=0.25",
        'eval.bounds={metric: "ndcg_5_test" lower_bound: 0.5}',
        "eval.eval_top_k=5",
        "input.activity_feature_groups.0.encoder_type=LSTM",
    ):
        loader.apply_override(config, override)
    loader.validate_config(config)
    assert list(config.model.hidden_layer_dims) == [64, 32]
    assert config.train.optimizer == pb.SGD
    assert config.data.vocab_dir == "/some/where=x"
    assert [b.metric for b in config.eval.bounds] == ["ndcg_5_test"]
    assert config.input.activity_feature_groups[0].encoder_type == pb.LSTM


def test_an_empty_override_clears_a_list(config: pb.RecommenderConfig) -> None:
    loader.apply_override(config, "model.hidden_layer_dims=64")
    loader.apply_override(config, "model.hidden_layer_dims=")
    assert not config.model.hidden_layer_dims


def test_elements_are_replaced_and_removed(config: pb.RecommenderConfig) -> None:
    groups = config.input.activity_feature_groups
    groups.add().features.add(feature_name="context_movie_genre")
    group = '{features {feature_name: "context_movie_year"} encoder_type: LSTM}'
    loader.apply_override(config, f"input.activity_feature_groups.0={group}")
    names = [[f.feature_name for f in group.features] for group in groups]
    assert names == [["context_movie_year"], ["context_movie_genre"]]
    assert groups[0].encoder_type == pb.LSTM
    loader.apply_override(config, "input.activity_feature_groups.0=")
    assert [g.features[0].feature_name for g in groups] == ["context_movie_genre"]


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.batch_size=0", ("train.batch_size", "0", "1 to 1000000")),
        ("train.batch_size=many", ("train.batch_size", "'many'", "whole number")),
        ("train.learning_rate=nan", ("train.learning_rate", "nan")),
        ("train.optimiser=SGD", ("train.optimiser", "no such field", "optimizer")),
        ("train.optimizer=LION", ("train.optimizer", "'LION'", "ADAGRAD")),
        ("trian.batch_size=3", ("trian", "no such field", "train")),
        ("model.hidden_layer_dims=64,x", ("model.hidden_layer_dims", "'x'")),
        ("model.hidden_layer_dims=64,0", ("model.hidden_layer_dims", "0")),
        ("data.build_vocabs=maybe", ("data.build_vocabs", "'maybe'", "true or false")),
        ("data.build_vocabs=false", ("data.vocab_dir",)),
        ("eval.bounds=", ("eval.bounds", "no absolute bound", "SAVED_MODEL")),
        ("eval.bounds.0.gate=TFLITE", ("eval.bounds", "SAVED_MODEL")),
        ("eval.bounds.0.lower_bound=0", ("eval.bounds", "no absolute bound")),
        (
            "eval.bounds.0={metric: 'hr_10_test' upper_bound: 1}",
            ("eval.bounds", "no absolute bound", "lower_bound above 0"),
        ),
        (
            "eval.bounds.0={metric: 'hr_10_test' lower_bound: 0.9 upper_bound: 0.1}",
            ("eval.bounds.0.lower_bound", "0.9", "at most its upper_bound, 0.1"),
        ),
        (
            "eval.bounds.0.slice_feature=history_length",
            ("eval.bounds", "no absolute bound"),
        ),
        (
            "eval.bounds.0.slice_feature=user_age",
            ("eval.bounds.0.slice_feature", "'user_age'", "history_length"),
        ),
        ("eval.bounds.0.slice_value=x", ("bounds.0.slice_value", "slice_feature")),
        (
            "eval.bounds.0={metric: 'hr_10_test' lower_bound: 0.1 "
            "slice_feature: 'history_length' slice_value: '5-10'}",
            ("slice_value", "5-10", "0, 1-4, 5-9, 10-19, 20-49, 50-99, 100+"),
        ),
        (
            'eval.bounds={metric: "model_bytes" upper_bound: 9 max_regression: 1}',
            ("eval.bounds.0.max_regression", "model_bytes has"),
        ),
        ("eval.bounds.0.metric=overlap_7", ("eval.bounds.0.metric", "overlap_10")),
        (
            'eval.bounds={metric: "latency_p99_ms" upper_bound: 5}',
            ("eval.bounds", "no absolute bound"),
        ),
        (
            'eval.bounds={metric: "model_bytes"}',
            ("eval.bounds.0", "lower_bound, upper_bound"),
        ),
        (
            'eval.bounds={metric: "model_bytes" upper_bound: 9 gate: SAVED_MODEL}',
            ("eval.bounds.0.gate", "TFLITE"),
        ),
        ("eval.bounds.0.metric=accuracy", ("eval.bounds.0.metric", "'accuracy'")),
        ("eval.bounds.0.metric=hr_3_test", ("eval.bounds.0.metric", "[1, 5, 10]")),
        ("eval.bounds.3.metric=x", ("eval.bounds", "1 elements", "3")),
        ("eval.bounds={metrik: 3}", ("eval.bounds", "metrik")),
        ("eval.eval_top_k=500", ("model.num_predictions", "100", "500")),
        ("eval.slice_features=context_x", ("eval.slice_features.0", "label_<field>")),
        ("eval.slice_features=user_id", ("eval.slice_features.0", "fewer values")),
        ("eval.slice_features=label_timestamp", ("slice_features.0", "fewer values")),
        ("eval.slice_features=label_movie_id", ("slice_features.0", "fewer values")),
        ("eval.slice_features=user_age,user_age", ("slice_features.1", "once")),
        ("data.train_end=5", ("data.train_end", "TEMPORAL")),
        ("data.source=CSV", ("data.files",)),
        ("data.span=newest", ("data.span", "'newest'", "latest")),
        ("data.span_window=0", ("data.span_window", "0", "1 to")),
        ("data.timezone=Mars", ("data.timezone", "'Mars'", "Europe/Berlin")),
        ("data.max_timeline_length=2", ("data.max_timeline_length", "2", "at least")),
        ("data.activity_types=buy", ("data.files.activity_type_column", "activity_t")),
        ("data.derived_fields={}", ("data.derived_fields.0.field", "name")),
        (
            'data.derived_fields={field: "y"}',
            ("data.derived_fields.0.from_field", "YEAR_IN_TEXT"),
        ),
        (
            'data.derived_fields={field: "h" derivation: HOUR from_field: "t"}',
            ("data.derived_fields.0.from_field", "'t'", "none"),
        ),
        *(
            (
                f"data.files.delimiter={delimiter}",
                ("data.files.delimiter", "one character of ASCII"),
            )
            for delimiter in ("::", "§", '"', "\n", "\r", "\0")
        ),
        *(
            (f"data.{field}={name}", (f"data.{field}", "below the data folder"))
            for field, name in (
                ("files.activities_files", "/data/log.csv"),
                ("files.activities_files", "a/../../log.csv"),
                ("files.activities_files", "gs://bucket/log.csv"),
                ("files.items_file", "../items.csv"),
                ("files.users_file", "/users.csv"),
                ("files.users_file", "a//../../users.csv"),
                ("span_folder", "../{SPAN}"),
                ("span_folder", "/data/{SPAN}"),
            )
        ),
        *(
            (
                f"data.files.{what}_column=",
                (f"data.files.{what}_column", "the name of a column"),
            )
            for what in ("user", "item", "timestamp")
        ),
        (
            'data.files.item_fields={column: "a"}',
            ("data.files.items_file", "item_fields"),
        ),
        (
            'data.files.user_fields={column: "a"}',
            ("data.files.users_file", "user_fields"),
        ),
        ("data.files.title_column=t", ("data.files.items_file", "title_column")),
        (
            'data.files.activity_fields={field: "a"}',
            ("data.files.activity_fields.0.column",),
        ),
        (
            'data.files.activity_fields={column: "a" separator: "|"}',
            ("data.files.activity_fields.0.separator", "one value"),
        ),
        ("name=../x", ("name", "'../x'")),
        ("train", ("path.to.field=value", "'train'")),
        ("train.batch_size.x=3", ("train.batch_size", "no fields")),
        ("eval.bounds.1=", ("eval.bounds has 1 elements", "Received: 1")),
        ("eval.bounds.0={k: 1}", ("eval.bounds.0", '"k"')),
        ("eval.bounds.0={} bounds {}", ("eval.bounds.0", "one message")),
    ],
)
def test_wrong_values_are_refused_by_path(
    config: pb.RecommenderConfig, override: str, parts: tuple[str, ...]
) -> None:
    message = refused(config, override)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("feature_length: 10 }", "feature_length: 9 }", ("one feature_length",)),
        ('"context_movie_id"', '"movie_id"', ("features.0.feature_name", "'movie_id'")),
        ('"context_movie_id"', '"user_id"', ("context_<field> in an activity group",)),
        ('"label_movie_id"', '"context_x"', ("label_feature", "label_<field>")),
        ("embedding_dim: 8 feature", "feature", ("features.0.embedding_dim",)),
        (
            "feature_type: STRING\n",
            "feature_type: INT\n",
            ("features.0.vocab_size", "2 or more"),
        ),
        ("encoder_type: CNN", "encoder_type: GRUU", ("line 10", "GRUU")),
        ("eval {", "evil {", ("line 14", "evil")),
        (
            "feature_type: STRING\n",
            "feature_type: INT vocab_size: 9\n",
            ("label_feature.feature_type", "'STRING'", "'INT'"),
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    old: str, new: str, parts: tuple[str, ...]
) -> None:
    assert old in FULL
    with pytest.raises(UserError) as error:
        loader.validate_config(loader.parse_config(FULL.replace(old, new)))
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("1709251200", 1_709_251_200),
        ("2024-03-01", 1_709_251_200 + 23 * 3600 + 59 * 60 + 59 - 3600),
        ("2024-03-01T00:00", 1_709_251_200 - 3600),
        ("2024-03-01 00:00:00Z", 1_709_251_200),
        ("2024-03-01T00:00:00-02:00", 1_709_251_200 + 7200),
    ],
)
def test_ends_of_splits(text: str, second: int) -> None:
    data = pb.DataConfig(train_end=text, timezone="Europe/Berlin")
    assert features.cut(data, "train_end") == second


@pytest.mark.parametrize("text", ["soon", "", "-5", "2024-3-1", "2024-W09-5", "1.5"])
def test_what_is_no_end_of_a_split(config: pb.RecommenderConfig, text: str) -> None:
    config.data.split = pb.TEMPORAL
    config.data.train_end, config.data.eval_end = text, "2025-01-01"
    assert "data.train_end" in refused(config)


def test_ends_of_splits_are_in_order(config: pb.RecommenderConfig) -> None:
    config.data.split = pb.TEMPORAL
    config.data.train_end, config.data.eval_end = "2025-01-01", "2025-01-01"
    assert "later than train_end, 2025-01-01" in refused(config)


@pytest.mark.parametrize(
    ("derivation", "knob", "part"),
    [
        (pb.HOUR, {}, "vocab_name: '' is not allowed"),
        (pb.WEEKDAY, {"vocab_size": 7}, "vocab_size: 7 is not allowed"),
    ],
)
def test_times_are_no_ids_without_a_row_for_each(
    config: pb.RecommenderConfig, derivation: int, knob: dict[str, int], part: str
) -> None:
    config.data.derived_fields.add(field="x", derivation=derivation)
    feature = config.input.activity_feature_groups[0].features.add(
        feature_name="context_x",
        feature_type=pb.INT,
        embedding_dim=2,
        feature_length=10,
        vocab_size=30,
    )
    for name, value in knob.items():
        setattr(feature, name, value)
    assert part in refused(config)


def test_a_group_of_floats_alone_is_refused(config: pb.RecommenderConfig) -> None:
    del config.input.activity_feature_groups[0].features[0]
    assert "told from the value 0" in refused(config)


def test_leaving_out_the_context_needs_its_items(
    config: pb.RecommenderConfig,
) -> None:
    config.input.activity_feature_groups[0].features[0].feature_name = "context_genre"
    message = refused(config, "model.seen=CONTEXT")
    assert "model.seen" in message
    assert "context_movie_id" in message


@pytest.mark.parametrize(
    ("guard", "parts"),
    [
        ("measure: 'rows' upper_bound: 1", (".measure", "'rows'", "row_count_ratio")),
        ("measure: 'drift_' upper_bound: 1", (".measure", "'drift_'")),
        ("measure: 'rejected_rows'", ("a lower_bound or an upper_bound",)),
        (
            "measure: 'rejected_rows' lower_bound: 0.5 upper_bound: 0.1",
            (".lower_bound", "0.5", "at most its upper_bound, 0.1"),
        ),
        ("measure: 'rejected_rows' upper_bound: nan", (".upper_bound", "nan")),
        ("measure: 'rejected_rows' lower_bound: -1", (".lower_bound", "-1")),
    ],
)
def test_guards_are_checked(
    config: pb.RecommenderConfig, guard: str, parts: tuple[str, ...]
) -> None:
    message = refused(config, "retrain.guard_spans=7", f"retrain.guards={{{guard}}}")
    assert message.startswith("retrain.guards.0")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    "measure", ["row_count_ratio", "unknown_items", "drift_movie_id", "skew_movie_id"]
)
def test_a_guard_that_would_have_nothing_to_compare_with_is_refused(
    config: pb.RecommenderConfig, measure: str
) -> None:
    """It would always hold."""
    guard = f"retrain.guards={{measure: '{measure}' upper_bound: 0.5}}"
    message = refused(config, guard)
    assert message.startswith("retrain.guard_spans: 0 is not allowed")
    assert measure in message
    for enough in ("data.span_window=2", "retrain.guard_spans=1"):
        config = loader.parse_config(FULL)
        loader.apply_override(config, guard)
        loader.apply_override(config, enough)
        loader.validate_config(config)


def test_a_feature_may_stand_once(config: pb.RecommenderConfig) -> None:
    group = config.input.activity_feature_groups.add()
    group.CopyFrom(config.input.activity_feature_groups[0])
    assert "each feature once" in refused(config)


def test_features_alone_need_features(config: pb.RecommenderConfig) -> None:
    assert "label_item_features" in refused(config, "input.label_id_embedding=false")


@pytest.mark.parametrize("text", ["", "name: 'x'", "data { }"])
def test_an_empty_configuration_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="feature group"):
        loader.validate_config(loader.parse_config(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.pbtxt: No such file"):
        loader.load_config(tmp_path / "absent.pbtxt")
    (tmp_path / "latin.pbtxt").write_bytes(b"name: '\xe9'")
    with pytest.raises(UserError, match="not UTF-8"):
        loader.load_config(tmp_path / "latin.pbtxt")


def test_every_field_is_explained() -> None:
    explained = {
        path: (default, span) for path, default, span in loader.explain_config()
    }
    assert explained["train.batch_size"] == ("128", "1 to 1000000")
    assert explained["train.optimizer"] == ("ADAM", "ADAM, ADAGRAD, SGD")
    assert explained["data.build_vocabs"] == ("true", "")
    assert "eval.bounds.N.lower_bound" in explained


@given(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=40))
def test_any_override_is_applied_or_refused(text: str) -> None:
    config = loader.parse_config(FULL)
    try:
        loader.apply_override(config, text)
        loader.validate_config(config)
    except UserError as error:
        assert str(error)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        loader.validate_config(loader.parse_config(text))
    except UserError as error:
        assert str(error)
