from __future__ import annotations

import csv
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from data import movielens_format, synthetic_world
from data.synthesize import SynthesisError, synthesize, synthesize_command
from data.synthetic_world import WorldSize

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "data" / "sample"
SMALL = WorldSize(users=30, items=80, ratings=900, seed=5)


@pytest.fixture
def movielens() -> Path:
    """Folder of the real sets."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("POCKETREC_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real MovieLens sets in {folder} (set POCKETREC_DATA)")
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(synthesize_command, [str(part) for part in arguments])


def small_arguments(out: Path, file_format: str = "ml-1m") -> list[str]:
    sizes = ["--users", "30", "--items", "80", "--ratings", "900", "--seed", "5"]
    return ["--format", file_format, *sizes, "--out", str(out)]


def read_fields(path: Path, separator: str) -> list[list[str]]:
    text = path.read_bytes().decode("latin-1")
    assert text.endswith("\n")
    return [line.split(separator) for line in text.split("\n")[:-1]]


def read_sample() -> np.ndarray:
    """User, item, stars, timestamp of the sample: int64 [rows, 4]."""
    return np.array(read_fields(SAMPLE / "ratings.dat", "::"), np.int64)


def timelines(rows: np.ndarray) -> list[np.ndarray]:
    """Items of each user by time, ties in a random order that is fixed."""
    chance = np.random.default_rng(0).random(len(rows))
    rows = rows[np.lexsort((chance, rows[:, 3], rows[:, 0]))]
    starts = np.flatnonzero(np.diff(rows[:, 0])) + 1
    return np.split(rows[:, 1], starts)


class TestSample:
    def test_command_in_readme_makes_the_same_bytes(self, tmp_path: Path) -> None:
        readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
        line = re.search(r"^python -m data\.synthesize (.+)$", readme, re.MULTILINE)
        assert line
        arguments = shlex.split(line[1])
        assert arguments[-2:] == ["--out", "data/sample"]
        result = run(*arguments[:-1], str(tmp_path))
        assert result.exit_code == 0, result.output
        made = sorted(path.name for path in tmp_path.iterdir())
        assert made == ["movies.dat", "ratings.dat", "users.dat"]
        for name in made:
            assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()

    def test_files_are_under_a_megabyte(self) -> None:
        assert all(path.stat().st_size < 1_000_000 for path in SAMPLE.iterdir())

    def test_about_three_quarters_of_the_rows_are_tied(self) -> None:
        rows = read_sample()
        _, group, size = np.unique(
            rows[:, [0, 3]], axis=0, return_inverse=True, return_counts=True
        )
        assert 0.70 < (size[group.ravel()] > 1).mean() < 0.80

    def test_order_carries_signal(self) -> None:
        """Leave-one-out, full ranking, items the user has seen left out."""
        items = np.unique(read_sample()[:, 1])
        histories = [np.searchsorted(items, one) for one in timelines(read_sample())]
        popularity = np.zeros(len(items))
        follows = np.zeros((len(items), len(items)))  # first order
        follows_soon = np.zeros((len(items), len(items)))  # 5 steps, by 1/step
        for history in histories:
            train = history[:-2]
            np.add.at(popularity, train, 1)
            np.add.at(follows, (train[:-1], train[1:]), 1)
            for step in range(1, 6):
                np.add.at(follows_soon, (train[:-step], train[step:]), 1 / step)

        def hit_rate(scores: list[np.ndarray]) -> float:
            hits = 0
            for history, score in zip(histories, scores, strict=True):
                score = np.array(score)
                score[history[:-1]] = -np.inf
                # Equal scores count against the label, which itself is one of them.
                hits += (score >= score[history[-1]]).sum() <= 10
            return hits / len(histories)

        often = 1e-6 * popularity
        by_popularity = hit_rate([popularity for _ in histories])
        by_last = hit_rate([follows[history[-2]] + often for history in histories])
        by_last_five = hit_rate(
            [
                sum(follows_soon[history[-1 - step]] / step for step in range(1, 6))
                + often
                for history in histories
            ]
        )
        assert 0.05 < by_popularity < 0.12
        assert by_last > 2 * by_popularity
        assert by_last_five > 1.2 * by_last

    def test_genres_of_the_past_tell_the_future(self) -> None:
        genres = {
            int(item): set(names.split("|"))
            for item, _, names in read_fields(SAMPLE / "movies.dat", "::")
        }
        histories = timelines(read_sample())

        def shared(first: list[int], second: list[int]) -> float:
            return float(
                np.mean(
                    [
                        bool(genres[a] & genres[b])
                        for a, b in zip(first, second, strict=True)
                    ]
                )
            )

        # So far apart that habits cannot explain it.
        earlier = [int(item) for history in histories for item in history[:-12]]
        later = [int(item) for history in histories for item in history[12:]]
        by_chance = np.random.default_rng(0).permutation(later).tolist()
        assert shared(earlier, later) > 1.15 * shared(earlier, by_chance)

    def test_popularity_is_skewed(self) -> None:
        counts = np.sort(np.unique(read_sample()[:, 1], return_counts=True)[1])[::-1]
        assert counts[:70].sum() > 0.25 * counts.sum()  # 10 % of the items

    def test_titles_have_commas_quotes_and_accents(self) -> None:
        titles = [row[1] for row in read_fields(SAMPLE / "movies.dat", "::")]
        for character in (",", '"', "'", "é"):
            assert any(character in title for title in titles)


class TestWorld:
    @pytest.mark.parametrize("file_format", sorted(movielens_format.FORMATS))
    def test_block_size_changes_nothing(self, tmp_path: Path, file_format: str) -> None:
        blocks: list[int] = []
        synthesize(SMALL, file_format, tmp_path / "one")
        synthesize(
            SMALL,
            file_format,
            tmp_path / "many",
            rows_per_block=70,
            on_rows=blocks.append,
        )
        assert len(blocks) > 5
        assert sum(blocks) == SMALL.ratings
        for path in (tmp_path / "one").iterdir():
            assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()

    def test_seed_changes_the_ratings(self, tmp_path: Path) -> None:
        first = synthesize(SMALL, "ml-1m", tmp_path / "5")
        other = WorldSize(users=30, items=80, ratings=900, seed=6)
        second = synthesize(other, "ml-1m", tmp_path / "6")
        assert first[0].read_bytes() != second[0].read_bytes()

    def test_nobody_rates_an_item_twice(self) -> None:
        rows = read_sample()
        assert len(np.unique(rows[:, :2], axis=0)) == len(rows) == 40_000
        assert np.array_equal(np.unique(rows[:, 0]), np.arange(1, 601))

    def test_time_never_falls_and_ties_are_bursts(self) -> None:
        catalogue = synthetic_world.make_catalogue(SMALL)
        (block,) = synthetic_world.generate_ratings(SMALL, catalogue)
        same_user = np.diff(block.user) == 0
        assert (np.diff(block.timestamp)[same_user] >= 0).all()

    @pytest.mark.parametrize(
        ("users", "items", "ratings"),
        [(1, 2, 1), (3, 2, 3), (7, 9, 28), (4, 40, 80), (1, 50, 25)],
    )
    def test_smallest_and_fullest_worlds(
        self, users: int, items: int, ratings: int
    ) -> None:
        size = WorldSize(users=users, items=items, ratings=ratings, seed=1)
        catalogue = synthetic_world.make_catalogue(size)
        blocks = list(synthetic_world.generate_ratings(size, catalogue))
        pairs = {
            (int(user), int(item))
            for block in blocks
            for user, item in zip(block.user, block.item, strict=True)
        }
        assert len(pairs) == ratings
        assert {user for user, _ in pairs} == set(range(users))
        assert all(0 <= item < items for _, item in pairs)

    @settings(deadline=None)
    @given(
        users=st.integers(1, 300),
        items=st.integers(2, 300),
        fill=st.floats(0, 1),
        seed=st.integers(0, 2**63 - 1),
    )
    def test_lengths_add_up(
        self, users: int, items: int, fill: float, seed: int
    ) -> None:
        ratings = users + int(fill * users * (items // 2 - 1))
        size = WorldSize(users=users, items=items, ratings=ratings, seed=seed)
        lengths = synthetic_world.timeline_lengths(size)
        assert lengths.shape == (users,)
        assert lengths.sum() == ratings
        assert lengths.min() >= 1
        assert lengths.max() <= items // 2

    def test_every_item_has_one_to_three_genres(self) -> None:
        catalogue = synthetic_world.make_catalogue(SMALL)
        count = catalogue.genres.sum(axis=1)
        assert catalogue.genres.shape == (80, 18)
        assert count.min() >= 1
        assert count.max() <= 3

    def test_parts_of_a_series_follow_each_other(self) -> None:
        catalogue = synthetic_world.make_catalogue(SMALL)
        same = np.diff(catalogue.series) == 0
        assert same.any()
        assert (np.diff(catalogue.part)[same] == 1).all()
        assert (np.diff(catalogue.year)[same] >= 0).all()
        assert (catalogue.part[1:][~same] == 0).all()

    def test_all_titles_differ(self) -> None:
        size = WorldSize(users=1, items=20_000, ratings=1, seed=1)
        catalogue = synthetic_world.make_catalogue(size)
        titles = movielens_format.make_titles(size, catalogue)
        names = {re.sub(r" \(\d{4}\)$", "", title) for title in titles}
        assert len(names) == 20_000
        assert all("|" not in title and "::" not in title for title in titles)

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ((0, 10, 5, 1), "at least 1 user"),
            ((5, 1, 5, 1), "2 items"),
            ((5, 10, 4, 1), "allow 5 to 25 ratings"),
            ((5, 10, 26, 1), "received ratings=26"),
            ((5, 10, 20, -1), "seed"),
        ],
    )
    def test_impossible_sizes_are_refused(
        self, sizes: tuple[int, int, int, int], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            WorldSize(*sizes)


class TestFormats:
    def test_ml_1m(self, tmp_path: Path) -> None:
        synthesize(SMALL, "ml-1m", tmp_path)
        movies = read_fields(tmp_path / "movies.dat", "::")
        ids = [int(row[0]) for row in movies]
        assert len(ids) == 80
        assert ids == sorted(set(ids))
        assert ids[-1] > 80  # like the real one, it skips some
        for _, title, genres in movies:
            assert re.fullmatch(r".+ \((19|20)\d\d\)", title)
            assert set(genres.split("|")) <= set(synthetic_world.GENRES)
        users = read_fields(tmp_path / "users.dat", "::")
        assert [int(row[0]) for row in users] == list(range(1, 31))
        for _, gender, age, occupation, zip_code in users:
            assert gender in "MF"
            assert int(age) in (1, 18, 25, 35, 45, 50, 56)
            assert 0 <= int(occupation) <= 20
            assert re.fullmatch(r"\d{5}", zip_code)
        ratings = read_fields(tmp_path / "ratings.dat", "::")
        assert len(ratings) == 900
        for user, item, stars, timestamp in ratings:
            assert 1 <= int(user) <= 30
            assert int(item) in ids
            assert stars in "12345"
            assert len(timestamp) in (9, 10)

    def test_ml_100k(self, tmp_path: Path) -> None:
        synthesize(SMALL, "ml-100k", tmp_path)
        items = read_fields(tmp_path / "u.item", "|")
        assert [int(row[0]) for row in items] == list(range(1, 81))
        for row in items:
            assert len(row) == 24
            assert re.fullmatch(r"01-Jan-\d{4}", row[2])
            assert row[2][-4:] == row[1][-5:-1]
            assert row[3] == ""
            assert set(row[5:]) <= {"0", "1"}
            assert row[5] == "0"  # 'unknown'
            assert 1 <= row[5:].count("1") <= 3
        genres = (tmp_path / "u.genre").read_text().splitlines()
        assert genres[:2] == ["unknown|0", "Action|1"]
        assert genres[18:] == ["Western|18", ""]
        occupations = (tmp_path / "u.occupation").read_text().splitlines()
        assert len(occupations) == 21
        for _, age, gender, occupation, zip_code in read_fields(
            tmp_path / "u.user", "|"
        ):
            assert 14 <= int(age) <= 72
            assert gender in "MF"
            assert occupation in occupations
            assert len(zip_code) == 5
        info = (tmp_path / "u.info").read_text()
        assert info == "30 users\n80 items\n900 ratings\n"
        rows = read_fields(tmp_path / "u.data", "\t")
        assert len(rows) == 900
        assert {len(row) for row in rows} == {4}

    def test_csv(self, tmp_path: Path) -> None:
        synthesize(SMALL, "csv", tmp_path)
        with (tmp_path / "movies.csv").open(encoding="utf-8", newline="") as file:
            movies = list(csv.DictReader(file))
        assert list(movies[0]) == ["movieId", "title", "genres"]
        assert len(movies) == 80
        assert any('"' in row["title"] for row in movies)
        assert any("," in row["title"] for row in movies)
        names = {name for row in movies for name in row["genres"].split("|")}
        assert "Children's" not in names
        assert (tmp_path / "movies.csv").read_bytes().count(b"\r\n") == 81
        lines = (tmp_path / "ratings.csv").read_bytes().split(b"\r\n")
        assert lines[0] == b"userId,movieId,rating,timestamp"
        assert lines[-1] == b""
        rows = [line.decode().split(",") for line in lines[1:-1]]
        assert len(rows) == 900
        assert {row[2] for row in rows} <= {str(n / 2) for n in range(1, 11)}
        assert any(row[2].endswith(".5") for row in rows)
        keys = [(int(row[0]), int(row[1])) for row in rows]
        assert keys == sorted(set(keys))

    def test_formats_tell_of_one_world(self, tmp_path: Path) -> None:
        """Who chose when is the same; only ids, stars' steps and the order differ."""
        for name in movielens_format.FORMATS:
            synthesize(SMALL, name, tmp_path / name)
        separators = {"ml-100k/u.data": "\t", "ml-1m/ratings.dat": "::"}
        first, second = (
            sorted((row[0], row[3]) for row in read_fields(tmp_path / path, separator))
            for path, separator in separators.items()
        )
        assert first == second

    @pytest.mark.parametrize(
        ("file_format", "real", "separator"),
        [
            ("ml-100k", "ml-100k/u.data", "\t"),
            ("ml-100k", "ml-100k/u.item", "|"),
            ("ml-100k", "ml-100k/u.user", "|"),
            ("ml-100k", "ml-100k/u.genre", "|"),
            ("csv", "ml-latest-small/ratings.csv", ","),
        ],
    )
    def test_columns_are_those_of_the_real_set(
        self,
        tmp_path: Path,
        movielens: Path,
        file_format: str,
        real: str,
        separator: str,
    ) -> None:
        synthesize(SMALL, file_format, tmp_path)
        real_file = movielens / real
        if not real_file.exists():
            pytest.skip(f"{real} is not there")
        ours = (tmp_path / real_file.name).read_bytes().split(b"\n")
        theirs = real_file.read_bytes().split(b"\n")
        columns = separator.encode()
        for line in (0, 1):
            assert ours[line].count(columns) == theirs[line].count(columns)
            assert ours[line].endswith(b"\r") == theirs[line].endswith(b"\r")


class TestCommand:
    def test_names_files_and_sizes(self, tmp_path: Path) -> None:
        result = run(*small_arguments(tmp_path / "new" / "folder"))
        assert result.exit_code == 0, result.output
        assert result.output.count(" bytes\n") == 3
        assert "ratings.dat" in result.output.splitlines()[0]

    def test_refuses_to_overwrite(self, tmp_path: Path) -> None:
        (tmp_path / "users.dat").write_text("mine")
        result = run(*small_arguments(tmp_path))
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert "users.dat exists already" in result.output
        assert result.output.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["users.dat"]
        assert (tmp_path / "users.dat").read_text() == "mine"

    def test_force_overwrites(self, tmp_path: Path) -> None:
        (tmp_path / "users.dat").write_text("mine")
        (tmp_path / "other").write_text("stays")
        assert run(*small_arguments(tmp_path), "--force").exit_code == 0
        assert (tmp_path / "users.dat").read_text().startswith("1::")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "movies.dat",
            "other",
            "ratings.dat",
            "users.dat",
        ]

    def test_impossible_sizes_are_one_line(self, tmp_path: Path) -> None:
        result = run(*small_arguments(tmp_path), "--ratings", "5000")
        assert result.exit_code == 1
        assert "allow 30 to 1200 ratings" in result.output
        assert result.output.count("\n") == 1
        assert not any(tmp_path.iterdir())

    def test_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        result = run(*small_arguments(tmp_path / "file" / "out"))
        assert result.exit_code == 1
        assert "cannot write to" in result.output
        assert result.output.count("\n") == 1

    def test_full_disk_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(movielens_format, "_write_rows", fail)
        with pytest.raises(SynthesisError, match="No space left on device"):
            synthesize(SMALL, "ml-1m", tmp_path)
        assert not any(tmp_path.iterdir())

    def test_help_teaches(self) -> None:
        result = run("--help")
        assert result.exit_code == 0
        assert "python -m data.synthesize --format ml-1m" in result.output
