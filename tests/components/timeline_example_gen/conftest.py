"""Small data sets on disk, and the examples that come of them."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from components.timeline_example_gen.generate import generate_examples
from configs import recommender_pb2 as pb

Examples = list[dict[str, list[Any]]]

_INPUT = """
activity_feature_groups {
  features {
    feature_name: "context_movie_id" feature_type: INT vocab_name: "movie_id"
    embedding_dim: 4 feature_length: 3
  }
  features {
    feature_name: "context_movie_rating" feature_type: FLOAT feature_length: 3
  }
}
activity_feature_groups {
  features { feature_name: "context_movie_genre" embedding_dim: 4 feature_length: 4 }
}
label_feature {
  feature_name: "label_movie_id" feature_type: INT vocab_name: "movie_id"
  embedding_dim: 4
}
"""

Row = tuple[Any, ...]


@pytest.fixture
def make_config() -> Callable[..., pb.RecommenderConfig]:
    """A configuration for MovieLens; contexts of 3, genres of 4."""

    def make(input_text: str = _INPUT, **data: Any) -> pb.RecommenderConfig:
        config = pb.RecommenderConfig()
        text_format.Parse(input_text, config.input)
        for name, value in data.items():
            setattr(config.data, name, value)
        return config

    return make


@pytest.fixture
def write_dat(tmp_path: Path) -> Callable[..., str]:
    """Writes a set in the format of MovieLens-1M."""

    def write(
        ratings: Iterable[Row],
        movies: Iterable[Row] | None = None,
        users: Iterable[Row] = (),
        folder: str = "data",
    ) -> str:
        ratings = list(ratings)
        if movies is None:
            items = sorted({row[1] for row in ratings})
            movies = [
                (item, f"Film {item} (19{item % 100:02d})", "A") for item in items
            ]
        target = tmp_path / folder
        target.mkdir(exist_ok=True)
        tables = {"ratings.dat": ratings, "movies.dat": movies, "users.dat": users}
        for name, rows in tables.items():
            lines = ["::".join(map(str, row)) + "\n" for row in rows]
            if lines:
                (target / name).write_text("".join(lines), encoding="latin-1")
        return str(target)

    return write


@pytest.fixture
def read_split() -> Callable[[Path | str, str], Examples]:
    """Reads a split's examples in the order of the files, missing values as []."""
    return _read_split


@pytest.fixture
def raw_records() -> Callable[[Path | str, str], list[bytes]]:
    """Reads a split's serialized examples in the order of the files."""
    return _raw_records


@pytest.fixture
def generate(
    tmp_path: Path,
) -> Callable[..., tuple[dict[str, Any], dict[str, Examples]]]:
    """Runs the whole job: the report, and the examples by split."""

    def run(
        config: pb.RecommenderConfig, data: str, out: str = "out"
    ) -> tuple[dict[str, Any], dict[str, Examples]]:
        report = generate_examples(config, data, str(tmp_path / out))
        splits = ("train", "eval", "test", "catalogue")
        return report, {name: _read_split(tmp_path / out, name) for name in splits}

    return run


@pytest.fixture
def movielens() -> Callable[[str], str]:
    """The folder of a real MovieLens set; skips where it is absent."""

    def find(name: str) -> str:
        root = Path(__file__).resolve().parents[3].parent / "shared" / "data"
        folder = Path(os.environ.get("POCKETREC_DATA", root)) / name
        if not folder.is_dir():
            pytest.skip(f"{name} is not in {folder.parent}; POCKETREC_DATA names it")
        return str(folder)

    return find


def _raw_records(folder: Path | str, split: str) -> list[bytes]:
    records = []
    for path in sorted(Path(folder, f"Split-{split}").glob("*.gz")):
        data = gzip.decompress(path.read_bytes())
        at = 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            records.append(data[at + 12 : at + 12 + size])
            at += 16 + size
        assert at == len(data)
    return records


def _read_split(folder: Path | str, split: str) -> Examples:
    # A decoder that is not ours.
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    records = _raw_records(folder, split)
    if not records:
        return []
    batch = ExamplesToRecordBatchDecoder().DecodeBatch(records)
    return [
        {name: value if value is not None else [] for name, value in row.items()}
        for row in batch.to_pylist()
    ]
