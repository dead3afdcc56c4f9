"""Readers of logs, one module each, and the choice between them."""

from __future__ import annotations

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources import (
    csv_source,
    movielens_100k,
    movielens_csv,
    movielens_dat,
)
from components.timeline_example_gen.sources.source import Source
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

# The file that tells each kind.
_TELLTALE: dict[int, str] = {
    pb.MOVIELENS_100K: movielens_100k.FILES[0],
    pb.MOVIELENS_DAT: movielens_dat.FILES[0],
    pb.MOVIELENS_CSV: movielens_csv.FILES[0],
}


def open_source(config: pb.RecommenderConfig, folder: str) -> Source:
    """The logs in a folder, of the kind that `data.source` says or file names tell.

    Raises:
      UserError: if the folder or one of the files is missing, or file names tell no
        kind, or more than one.
    """
    if not storage.is_folder(folder):
        raise UserError(f"the data folder {folder} does not exist")
    kind: int = config.data.source
    if kind == pb.AUTO:
        kind = pb.CSV if config.data.HasField("csv") else _detect(folder)
    source = _make(kind, config, folder)
    for path in (*source.activity_files, *source.table_files):
        if not storage.is_file(path):
            raise UserError(
                f"{path} does not exist. Expected for data.source {source.kind}; the "
                f"folder holds {_listing(folder)}"
            )
    return source


def _detect(folder: str) -> int:
    names = storage.list_files(folder)
    found = [kind for kind, name in _TELLTALE.items() if name in names]
    if len(found) == 1:
        return found[0]
    if found:
        kinds = " and ".join(pb.Source.Name(kind) for kind in found)
        raise UserError(f"{folder} holds {kinds}: choose one with data.source")
    expected = ", ".join(_TELLTALE.values())
    raise UserError(
        f"{folder} holds none of {expected}, but {_listing(folder)}: for files of "
        "another kind name their columns in data.csv"
    )


def _make(kind: int, config: pb.RecommenderConfig, folder: str) -> Source:
    names = storage.list_files(folder)
    if kind == pb.MOVIELENS_100K:
        return movielens_100k.MovieLens100K(folder, movielens_100k.USERS in names)
    if kind == pb.MOVIELENS_DAT:
        return movielens_dat.MovieLensDat(folder, movielens_dat.USERS in names)
    if kind == pb.MOVIELENS_CSV:
        return movielens_csv.MovieLensCsv(folder)
    item_field = features.item_field(config)
    return csv_source.csv_source(folder, config.data.csv, item_field)


def _listing(folder: str) -> str:
    names = storage.list_files(folder)
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return shown or "no file"
