"""Reads a grid and makes its cells: each value of each axis with each of the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs import experiment_pb2, features, loader
from configs import recommender_pb2 as pb
from configs.errors import UserError

_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9_.]*")
_METRIC = re.compile(r"(?:(?:hr|ndcg)_(?P<k>[1-9]\d*)|mrr|mean_rank)_eval")
_METRICS = "hr_<k>_eval, ndcg_<k>_eval, mrr_eval or mean_rank_eval"

# What the grid itself varies, and how it says so.
_OWN = {"train.seed": "seeds", "train.learning_rate": "learning_rates"}


@dataclass(frozen=True)
class Cell:
    """One value of each axis.

    Attributes:
      labels: of these values, in the order of the axes.
      config: a valid configuration; learning rate and seed are still to be set.
    """

    labels: tuple[str, ...]
    config: pb.RecommenderConfig


@dataclass(frozen=True)
class Grid:
    """What to train.

    Attributes:
      name: of the experiment.
      axes: names of the axes.
      cells: at least one.
      learning_rates: by cell, what is tried.
      seeds: each rate of each cell is trained with each.
      metric: of eval, by which the rate is chosen.
      x_axis: index of the axis that the plot has along it; None without axes.
    """

    name: str
    axes: tuple[str, ...]
    cells: tuple[Cell, ...]
    learning_rates: tuple[tuple[float, ...], ...]
    seeds: tuple[int, ...]
    metric: str
    x_axis: int | None


def load_grid(
    path: Path, overrides: Sequence[str] = (), seeds: Sequence[int] = ()
) -> Grid:
    """Reads a grid and checks the configuration of every cell.

    Args:
      path: an `Experiment` as protobuf text.
      overrides: ``path.to.field=value``, for all cells, after the grid's own ``set``.
      seeds: in place of the grid's.

    Raises:
      UserError: naming the file, the field, the value and what is allowed.
    """
    text = loader.read_text(path)
    try:
        experiment = experiment_pb2.Experiment()
        loader.merge_text(text, experiment)
        loader.check_ranges(experiment, "")
        return _grid(experiment, path, overrides, seeds)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def training_config(
    cell: Cell, learning_rate: float, seed: int
) -> pb.RecommenderConfig:
    """The configuration of one training.

    Checkpoints lie beside the training, and only those that are needed are kept.
    """
    config = pb.RecommenderConfig()
    config.CopyFrom(cell.config)
    config.train.learning_rate = learning_rate
    config.train.seed = seed
    config.train.max_checkpoints = 1
    config.train.ClearField("checkpoint_path")
    return config


def _grid(
    experiment: experiment_pb2.Experiment,
    path: Path,
    overrides: Sequence[str],
    seeds: Sequence[int],
) -> Grid:
    name = experiment.name or path.stem
    if not _NAME.fullmatch(name):
        expected = "letters, digits, '-', '_' and '.', a letter or digit first"
        raise _error("name", name, expected)
    if not experiment.config:
        raise _error("config", "", "the file of the base configuration")
    axes = [_axis(index, axis) for index, axis in enumerate(experiment.axes)]
    names = tuple(axis.name for axis in axes)
    _expect_distinct("axes", names)
    rates = list(experiment.learning_rates)
    _expect_distinct("learning_rates", rates)
    seeds = list(seeds) or list(experiment.seeds) or [1]
    _expect_distinct("seeds", seeds)
    x_axis = experiment.x_axis or (names[-1] if names else "")
    if x_axis and x_axis not in names:
        raise _error("x_axis", x_axis, f"one of {', '.join(names)}")
    lines = [
        *((f"set.{index}", line) for index, line in enumerate(experiment.set)),
        *(("--set", line) for line in overrides),
    ]
    base = _base(path.parent / experiment.config, lines, bool(rates))
    cells = tuple(_cells(base, axes, bool(rates)))
    _check_together(experiment.metric, names, cells)
    return Grid(
        name,
        names,
        cells,
        tuple(tuple(rates or [cell.config.train.learning_rate]) for cell in cells),
        tuple(seeds),
        experiment.metric,
        names.index(x_axis) if x_axis else None,
    )


@dataclass(frozen=True)
class _Value:
    label: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class _Axis:
    name: str
    values: list[_Value]


def _axis(index: int, axis: experiment_pb2.Axis) -> _Axis:
    path = f"axes.{index}"
    if not axis.name.strip():
        raise _error(f"{path}.name", axis.name, "a name")
    if not axis.values:
        raise _error(f"{path}.values", "none", "at least one value")
    values = []
    for number, value in enumerate(axis.values):
        here = f"{path}.values.{number}"
        label = value.label
        if not label and len(value.set) == 1:
            label = value.set[0].partition("=")[2].strip()
        if not label:
            raise _error(f"{here}.label", label, "a name, as there is not one `set`")
        lines = [(f"{here}.set.{i}", line) for i, line in enumerate(value.set)]
        values.append(_Value(label, lines))
    _expect_distinct(f"{path}.values", [value.label for value in values])
    return _Axis(axis.name, values)


def _base(
    path: Path, lines: list[tuple[str, str]], has_rates: bool
) -> pb.RecommenderConfig:
    try:
        config = loader.parse_config(loader.read_text(path))
    except UserError as error:
        raise UserError(f"config: {error}") from error
    _apply(config, lines, has_rates)
    return config


def _cells(
    base: pb.RecommenderConfig, axes: list[_Axis], has_rates: bool
) -> Iterator[Cell]:
    for values in itertools.product(*(axis.values for axis in axes)):
        config = pb.RecommenderConfig()
        config.CopyFrom(base)
        labels = tuple(value.label for value in values)
        for value in values:
            _apply(config, value.lines, has_rates)
        try:
            loader.validate_config(config)
        except UserError as error:
            where = cell_name([axis.name for axis in axes], labels)
            raise UserError(f"cell {where}: {error}") from error
        yield Cell(labels, config)


def cell_name(axes: Sequence[str], labels: Sequence[str]) -> str:
    """A cell in words: ``encoder CNN, context 50``."""
    pairs = [f"{axis} {label}" for axis, label in zip(axes, labels, strict=True)]
    return ", ".join(pairs) or "base"


def _apply(
    config: pb.RecommenderConfig, lines: list[tuple[str, str]], has_rates: bool
) -> None:
    for where, line in lines:
        field = line.partition("=")[0].strip()
        own = _OWN.get(field)
        if own == "seeds" or (own == "learning_rates" and has_rates):
            raise _error(where, line, f"the field `{own}` of the grid to vary it")
        try:
            loader.apply_override(config, line)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def _check_together(
    metric: str, axes: tuple[str, ...], cells: tuple[Cell, ...]
) -> None:
    """What only all cells together tell: one protocol, one metric, no cell twice."""
    match = _METRIC.fullmatch(metric)
    if match is None:
        raise _error("metric", metric, _METRICS)
    first = cells[0]
    seen: dict[str, str] = {}
    for cell in cells:
        name = cell_name(axes, cell.labels)
        top_k = features.eval_top_k(cell.config)
        if match["k"] and int(match["k"]) not in top_k:
            expected = f"a K of eval.eval_top_k, {list(top_k)} in cell {name}"
            raise _error("metric", metric, expected)
        for (field, ours), (_, theirs) in zip(
            _protocol(cell.config), _protocol(first.config), strict=True
        ):
            if ours != theirs:
                expected = f"{theirs}, as the others: they could not be compared"
                raise _error(f"cell {name}: {field}", ours, expected)
        text = loader.config_to_text(cell.config)
        if text in seen:
            raise _error(
                "axes", f"cell {name}", f"another configuration than cell {seen[text]}"
            )
        seen[text] = name


# What decides how much the model is shown; the labels of eval and test stay the same.
_INPUTS_ONLY = (
    "max_context_length",
    "max_context_movie_genre_length",
    "max_feature_lengths",
    "derived_fields",
    "window_stride",
    "max_windows_per_user",
    "num_shards",
    "history_length_buckets",
    "max_rejected_fraction",
)


def _protocol(config: pb.RecommenderConfig) -> list[tuple[str, str]]:
    """What metrics must have in common, to be compared."""
    found = []
    for field in pb.DataConfig.DESCRIPTOR.fields:
        value = getattr(config.data, field.name)
        if field.enum_type is not None:
            value = field.enum_type.values_by_number[value].name
        if field.name not in _INPUTS_ONLY:
            found.append((f"data.{field.name}", str(value)))
    evaluated = int(config.train.num_eval_steps * config.train.batch_size)
    return [
        *found,
        ("input.label_feature.vocab_size", str(config.input.label_feature.vocab_size)),
        ("model.seen", _left_out(config)),
        ("train.num_eval_steps", f"{evaluated} examples" if evaluated else "all"),
    ]


def _left_out(config: pb.RecommenderConfig) -> str:
    """Which items are left out; those of a longer history are more."""
    seen = str(pb.Seen.Name(config.model.seen))
    if config.model.seen == pb.TIMELINE:
        return f"{seen} of {config.model.max_seen_length} items"
    if config.model.seen == pb.KEPT:
        return seen
    item = features.item_feature_name(config)
    lengths = [
        int(feature.feature_length)
        for feature in features.context_features(config)
        if feature.feature_name == item
    ]
    return f"{seen} of {min([features.max_context_length(config), *lengths])} steps"


def _expect_distinct(path: str, values: Sequence[object]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise _error(path, value, "each once")


def _error(path: str, value: object, expected: str) -> UserError:
    return UserError(f"{path}: {value!r} is not allowed. Expected {expected}")
