"""Readers of logs, one module each, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.timeline_example_gen import inputs, spans, storage
from components.timeline_example_gen.sources import (
    csv_source,
    json_lines_source,
    mapped_source,
    movielens,
    movielens_100k,
    movielens_csv,
    movielens_dat,
    parquet_source,
)
from components.timeline_example_gen.sources.derived import with_derived_fields
from components.timeline_example_gen.sources.source import Source
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

_MOVIELENS: dict[int, Any] = {
    pb.DataConfig.MOVIELENS_100K: (movielens_100k.WANTED, movielens_100k.MovieLens100K),
    pb.DataConfig.MOVIELENS_DAT: (movielens_dat.WANTED, movielens_dat.MovieLensDat),
    pb.DataConfig.MOVIELENS_CSV: (movielens_csv.WANTED, movielens_csv.MovieLensCsv),
}
_MAPPED: dict[int, Any] = {
    pb.DataConfig.CSV: (csv_source.DEFAULT_FILE, csv_source.CsvSource),
    pb.DataConfig.JSON_LINES: (
        json_lines_source.DEFAULT_FILE,
        json_lines_source.JsonLinesSource,
    ),
    pb.DataConfig.PARQUET: (parquet_source.DEFAULT_FILE, parquet_source.ParquetSource),
}
_ENDINGS = {
    ".jsonl": pb.DataConfig.JSON_LINES,
    ".ndjson": pb.DataConfig.JSON_LINES,
    ".parquet": pb.DataConfig.PARQUET,
}


@dataclass(frozen=True)
class OpenedSource:
    """Logs that were found.

    Attributes:
      source: reads them.
      window: the spans that they are of, if there are spans.
    """

    source: Source
    window: spans.Window | None

    @property
    def span(self) -> int:
        """The newest span; 0 where there are none."""
        return self.window.newest if self.window else 0


def open_source(
    config: pb.RecommenderConfig, folder: str, whole_window: bool = True
) -> OpenedSource:
    """The logs in a folder, of the kind that `data.source` says or file names tell.

    Args:
      config: its `data` says which files these are.
      folder: where they are.
      whole_window: whether no span of the window may be missing, see `spans.select`.

    Raises:
      UserError: if the folder, one of the files or a span is missing, or file names
        tell no kind, or more than one.
    """
    if not storage.is_folder(folder):
        raise UserError(f"the data folder {folder} does not exist")
    data = config.data
    kind = _kind(data, folder)
    name = pb.DataConfig.Source.Name(kind)
    derived = list(data.derived_fields)
    if kind in _MOVIELENS:
        wanted, make = _MOVIELENS[kind]
        found = inputs.find_inputs(data, folder, wanted, name, whole_window)
        source = make(found)
        given = {one.field for one in derived}
        derived += [d for d in movielens.DERIVED_FIELDS if d.field not in given]
    else:
        default, make = _MAPPED[kind]
        wanted = mapped_source.wanted_files(data.files, default)
        found = inputs.find_inputs(data, folder, wanted, name, whole_window)
        item_field = features.item_field(config)
        source = make(found, data.files, item_field, data.timezone)
    return OpenedSource(
        with_derived_fields(source, derived, data.timezone), found.window
    )


def _kind(data: pb.DataConfig, folder: str) -> int:
    if data.source != pb.DataConfig.AUTO:
        return int(data.source)
    if data.HasField("files"):
        name = next(iter(data.files.activities_files), "").removesuffix(".gz")
        found = [kind for ending, kind in _ENDINGS.items() if name.endswith(ending)]
        return found[0] if found else pb.DataConfig.CSV
    telltale = {kind: w.activities[0] for kind, (w, _) in _MOVIELENS.items()}
    kinds = [k for k, name in telltale.items() if inputs.there_is(data, folder, name)]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        names = " and ".join(pb.DataConfig.Source.Name(kind) for kind in kinds)
        raise UserError(f"{folder} holds {names}: choose one with data.source")
    expected = ", ".join(telltale.values())
    raise UserError(
        f"{folder} holds none of {expected}, but {inputs.listing(folder)}: for files "
        "of another kind name their columns in data.files"
    )
