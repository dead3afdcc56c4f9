"""Reads, overrides and checks a configuration; every mistake names its field."""

from __future__ import annotations

import math
import posixpath
import re
import struct
import zoneinfo
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf import message, text_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from configs import features
from configs import recommender_pb2 as pb
from configs.compatibility import is_repeated
from configs.errors import UserError

DEFAULT_BOUND = pb.MetricBound(
    metric="hr_10_test", lower_bound=0.01, max_regression=0.02
)

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_FLOATS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
_METRIC = re.compile(r"(?:(?:hr|ndcg)_(?P<k>[1-9]\d*)|mrr|mean_rank)_test")
_WEEKDAY_ROWS = 8  # Row 0 is padding.
_GUARDED = re.compile(
    r"row_count_ratio|unknown_items|rejected_rows|(?:drift|skew)_[a-zA-Z0-9_]+"
)
_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9_.]*")


def load_config(
    path: str | Path, overrides: Iterable[str] = ()
) -> pb.RecommenderConfig:
    """Reads a configuration, applies ``overrides`` and checks the whole.

    Args:
      path: a ``.pbtxt`` file: a ``RecommenderConfig``, or a bare ``InputConfig`` as
        TensorFlow's on-device recommendation example has them. With the latter all
        else is by default, and the gates are bound by ``DEFAULT_BOUND``.
      overrides: ``path.to.field=value`` strings, see `apply_override`.

    Raises:
      UserError: if the file cannot be read or parsed, or a value is not allowed.
    """
    text = read_text(path)
    try:
        config = parse_config(text)
        for override in overrides:
            apply_override(config, override)
        validate_config(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return config


def read_text(path: str | Path) -> str:
    """The text of a configuration file.

    Raises:
      UserError: if it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot read the configuration {path}: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the configuration is not UTF-8 text") from error


def parse_config(text: str) -> pb.RecommenderConfig:
    """Parses the text of a configuration, full or a bare ``InputConfig``.

    Raises:
      UserError: with line and column, if the text does not parse.
    """
    config = pb.RecommenderConfig()
    if _is_bare_input(text):
        merge_text(text, config.input)
        config.eval.bounds.append(DEFAULT_BOUND)
    else:
        merge_text(text, config)
    return config


def config_to_text(config: pb.RecommenderConfig) -> str:
    """The configuration as text that `parse_config` reads back."""
    return text_format.MessageToString(config)


def apply_override(config: pb.RecommenderConfig, override: str) -> None:
    """Sets one field from ``path.to.field=value``, in place.

    Several values of a repeated field stand between commas
    (``model.hidden_layer_dims=64,32``; an empty value clears it); elements of a
    repeated message are named by their index (``eval.bounds.0.lower_bound=0.2``; an
    empty value removes one: ``eval.bounds.0=``), and a message is given in text format
    (``eval.bounds={metric: "hr_10_test" ...}``).

    Raises:
      UserError: if the path is unknown or the value does not fit the field.
    """
    path, equals, value = override.partition("=")
    path = path.strip()
    if not equals or not path:
        raise UserError(
            f"an override has the form path.to.field=value. Received: {override!r}"
        )
    outer, _, name = path.rpartition(".")
    if outer and name.isdecimal():
        parent, field = _find(config, outer)
        if is_repeated(field) and field.message_type is not None:
            _element(getattr(parent, field.name), [name], f"{outer}.")
            _replace(parent, field, int(name), value.strip(), path)
            return
    parent, field = _find(config, path)
    _set(parent, field, value.strip(), path)


def is_whole_number(config: pb.RecommenderConfig, path: str) -> bool:
    """Whether a field is of whole numbers.

    Args:
      config: the configuration.
      path: ``path.to.field``, as `apply_override` takes it.

    Raises:
      UserError: if there is no such field.
    """
    return _find(config, path)[1].cpp_type in _INTEGERS


def validate_config(config: pb.RecommenderConfig) -> None:
    """Checks ranges and that the parts fit together.

    Raises:
      UserError: naming the field's path, the value and what is allowed.
    """
    check_ranges(config, "")
    _check_input(config)
    _check_data(config)
    _check_model(config)
    _check_train(config)
    _check_tune(config)
    _check_eval(config)
    _check_guards(config)
    if not _NAME.fullmatch(config.name):
        raise _error(
            "name", config.name, "letters, digits, '-', '_' and '.', a letter first"
        )


def validate_training(config: pb.RecommenderConfig) -> None:
    """Checks the parts that a training depends on, and no others.

    Raises:
      UserError: naming the field's path, the value and what is allowed.
    """
    check_ranges(config, "")
    _check_input(config)
    _check_model(config)
    _check_train(config)


def explain_config() -> list[tuple[str, str, str]]:
    """Path, default and range of every knob, in the order of the proto."""
    return list(_explain(pb.RecommenderConfig.DESCRIPTOR, ""))


def _is_bare_input(text: str) -> bool:
    bare = {field.name for field in pb.InputConfig.DESCRIPTOR.fields}
    first = re.search(r"^\s*(?!#)([a-z_]+)", text, re.MULTILINE)
    return first is not None and first.group(1) in bare


def merge_text(text: str, target: message.Message) -> None:
    """Parses protobuf text into a message.

    Raises:
      UserError: with line and column, if it does not parse.
    """
    try:
        text_format.Parse(text, target)
    except text_format.ParseError as error:
        where = re.match(r"(\d+):(\d+) : (.*)", str(error), re.DOTALL)
        if where is None:
            raise UserError(str(error)) from error
        line, column, what = where.groups()
        raise UserError(f"line {line}, column {column}: {_one_line(what)}") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _find(
    config: pb.RecommenderConfig, path: str
) -> tuple[message.Message, FieldDescriptor]:
    """The message that a path leads to, and its field that the path ends in."""
    *parents, name = path.split(".")
    parent: message.Message = config
    walked = ""
    index = 0
    while index < len(parents):
        field = _field(parent, parents[index], walked)
        walked = f"{walked}{field.name}."
        if field.message_type is None:
            raise UserError(f"{walked.rstrip('.')} has no fields. Received: {path!r}")
        child = getattr(parent, field.name)
        if is_repeated(field):
            index += 1
            child = _element(child, parents[index : index + 1], walked)
            walked = f"{walked}{parents[index]}."
        parent = child
        index += 1
    return parent, _field(parent, name, walked)


def _field(parent: message.Message, name: str, walked: str) -> FieldDescriptor:
    fields = parent.DESCRIPTOR.fields_by_name
    if name not in fields:
        raise UserError(
            f"{walked}{name}: no such field. Expected one of {', '.join(fields)}"
        )
    return fields[name]


def _element(container: Any, index: list[str], walked: str) -> message.Message:
    if not index or not index[0].isdecimal() or int(index[0]) >= len(container):
        received = index[0] if index else "nothing"
        raise UserError(
            f"{walked.rstrip('.')} has {len(container)} elements, numbered from 0. "
            f"Received: {received}"
        )
    return container[int(index[0])]


def _replace(
    parent: message.Message, field: FieldDescriptor, index: int, value: str, path: str
) -> None:
    """Puts another message in the place of an element, or removes it."""
    elements = getattr(parent, field.name)
    if not value:
        del elements[index]
        return
    given = type(parent)()
    _set(given, field, value, path)
    if len(getattr(given, field.name)) != 1:
        raise _error(path, value, "one message")
    elements[index].CopyFrom(getattr(given, field.name)[0])


def _set(
    parent: message.Message, field: FieldDescriptor, value: str, path: str
) -> None:
    parent.ClearField(field.name)
    if field.message_type is not None:
        text = value if value.startswith("{") else f"{{ {value} }}"
        try:
            if value:
                text_format.Parse(f"{field.name} {text}", parent)
        except text_format.ParseError as error:
            raise UserError(f"{path}: {_one_line(str(error))}") from error
    elif is_repeated(field):
        values = [v.strip() for v in value.split(",")] if value else []
        getattr(parent, field.name).extend(_scalar(field, v, path) for v in values)
    else:
        setattr(parent, field.name, _scalar(field, value, path))


def _scalar(field: FieldDescriptor, value: str, path: str) -> Any:
    if field.enum_type is not None:
        if value not in field.enum_type.values_by_name:
            raise _error(path, value, f"one of {_enum_names(field.enum_type)}")
        return field.enum_type.values_by_name[value].number
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if value.lower() not in ("true", "false"):
            raise _error(path, value, "true or false")
        return value.lower() == "true"
    if field.cpp_type in _INTEGERS:
        return _number(int, value, path, "a whole number")
    if field.cpp_type in _FLOATS:
        return _number(float, value, path, "a number")
    return value


def _number(kind: type, value: str, path: str, expected: str) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise _error(path, value, expected) from error


def _enum_names(enum: EnumDescriptor) -> str:
    return ", ".join(enum.values_by_name)


def _error(path: str, value: object, expected: str) -> UserError:
    return UserError(f"{path}: {value!r} is not allowed. Expected {expected}")


def _range(field: FieldDescriptor) -> tuple[float, float]:
    options = field.GetOptions()
    extensions = options.Extensions
    low = extensions[pb.min] if options.HasExtension(pb.min) else -math.inf
    high = extensions[pb.max] if options.HasExtension(pb.max) else math.inf
    return low, high


def _range_text(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return _enum_names(field.enum_type)
    low, high = _range(field)
    if math.isinf(low) and math.isinf(high):
        return ""
    return f"{low:.15g} to {high:.15g}"


def check_ranges(config: message.Message, prefix: str) -> None:
    """Checks all numbers of a message against the ranges that the proto states.

    Args:
      config: the message.
      prefix: its path and a dot; empty for the outermost.

    Raises:
      UserError: naming the field's path, the value and the range.
    """
    for field, value in config.ListFields():
        path = f"{prefix}{field.name}"
        values = value if is_repeated(field) else [value]
        for index, element in enumerate(values):
            if field.message_type is not None:
                here = f"{path}.{index}." if is_repeated(field) else f"{path}."
                check_ranges(element, here)
            elif field.cpp_type in _INTEGERS | _FLOATS:
                low, high = _range(field)
                if not low <= element <= high or not math.isfinite(element):
                    expected = _range_text(field) or "a finite number"
                    raise _error(path, element, expected)


def _groups(config: pb.RecommenderConfig) -> Iterator[tuple[str, pb.FeatureGroup]]:
    for name in ("global_feature_groups", "activity_feature_groups"):
        for index, group in enumerate(getattr(config.input, name)):
            yield f"input.{name}.{index}", group


def _features(config: pb.RecommenderConfig) -> Iterator[tuple[str, pb.Feature]]:
    for path, group in _groups(config):
        for index, feature in enumerate(group.features):
            yield f"{path}.features.{index}", feature
    yield "input.label_feature", config.input.label_feature
    for index, feature in enumerate(config.input.label_item_features):
        yield f"input.label_item_features.{index}", feature
    if config.input.HasField("label_value_feature"):
        yield "input.label_value_feature", config.input.label_value_feature


def _check_input(config: pb.RecommenderConfig) -> None:
    if not features.feature_groups(config):
        raise _error("input", "no feature groups", "at least one feature group")
    if not config.input.HasField("label_feature"):
        raise _error("input.label_feature", "nothing", "the feature to predict")
    if config.input.HasField("label_value_feature"):
        _check_value(config)
    for path, feature in _features(config):
        _check_feature(path, feature)
    for path, group in _groups(config):
        _check_group(path, group)
    _check_label(config)
    _check_names(config)
    _check_shared(config)


def _check_feature(path: str, feature: pb.Feature) -> None:
    name = feature.feature_name
    try:
        features.role_of(name)
    except ValueError as error:
        expected = f"a name that starts with one of {', '.join(features.ROLES)}"
        raise _error(f"{path}.feature_name", name, expected) from error
    _check_values_per_step(path, feature)
    if feature.feature_type == pb.FLOAT:
        if feature.vocab_name:
            raise _error(f"{path}.vocab_name", feature.vocab_name, "none: it is FLOAT")
        _check_buckets(path, feature)
        return
    if features.is_bucketed(feature):
        knob = "num_buckets" if feature.num_buckets else "bucket_boundaries"
        kind = pb.FeatureType.Name(feature.feature_type)
        raise _error(f"{path}.{knob}", f"of {kind}", "none: only FLOAT has buckets")
    if feature.scaling != pb.NONE:
        scaling = pb.Scaling.Name(feature.scaling)
        raise _error(f"{path}.scaling", scaling, "NONE: only FLOAT is scaled")
    if feature.embedding_dim < 1:
        expected = "1 or more for a STRING or INT feature"
        raise _error(f"{path}.embedding_dim", feature.embedding_dim, expected)
    if not features.has_vocabulary(feature) and feature.vocab_size < 2:
        expected = "2 or more for an INT feature without vocab_name"
        raise _error(f"{path}.vocab_size", feature.vocab_size, expected)
    if features.has_vocabulary(feature):
        vocabulary = features.vocabulary_name(feature)
        if not _NAME.fullmatch(vocabulary):
            expected = "a plain file name"
            raise _error(f"{path}.vocab_name", feature.vocab_name, expected)


def _check_values_per_step(path: str, feature: pb.Feature) -> None:
    number = feature.values_per_step
    if not number:
        return
    if features.role_of(feature.feature_name) != features.CONTEXT:
        expected = f"0: only {features.CONTEXT}<field> has steps"
        raise _error(f"{path}.values_per_step", number, expected)
    if feature.feature_type == pb.FLOAT:
        expected = "0: among numbers, padding cannot be told from the value 0"
        raise _error(f"{path}.values_per_step", number, expected)


def _check_buckets(path: str, feature: pb.Feature) -> None:
    """Checks the buckets of a FLOAT feature, and that it has an embedding with them."""
    boundaries = list(feature.bucket_boundaries)
    if not features.is_bucketed(feature):
        if feature.embedding_dim:
            expected = "0, or bucket_boundaries or num_buckets: only buckets have one"
            raise _error(f"{path}.embedding_dim", feature.embedding_dim, expected)
        return
    if boundaries and feature.num_buckets:
        expected = "0, since bucket_boundaries are given"
        raise _error(f"{path}.num_buckets", feature.num_buckets, expected)
    if feature.num_buckets == 1:
        raise _error(f"{path}.num_buckets", 1, "2 or more, or 0 for none")
    in_model = [-math.inf, *map(_float32, boundaries), math.inf]
    if any(before >= after for before, after in pairwise(in_model)):
        expected = "ascending numbers, different ones as float32"
        raise _error(f"{path}.bucket_boundaries", boundaries, expected)
    if feature.embedding_dim < 1:
        expected = "1 or more: a bucket has an embedding"
        raise _error(f"{path}.embedding_dim", feature.embedding_dim, expected)
    if feature.scaling != pb.NONE:
        scaling = pb.Scaling.Name(feature.scaling)
        raise _error(f"{path}.scaling", scaling, "NONE: a bucket is no number")


def _check_padding_of_buckets(path: str, feature: pb.Feature) -> None:
    """Checks a feature without a categorical one beside it."""
    if features.is_bucketed(feature) and feature.feature_length > 1:
        expected = "1: padding would be in the bucket of 0"
        raise _error(f"{path}.feature_length", feature.feature_length, expected)


def _float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _check_group(path: str, group: pb.FeatureGroup) -> None:
    if not group.features:
        raise _error(f"{path}.features", "none", "at least one feature")
    lengths = {f.feature_name: int(f.feature_length) for f in group.features}
    if len(set(lengths.values())) > 1:
        raise _error(f"{path}.features", lengths, "one feature_length in a group")
    if "activity_feature_groups" not in path:
        for index, feature in enumerate(group.features):
            if not feature.feature_name.startswith(features.USER):
                here = f"{path}.features.{index}.feature_name"
                expected = f"{features.USER}<field> in a global group"
                raise _error(here, feature.feature_name, expected)
            if not any(features.is_categorical(f) for f in group.features):
                _check_padding_of_buckets(f"{path}.features.{index}", feature)
        return
    for index, feature in enumerate(group.features):
        if not feature.feature_name.startswith(features.CONTEXT):
            here = f"{path}.features.{index}.feature_name"
            expected = f"{features.CONTEXT}<field> in an activity group"
            raise _error(here, feature.feature_name, expected)
    if not any(features.is_categorical(f) for f in group.features):
        expected = (
            "a STRING or INT feature beside the FLOAT ones: a padded step cannot be "
            "told from the value 0"
        )
        raise _error(f"{path}.features", list(lengths), expected)


def _check_label(config: pb.RecommenderConfig) -> None:
    label = config.input.label_feature
    path = "input.label_feature"
    if not label.feature_name.startswith(features.LABEL):
        expected = f"{features.LABEL}<field>"
        raise _error(f"{path}.feature_name", label.feature_name, expected)
    if label.feature_type == pb.FLOAT:
        raise _error(f"{path}.feature_type", "FLOAT", "STRING or INT")
    if label.feature_length != 1:
        raise _error(f"{path}.feature_length", label.feature_length, "1")
    for index, feature in enumerate(config.input.label_item_features):
        if not feature.feature_name.startswith(features.LABEL):
            here = f"input.label_item_features.{index}.feature_name"
            raise _error(here, feature.feature_name, f"{features.LABEL}<field>")
        _check_padding_of_buckets(f"input.label_item_features.{index}", feature)
    if not config.input.label_id_embedding and not config.input.label_item_features:
        expected = "true, or label_item_features to make the embedding from"
        raise _error("input.label_id_embedding", False, expected)


def _check_names(config: pb.RecommenderConfig) -> None:
    seen: dict[str, str] = {}
    for path, feature in _features(config):
        name = feature.feature_name
        if name in seen:
            expected = f"each feature once; {seen[name]} has it too"
            raise _error(f"{path}.feature_name", name, expected)
        seen[name] = path


def _check_shared(config: pb.RecommenderConfig) -> None:
    """Features of one field, or of one vocabulary, must agree on what they share."""
    by_field: dict[str, tuple[str, pb.Feature]] = {}
    by_vocabulary: dict[str, tuple[str, pb.Feature]] = {}
    for path, feature in _features(config):
        role = features.role_of(feature.feature_name)
        field = features.field_of(feature.feature_name)
        key = features.USER + field if role == features.USER else field
        other_path, other = by_field.setdefault(key, (path, feature))
        for knob in ("feature_type", "vocab_name", "vocab_size"):
            value, expected = getattr(feature, knob), getattr(other, knob)
            if value != expected:
                if knob == "feature_type":
                    value = pb.FeatureType.Name(value)
                    expected = pb.FeatureType.Name(expected)
                raise _error(
                    f"{path}.{knob}", value, f"{expected!r}, as {other_path} has it"
                )
        if features.has_vocabulary(feature):
            name = features.vocabulary_name(feature)
            other_path, other = by_vocabulary.setdefault(name, (path, feature))
            for knob in ("feature_type", "vocab_size"):
                if getattr(feature, knob) != getattr(other, knob):
                    raise _error(
                        f"{path}.{knob}",
                        getattr(feature, knob),
                        f"{getattr(other, knob)!r}: {other_path} has the same "
                        f"vocabulary {name!r}",
                    )


def _check_data(config: pb.RecommenderConfig) -> None:
    data = config.data
    cuts = ("train_end", "eval_end")
    given = [name for name in cuts if data.HasField(name)]
    if given and data.split != pb.TEMPORAL:
        split = pb.Split.Name(data.split)
        raise _error(f"data.{given[0]}", f"split {split}", "split TEMPORAL with it")
    if len(given) == 1:
        missing = next(name for name in cuts if name not in given)
        raise _error(f"data.{missing}", "nothing", f"a value, as data.{given[0]} has")
    if given and features.cut(data, "eval_end") <= features.cut(data, "train_end"):
        expected = f"later than train_end, {data.train_end}"
        raise _error("data.eval_end", data.eval_end, expected)
    if not data.build_vocabs and not data.vocab_dir:
        raise _error("data.vocab_dir", "", "a folder, since build_vocabs is false")
    longest = data.max_timeline_length
    if longest and longest < data.min_timeline_length:
        expected = f"0 or at least min_timeline_length, {data.min_timeline_length}"
        raise _error("data.max_timeline_length", longest, expected)
    if not re.fullmatch("latest|[0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}", data.span):
        expected = "a number, a date (2024-03-01) or latest"
        raise _error("data.span", data.span, expected)
    _check_files(data)
    _check_derived_fields(config)
    buckets = list(data.history_length_buckets)
    if buckets != sorted(set(buckets)):
        raise _error("data.history_length_buckets", buckets, "ascending numbers")


def _check_files(data: pb.DataConfig) -> None:
    mapped = (pb.DataConfig.CSV, pb.DataConfig.JSON_LINES, pb.DataConfig.PARQUET)
    source = pb.DataConfig.Source.Name(data.source)
    if data.HasField("files") and data.source not in (pb.DataConfig.AUTO, *mapped):
        expected = "CSV, JSON_LINES or PARQUET, since data.files is given"
        raise _error("data.source", source, expected)
    if data.source in mapped and not data.HasField("files"):
        expected = f"the columns, since data.source is {source}"
        raise _error("data.files", "nothing", expected)
    files = data.files
    _check_below("data.span_folder", data.span_folder)
    for index, name in enumerate(files.activities_files):
        _check_below(f"data.files.activities_files.{index}", name)
    _check_below("data.files.items_file", files.items_file)
    _check_below("data.files.users_file", files.users_file)
    delimiter = files.delimiter
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        expected = "one character of ASCII, no quote and no end of a line"
        raise _error("data.files.delimiter", delimiter, expected)
    for column in ("user_column", "item_column", "timestamp_column"):
        if not getattr(files, column):
            raise _error(f"data.files.{column}", "", "the name of a column")
    if data.activity_types and not files.activity_type_column:
        expected = "a column, since data.activity_types filters by it"
        raise _error("data.files.activity_type_column", "", expected)
    for table, columns in (("items", "item_fields"), ("users", "user_fields")):
        if getattr(files, columns) and not getattr(files, f"{table}_file"):
            expected = f"a file, since data.files.{columns} names columns of it"
            raise _error(f"data.files.{table}_file", "", expected)
    if files.title_column and not files.items_file:
        expected = "a file, since data.files.title_column names a column of it"
        raise _error("data.files.items_file", "", expected)
    for columns in ("item_fields", "user_fields", "activity_fields"):
        for index, field in enumerate(getattr(files, columns)):
            path = f"data.files.{columns}.{index}"
            if not field.column:
                raise _error(f"{path}.column", "", "the name of a column")
            if field.separator and columns == "activity_fields":
                expected = "none: an activity has one value in a field"
                raise _error(f"{path}.separator", field.separator, expected)


def _check_below(path: str, name: str) -> None:
    leaves = posixpath.normpath(name).split("/")[0] == ".."
    if leaves or name.startswith("/") or "://" in name:
        raise _error(path, name, "a name below the data folder")


def _check_derived_fields(config: pb.RecommenderConfig) -> None:
    data = config.data
    try:
        zoneinfo.ZoneInfo(data.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        expected = "the name of a time zone, such as UTC or Europe/Berlin"
        raise _error("data.timezone", data.timezone, expected) from None
    for index, derived in enumerate(data.derived_fields):
        path = f"data.derived_fields.{index}"
        kind = pb.Derivation.Name(derived.derivation)
        if not derived.field:
            raise _error(f"{path}.field", "", "the new field's name")
        if derived.derivation == pb.YEAR_IN_TEXT and not derived.from_field:
            expected = f"an item's field, since the derivation is {kind}"
            raise _error(f"{path}.from_field", "", expected)
        if derived.derivation != pb.YEAR_IN_TEXT and derived.from_field:
            expected = f"none: {kind} is of the activity's time"
            raise _error(f"{path}.from_field", derived.from_field, expected)
        if derived.derivation == pb.GAP:
            _check_gap(config, derived)
        elif derived.derivation != pb.YEAR_IN_TEXT:
            _check_raw_ids_of_time(config, derived)


def _check_gap(config: pb.RecommenderConfig, derived: pb.DerivedField) -> None:
    for path, feature in _features(config):
        is_gap = features.CONTEXT + derived.field == feature.feature_name
        if is_gap and feature.feature_type != pb.FLOAT:
            kind = pb.FeatureType.Name(feature.feature_type)
            raise _error(f"{path}.feature_type", kind, "FLOAT: GAP counts seconds")


def _check_raw_ids_of_time(
    config: pb.RecommenderConfig, derived: pb.DerivedField
) -> None:
    """Hours and weekdays may be ids as they are only if the table has their rows."""
    for path, feature in _features(config):
        raw = feature.feature_type == pb.INT and not features.has_vocabulary(feature)
        if features.CONTEXT + derived.field != feature.feature_name or not raw:
            continue
        if derived.derivation == pb.HOUR:
            expected = "a name: without a vocabulary the hour 0 would be padding"
            raise _error(f"{path}.vocab_name", "", expected)
        if feature.vocab_size < _WEEKDAY_ROWS:
            expected = f"at least {_WEEKDAY_ROWS}, for weekdays 1 to 7"
            raise _error(f"{path}.vocab_size", feature.vocab_size, expected)


def _check_model(config: pb.RecommenderConfig) -> None:
    largest = max(features.eval_top_k(config))
    if largest > config.model.num_predictions:
        expected = f"at least eval.eval_top_k's largest, {largest}"
        raise _error("model.num_predictions", config.model.num_predictions, expected)
    kinds = {group.encoder_type for group in features.feature_groups(config)}
    units, heads = (
        config.model.transformer_num_units,
        config.model.transformer_num_heads,
    )
    if pb.TRANSFORMER in kinds and units % heads:
        expected = f"a multiple of model.transformer_num_heads, {heads}"
        raise _error("model.transformer_num_units", units, expected)
    item = features.item_feature_name(config)
    context = {f.feature_name for f in features.context_features(config)}
    if config.model.seen == pb.CONTEXT and item not in context:
        expected = (
            f"KEPT or TIMELINE: without the feature {item} nobody knows the items"
        )
        raise _error("model.seen", "CONTEXT", expected)

    ranked = config.model.ranking_num_candidates
    if ranked and ranked < config.model.num_predictions:
        expected = (
            f"0 or at least model.num_predictions, {config.model.num_predictions}"
        )
        raise _error("model.ranking_num_candidates", ranked, expected)
    if config.input.tie_item_embeddings:
        _check_tied(config)


def _check_tied(config: pb.RecommenderConfig) -> None:
    path, label = "input.tie_item_embeddings", config.input.label_feature
    item = features.item_feature_name(config)
    found = [f for f in features.context_features(config) if f.feature_name == item]
    if not found:
        raise _error(path, True, f"false: the context has no feature {item}")
    if not config.input.label_id_embedding:
        raise _error(path, True, "false, since input.label_id_embedding is false")
    if found[0].embedding_dim != label.embedding_dim:
        expected = f"{found[0].embedding_dim}, as {item} has it: they share a table"
        raise _error("input.label_feature.embedding_dim", label.embedding_dim, expected)


def _check_train(config: pb.RecommenderConfig) -> None:
    train = config.train
    if train.weight_decay and train.optimizer != pb.ADAM:
        kind = pb.Optimizer.Name(train.optimizer)
        raise _error("train.weight_decay", train.weight_decay, f"0, with {kind}")
    if train.label_smoothing and train.loss == pb.BINARY_CROSS_ENTROPY:
        expected = "0: BINARY_CROSS_ENTROPY has no softmax"
        raise _error("train.label_smoothing", train.label_smoothing, expected)
    if train.leave_out_seen and config.model.seen == pb.KEPT:
        expected = "false, with model.seen KEPT: nothing is left out"
        raise _error("train.leave_out_seen", True, expected)
    if train.targets == pb.EVERY_POSITION:
        if config.data.split == pb.RANDOM:
            expected = (
                "LABEL, with data.split RANDOM: steps of train's contexts are labels "
                "of eval and test"
            )
            raise _error("train.targets", "EVERY_POSITION", expected)
        _check_steps(config, "targets", "EVERY_POSITION", "LABEL")
    if train.shuffle_ties:
        _check_steps(config, "shuffle_ties", "true", "false")
        steps = features.max_context_length(config)
        item = features.item_feature_name(config)
        [length] = {
            int(feature.feature_length)
            for feature in features.context_features(config)
            if feature.feature_name == item
        }
        if length != steps:
            expected = f"{length}, as {item} has it: train.shuffle_ties moves all steps"
            raise _error("data.max_context_length", steps, expected)
    if train.value_loss_weight and not config.input.HasField("label_value_feature"):
        expected = "a feature, since train.value_loss_weight is set"
        raise _error("input.label_value_feature", "nothing", expected)


def _check_steps(
    config: pb.RecommenderConfig, knob: str, value: str, otherwise: str
) -> None:
    """Checks that all activity groups have the steps of the item's feature."""
    item = features.item_feature_name(config)
    lengths = {
        feature.feature_name: (f"{path}.features.{index}", int(feature.feature_length))
        for path, group in _groups(config)
        if "activity_feature_groups" in path
        for index, feature in enumerate(group.features)
    }
    if item not in lengths:
        expected = f"{otherwise}, since there is no feature {item}"
        raise _error(f"train.{knob}", value, expected)
    for path, length in lengths.values():
        if length != lengths[item][1]:
            expected = (
                f"{lengths[item][1]}, as {item} has it: with train.{knob} {value} all "
                "groups have the same steps (values_per_step aligns several values of "
                "one)"
            )
            raise _error(f"{path}.feature_length", length, expected)


def _check_value(config: pb.RecommenderConfig) -> None:
    path, value = "input.label_value_feature", config.input.label_value_feature
    if not value.feature_name.startswith(features.LABEL):
        raise _error(f"{path}.feature_name", value.feature_name, "label_<field>")
    if value.feature_type != pb.FLOAT:
        kind = pb.FeatureType.Name(value.feature_type)
        raise _error(f"{path}.feature_type", kind, "FLOAT")
    if value.scaling != pb.NONE or features.is_bucketed(value):
        raise _error(path, "scaled or in buckets", "the value as it is")
    if value.feature_length != 1:
        raise _error(f"{path}.feature_length", value.feature_length, "1")


def _check_slices(config: pb.RecommenderConfig) -> None:
    names = list(config.eval.slice_features)
    item = config.input.label_feature.feature_name
    for index, name in enumerate(names):
        path = f"eval.slice_features.{index}"
        if not name.startswith((features.LABEL, features.USER)):
            expected = f"{features.LABEL}<field> or {features.USER}<field>"
            raise _error(path, name, expected)
        if name in (item, "user_id", "label_position", "label_timestamp"):
            raise _error(path, name, "a column of fewer values: each becomes a slice")
        if name in names[:index]:
            raise _error(path, name, "each column once")


# What tuning may choose: nothing that examples, gates or the bundle depend on.
_TUNABLE = re.compile(
    r"train\.\w+|model\.(?!seen$|max_seen_length$|num_predictions$)\w+"
    r"|input\..*\.(embedding_dim|encoder_type)"
)
_NOT_OF_THE_MODEL = "another field: the model does not depend on this one"
_NOT_TUNABLE = {
    "train.seed": "another field: the luckiest seed makes no better model",
    "train.num_eval_steps": "another field: trials are judged by the same examples",
    "train.checkpoint_path": _NOT_OF_THE_MODEL,
    "train.max_checkpoints": _NOT_OF_THE_MODEL,
    "train.max_in_memory_bytes": _NOT_OF_THE_MODEL,
}


def _check_tune(config: pb.RecommenderConfig) -> None:
    if config.tune.num_trials and not config.tune.fields:
        raise _error("tune.fields", "none", "a field to tune, or tune.num_trials 0")
    fields = [tuned.field for tuned in config.tune.fields]
    for index, tuned in enumerate(config.tune.fields):
        path = f"tune.fields.{index}"
        _check_tunable(config, f"{path}.field", tuned.field)
        if tuned.field in fields[:index]:
            raise _error(f"{path}.field", tuned.field, "each field once")
        for value in _tuned_values(config, path, tuned):
            trial = pb.RecommenderConfig()
            trial.CopyFrom(config)
            try:
                apply_override(trial, f"{tuned.field}={value}")
                check_ranges(trial, "")
                # With other tuned fields it may depend on their values.
                if len(fields) == 1:
                    validate_training(trial)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error


def _check_tunable(config: pb.RecommenderConfig, path: str, name: str) -> None:
    if not _TUNABLE.fullmatch(name) or name in _NOT_TUNABLE:
        expected = _NOT_TUNABLE.get(
            name,
            "a field of train or model that the bundle's format does not depend on, "
            "an embedding_dim or an encoder_type",
        )
        raise _error(path, name, expected)
    steps = config.train.num_eval_steps
    if name == "train.batch_size" and steps:
        expected = f"another field, or train.num_eval_steps 0 in place of {steps}"
        raise _error(path, name, f"{expected}: trials are judged by the same examples")
    try:
        _find(config, name)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _tuned_values(
    config: pb.RecommenderConfig, path: str, tuned: pb.TunedField
) -> list[str]:
    """The values to choose from, or the ends of their range."""
    ends = ("min_value", "max_value")
    if tuned.values:
        for name in (*ends, "logarithmic"):
            if tuned.HasField(name):
                expected = "none, since values are given"
                raise _error(f"{path}.{name}", getattr(tuned, name), expected)
        values = list(tuned.values)
        if len(set(values)) < len(values):
            raise _error(f"{path}.values", values, "each value once")
        return values
    if not all(tuned.HasField(name) for name in ends):
        raise _error(path, tuned.field, "either values, or min_value and max_value")
    _, field = _find(config, tuned.field)
    if is_repeated(field) or field.cpp_type not in _INTEGERS | _FLOATS:
        expected = f"none: {tuned.field} is no number, use values"
        raise _error(f"{path}.min_value", tuned.min_value, expected)
    whole = field.cpp_type in _INTEGERS
    for name in ends:
        if whole and not getattr(tuned, name).is_integer():
            expected = f"a whole number, as {tuned.field} is one"
            raise _error(f"{path}.{name}", getattr(tuned, name), expected)
    if not tuned.min_value < tuned.max_value:
        expected = f"more than min_value, {tuned.min_value:g}"
        raise _error(f"{path}.max_value", tuned.max_value, expected)
    if tuned.logarithmic and tuned.min_value <= 0:
        raise _error(f"{path}.min_value", tuned.min_value, "above 0: it is logarithmic")
    return [
        str(int(value) if whole else value)
        for value in (tuned.min_value, tuned.max_value)
    ]


def _check_eval(config: pb.RecommenderConfig) -> None:
    _check_slices(config)
    for index, bound in enumerate(config.eval.bounds):
        path = f"eval.bounds.{index}"
        if features.is_device_metric(bound.metric):
            _check_device_bound(config, path, bound)
            continue
        match = _METRIC.fullmatch(bound.metric)
        if match is None:
            device = ", ".join(features.DEVICE_METRICS)
            expected = (
                "hr_<k>_test, ndcg_<k>_test, mrr_test, mean_rank_test, overlap_<k>, "
                + device
            )
            raise _error(f"{path}.metric", bound.metric, expected)
        k = match.group("k")
        if k is not None and int(k) not in features.eval_top_k(config):
            expected = f"a K of eval.eval_top_k, {list(features.eval_top_k(config))}"
            raise _error(f"{path}.metric", bound.metric, expected)
        tflite_only = bound.gate == pb.TFLITE
        if tflite_only and bound.metric in ("mrr_test", "mean_rank_test"):
            expected = "a metric of the top K: the .tflite file answers no more"
            raise _error(f"{path}.metric", bound.metric, expected)
        _check_sliced(config, path, bound)
        limits = ("lower_bound", "upper_bound", "max_regression")
        if not any(bound.HasField(limit) for limit in limits):
            raise _error(path, bound.metric, f"one of {', '.join(limits)}")
        both = bound.HasField("lower_bound") and bound.HasField("upper_bound")
        if both and bound.lower_bound > bound.upper_bound:
            expected = f"at most its upper_bound, {bound.upper_bound:g}"
            raise _error(f"{path}.lower_bound", bound.lower_bound, expected)
    for gate in (pb.SAVED_MODEL, pb.TFLITE):
        if not any(
            _binds(bound)
            for bound in features.gate_bounds(config, gate)
            if not bound.slice_feature and not features.is_device_metric(bound.metric)
        ):
            raise _error(
                "eval.bounds",
                f"no absolute bound for the {pb.Gate.Name(gate)} gate",
                "a lower_bound above 0, or an upper_bound of mean_rank_test: without "
                "one a first run lets every model through",
            )


def _binds(bound: pb.MetricBound) -> bool:
    """Whether a model can be too bad for it."""
    if bound.metric == "mean_rank_test":
        return bool(bound.HasField("upper_bound"))
    return bool(bound.lower_bound > 0)


def _check_guards(config: pb.RecommenderConfig) -> None:
    for index, guard in enumerate(config.retrain.guards):
        path = f"retrain.guards.{index}"
        if not _GUARDED.fullmatch(guard.measure):
            raise _error(
                f"{path}.measure",
                guard.measure,
                "row_count_ratio, unknown_items, rejected_rows, drift_<field> or "
                "skew_<field>",
            )
        is_alone = config.retrain.guard_spans == 0 and config.data.span_window == 1
        if is_alone and guard.measure != "rejected_rows":
            expected = (
                f"at least 1: {guard.measure} compares a span with those before it"
            )
            raise _error("retrain.guard_spans", 0, expected)
        bounds = [b for b in ("lower_bound", "upper_bound") if guard.HasField(b)]
        if not bounds:
            raise _error(path, guard.measure, "a lower_bound or an upper_bound")
        if len(bounds) == 2 and guard.lower_bound > guard.upper_bound:
            raise _error(
                f"{path}.lower_bound",
                guard.lower_bound,
                f"at most its upper_bound, {guard.upper_bound:g}",
            )
        for bound in bounds:
            value = getattr(guard, bound)
            if not math.isfinite(value) or value < 0:
                raise _error(f"{path}.{bound}", value, "a number of at least 0")


def _check_device_bound(
    config: pb.RecommenderConfig, path: str, bound: pb.MetricBound
) -> None:
    overlap = f"overlap_{features.overlap_k(config)}"
    if bound.metric not in (*features.DEVICE_METRICS, overlap):
        raise _error(f"{path}.metric", bound.metric, overlap)
    for name in ("max_regression", "slice_feature", "slice_value"):
        if bound.HasField(name):
            expected = f"none: {bound.metric} has lower_bound and upper_bound alone"
            raise _error(f"{path}.{name}", getattr(bound, name), expected)
    if bound.gate == pb.SAVED_MODEL:
        raise _error(f"{path}.gate", "SAVED_MODEL", "TFLITE: it is of the .tflite file")
    if not bound.HasField("lower_bound") and not bound.HasField("upper_bound"):
        raise _error(path, bound.metric, "one of lower_bound, upper_bound")


def _check_sliced(
    config: pb.RecommenderConfig, path: str, bound: pb.MetricBound
) -> None:
    if not bound.slice_feature:
        for name in ("slice_value", "min_slice_examples"):
            if bound.HasField(name):
                expected = "none, or a slice_feature"
                raise _error(f"{path}.{name}", getattr(bound, name), expected)
        return
    allowed = [features.HISTORY_LENGTH, *config.eval.slice_features]
    if bound.slice_feature not in allowed:
        expected = f"one of {', '.join(allowed)}, by which examples are sliced"
        raise _error(f"{path}.slice_feature", bound.slice_feature, expected)
    # Of other features only the data knows the values.
    known: Iterable[str] = ()
    if bound.slice_feature == features.HISTORY_LENGTH:
        known = features.history_bucket_names(config)
    elif bound.slice_feature == features.LABEL_POPULARITY:
        known = features.POPULARITY_BUCKETS
    if known and bound.slice_value and bound.slice_value not in known:
        expected = f"one of {', '.join(known)}"
        raise _error(f"{path}.slice_value", bound.slice_value, expected)


def _explain(descriptor: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if field.message_type is not None:
            index = ".N" if is_repeated(field) else ""
            yield from _explain(field.message_type, f"{path}{index}.")
        else:
            yield path, _default_text(field), _range_text(field)


def _default_text(field: FieldDescriptor) -> str:
    if is_repeated(field):
        return "[]"
    if not field.has_default_value:
        return "not set"
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[field.default_value].name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return str(field.default_value).lower()
    return f"{field.default_value!r}" if field.default_value != "" else '""'
