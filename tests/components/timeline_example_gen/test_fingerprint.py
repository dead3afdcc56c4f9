from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.timeline_example_gen.fingerprint import data_fingerprint
from configs import recommender_pb2 as pb
from configs.errors import UserError

ROWS = [(1, 10, 5, 100), (2, 11, 4, 101)]
USERS = [(1, "F", 25, 10, "48067")]


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat", "users.dat"])
def test_every_file_that_is_read_counts(
    make_config: Callable[..., pb.RecommenderConfig],
    write_dat: Callable[..., str],
    name: str,
) -> None:
    data = write_dat(ROWS, users=USERS)
    before = data_fingerprint(make_config(), data)
    with open(Path(data, name), "ab") as file:
        file.write(b"\n")
    assert data_fingerprint(make_config(), data) != before


def test_other_files_and_the_folder_do_not_count(
    make_config: Callable[..., pb.RecommenderConfig],
    write_dat: Callable[..., str],
    tmp_path: Path,
) -> None:
    data = write_dat(ROWS)
    before = data_fingerprint(make_config(), data)
    Path(data, "README").write_text("about")
    shutil.copytree(data, tmp_path / "copy")
    assert data_fingerprint(make_config(), data) == before
    assert data_fingerprint(make_config(), str(tmp_path / "copy")) == before
    assert data_fingerprint(make_config(), f"{data}/") == before


def test_a_new_table_counts(
    make_config: Callable[..., pb.RecommenderConfig], write_dat: Callable[..., str]
) -> None:
    before = data_fingerprint(make_config(), write_dat(ROWS))
    assert data_fingerprint(make_config(), write_dat(ROWS, users=USERS)) != before


def test_a_missing_file_is_named(
    make_config: Callable[..., pb.RecommenderConfig], write_dat: Callable[..., str]
) -> None:
    data = write_dat(ROWS)
    Path(data, "movies.dat").unlink()
    with pytest.raises(UserError, match=r"movies\.dat does not exist"):
        data_fingerprint(make_config(), data)
