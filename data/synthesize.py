"""Makes MovieLens-shaped data of any size: `python -m data.synthesize --help`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from data.movielens_format import FORMATS, write_world
from data.synthetic_world import ROWS_PER_BLOCK, WorldSize

_SHOW_PROGRESS_FROM = 1_000_000


class SynthesisError(click.ClickException):
    """A data set that cannot be made as asked."""


def synthesize(
    size: WorldSize,
    format_name: str,
    out: Path,
    *,
    force: bool = False,
    rows_per_block: int = ROWS_PER_BLOCK,
    on_rows: Callable[[int], None] | None = None,
) -> list[Path]:
    """Makes a data set; all of its files appear at the end, or none.

    Args:
        size: What to generate.
        format_name: A key of `data.movielens_format.FORMATS`.
        out: Folder for the files, made if missing.
        force: Replace files of the same names.
        rows_per_block: Ratings to keep in memory at once, about. Does not change
            the result.
        on_rows: Called with the number of ratings after each block.

    Returns:
        The files, that of the ratings first.

    Raises:
        SynthesisError: files exist already, cannot be written, or there are more
            items than titles.
    """
    file_format = FORMATS[format_name]
    files = [out / name for name in file_format.file_names]
    existing = [file for file in files if file.exists()]
    if existing and not force:
        raise SynthesisError(
            f"{existing[0]} exists already: choose another --out, or replace it "
            "with --force"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the files move by a rename.
        scratch = Path(tempfile.mkdtemp(prefix=".synthesize-", dir=out))
    except OSError as error:
        raise SynthesisError(
            f"cannot write to {out}: {error.strerror or error}"
        ) from error
    try:
        write_world(
            size,
            file_format,
            scratch,
            rows_per_block=rows_per_block,
            on_rows=on_rows,
        )
        for file in files:
            (scratch / file.name).replace(file)
    except OSError as error:
        raise SynthesisError(
            f"cannot write to {out}: {error.strerror or error}"
        ) from error
    except ValueError as error:
        raise SynthesisError(str(error)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return files


@click.command("synthesize")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(sorted(FORMATS)),
    required=True,
    help="ml-100k: u.data and its tables. ml-1m: ratings.dat, movies.dat, users.dat. "
    "csv: ratings.csv and movies.csv, as in ml-latest-small, 20M, 25M and 32M.",
)
@click.option("--users", type=click.IntRange(min=1), required=True)
@click.option(
    "--items",
    type=click.IntRange(min=2),
    required=True,
    help="Films in the catalogue. The least popular ones may stay unrated.",
)
@click.option(
    "--ratings",
    type=click.IntRange(min=1),
    required=True,
    help="Ratings altogether; a user rates at most half of the films.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**63 - 1),
    default=1,
    show_default=True,
    help="The same seed and sizes give the same bytes on every machine.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the files, made if missing.",
)
@click.option("--force", is_flag=True, help="Replace files that exist already.")
def synthesize_command(
    format_name: str,
    users: int,
    items: int,
    ratings: int,
    seed: int,
    out: Path,
    force: bool,
) -> None:
    """Make MovieLens-shaped data of any size from a seed.

    The users have tastes for genres that drift, and habits: what they choose depends
    on what they chose just before. So a model that reads the order of a history, or
    the genres in it, finds something to learn. Popularity follows a power law, and
    about three quarters of the rows share a timestamp with another row of their user.

    \b
    A small set, in the format of MovieLens-1M:
      python -m data.synthesize --format ml-1m --users 600 --items 400 \\
        --ratings 40000 --seed 1 --out small
    One of the size of MovieLens-25M, made in a few minutes:
      python -m data.synthesize --format csv --users 162000 --items 59000 \\
        --ratings 25000000 --out large
    """
    try:
        size = WorldSize(users=users, items=items, ratings=ratings, seed=seed)
    except ValueError as error:
        raise SynthesisError(str(error)) from error
    if ratings < _SHOW_PROGRESS_FROM:
        files = synthesize(size, format_name, out, force=force)
    else:
        with click.progressbar(length=ratings, label="ratings", show_pos=True) as bar:
            files = synthesize(size, format_name, out, force=force, on_rows=bar.update)
    for file in files:
        click.echo(f"{file}  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    synthesize_command()
