"""Fetches the MovieLens sets from GroupLens: `pocketrec download ml-1m`."""

from __future__ import annotations

import contextlib
import email.message
import errno
import hashlib
import html.parser
import http.client
import json
import re
import shutil
import stat
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import click

DEFAULT_BASE_URL = "https://files.grouplens.org/datasets/movielens"

_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 2**18
_TRIES = 4  # connections that break off half-way; each goes on where one stopped
_MAX_CHECKSUM_BYTES = 4096


class DownloadError(click.ClickException):
    """A data set that cannot be fetched; says which file or address, and why."""


@dataclass(frozen=True)
class Dataset:
    """A published set.

    Attributes:
        name: As in the address of its archive.
        terms: The file of its licence terms beside the archive on the server.
        required: Files without which the set is not complete.
    """

    name: str
    terms: str
    required: tuple[str, ...]


def _dataset(name: str, terms: str, *required: str) -> Dataset:
    return Dataset(name, f"{name}-{terms}", required)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        _dataset("ml-100k", "README.txt", "u.data", "u.item", "u.user"),
        _dataset("ml-latest-small", "README.html", "ratings.csv", "movies.csv"),
        _dataset("ml-1m", "README.txt", "ratings.dat", "movies.dat", "users.dat"),
        _dataset("ml-10m", "README.html", "ratings.dat", "movies.dat"),
        _dataset("ml-20m", "README.html", "ratings.csv", "movies.csv"),
        _dataset("ml-25m", "README.html", "ratings.csv", "movies.csv"),
        _dataset("ml-32m", "README.html", "ratings.csv", "movies.csv"),
    )
}


def download(
    name: str,
    out: Path,
    *,
    base_url: str = DEFAULT_BASE_URL,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetches, checks and extracts a set into `out/<name>`.

    An interrupted download is kept as `out/<name>.zip.part` and goes on where it
    stopped, if the server still has the same file. The folder appears at the end,
    complete, or not at all; one that is complete already is left alone.

    Args:
        name: A key of `DATASETS`.
        out: Folder of the data sets, made if missing.
        base_url: Where `<name>.zip` and, if published, `<name>.zip.md5` are.
        force: Fetch again, and replace the folder.
        say: Told what happens, line by line.

    Returns:
        The folder of the set.

    Raises:
        DownloadError: unknown name, no such address, broken connection, wrong
            checksum, unsafe or incomplete archive, no space or no permission.
    """
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise DownloadError(f"unknown data set {name!r}: expected one of {known}")
    dataset = DATASETS[name]
    source = _Source(base_url, name)
    target = out / name
    terms = f"{source.base_url}/{dataset.terms}"
    if not force and target.exists():
        missing = missing_files(dataset, target)
        if missing:
            raise DownloadError(
                f"{target} exists but lacks {missing[0]}: move it away, or replace it "
                "with --force"
            )
        say(f"{target} is complete already, nothing fetched. Terms of use: {terms}")
        return target

    say(f"Terms of use: {terms}")
    part = out / f"{name}.zip.part"
    with _disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        checksum = source.fetch_checksum()
        source.fetch_archive(part, say)
        _verify(part, checksum, source, say)
        with _scratch_folder(out, name) as scratch:
            try:
                root = _extract(part, scratch, dataset)
            except _BadArchiveError:
                _discard(part)
                raise
            _replace(target, root, scratch / "replaced")
        _discard(part)
    for line in licence_section(target).splitlines():
        say(line)
    say(f"{name} is in {target}")
    return target


def missing_files(dataset: Dataset, folder: Path) -> list[str]:
    """The required files that a folder lacks, or that are empty."""
    return [
        name
        for name in dataset.required
        if not (folder / name).is_file() or not (folder / name).stat().st_size
    ]


def licence_section(folder: Path) -> str:
    """The section of the set's README on its licence; where to look if it has none."""
    readmes = sorted(path for path in folder.glob("README*") if path.is_file())
    if not readmes:
        return f"No README in {folder}: see the set's page for its terms of use."
    text = readmes[0].read_text(encoding="utf-8", errors="replace")
    if readmes[0].suffix == ".html":
        text = _text_of_html(text)
    # A heading is a line that is underlined with = or -.
    heading = re.compile(r"^(?P<title>\S.*)\n[=-]{3,}[ \t]*$", re.MULTILINE)
    found = list(heading.finditer(text))
    for index, match in enumerate(found):
        if re.search(r"usage licen[sc]e", match["title"], re.IGNORECASE):
            last = index + 1 == len(found)
            end = len(text) if last else found[index + 1].start()
            return f"{text[match.start() : end].strip()}\n(from {readmes[0]})"
    return f"Terms of use: see {readmes[0]}"


@click.command("download")
@click.argument("name", type=click.Choice(list(DATASETS)))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("datasets"),
    show_default=True,
    help="Folder of the data sets; this one goes into a folder of its name there.",
)
@click.option(
    "--base-url",
    default=DEFAULT_BASE_URL,
    show_default=True,
    help="Folder on a server that holds NAME.zip, for instance a mirror.",
)
@click.option("--force", is_flag=True, help="Fetch again and replace the folder.")
def download_command(name: str, out: Path, base_url: str, force: bool) -> None:
    """Fetch a MovieLens data set from GroupLens.

    Stop it at any time: the next run goes on where this one stopped. The archive is
    checked against the published checksum where there is one, and the set's terms of
    use are shown.

    \b
    For example:
      pocketrec download ml-1m
      pocketrec run --config configs/movielens_1m.pbtxt --data datasets/ml-1m
    """
    download(name, out, base_url=base_url, force=force, say=click.echo)


@dataclass(frozen=True)
class _Version:
    """Which version of a remote file a partial download is of."""

    url: str
    etag: str | None
    last_modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """For If-Range, which allows no weak tags."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def differs(self, other: _Version) -> bool:
        """Whether two answers surely, or possibly, are of different content."""
        if self.url != other.url or self.validator is None:
            return True
        if None not in (self.total, other.total) and self.total != other.total:
            return True
        return self.validator != other.validator


class _BadArchiveError(DownloadError):
    """What was fetched is of no use, so that it must not be kept."""


class _BrokenOffError(Exception):
    """A connection ended before the file did."""


class _Source:
    """The server's side of one data set."""

    def __init__(self, base_url: str, name: str) -> None:
        address = urllib.parse.urlsplit(base_url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise DownloadError(
                f"expected a base URL of http:// or https://, received {base_url!r}"
            )
        self.base_url = base_url.rstrip("/")
        self.archive_url = f"{self.base_url}/{name}.zip"
        # Not urlopen: it would follow a redirection to ftp as well.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def fetch_checksum(self) -> str | None:
        """The archive's published MD5 in lower case, or None if there is none."""
        url = f"{self.archive_url}.md5"
        try:
            with self._open(url, {}) as answer:
                text = answer.read(_MAX_CHECKSUM_BYTES).decode("latin-1")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 403, 410):
                return None
            raise _no_answer(url, error) from error
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(url, error) from error
        found = re.search(r"(?<![0-9a-fA-F])[0-9a-fA-F]{32}(?![0-9a-fA-F])", text)
        if not found:
            raise DownloadError(f"{url} holds no MD5 checksum")
        return found.group().lower()

    def fetch_archive(self, part: Path, say: Callable[[str], None]) -> None:
        """Completes `part`, going on with what is there if it is still the same."""
        for attempt in range(_TRIES):
            before = part.stat().st_size if part.exists() else 0
            try:
                self._continue(part, say)
                return
            except _BrokenOffError as error:
                size = part.stat().st_size if part.exists() else 0
                stuck = attempt + 1 == _TRIES or size == before
                if stuck:
                    raise DownloadError(
                        f"{self.archive_url}: {error}; run it again to go on from there"
                    ) from error

    def _continue(self, part: Path, say: Callable[[str], None]) -> None:
        known = _load_version(part)
        have = part.stat().st_size if known and part.exists() else 0
        headers = {}
        if known and known.validator and known.url == self.archive_url and have:
            headers = {"Range": f"bytes={have}-", "If-Range": known.validator}
        try:
            answer = self._open(self.archive_url, headers)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and headers and known:
                if _range_total(error.headers) in (have, None) and known.total == have:
                    return  # everything had arrived already
                _discard(part)
                return self._continue(part, say)
            raise _no_answer(self.archive_url, error) from error
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(self.archive_url, error) from error
        with answer:
            version = self._version_of(answer)
            resumed = answer.status == 206
            if resumed and not headers:
                raise DownloadError(
                    f"{self.archive_url} answers with a part of the file, unasked"
                )
            if resumed and (
                known is None
                or known.differs(version)
                or _range_start(answer.headers) != have
            ):
                _discard(part)
                return self._continue(part, say)
            if resumed:
                say(f"Going on after {have:,} bytes")
            else:
                have = 0
                _discard(part)  # before it gets another version's label
            _check_space(part.parent, version.total, have)
            _save_version(part, version)
            with part.open("ab" if resumed else "wb") as file:
                self._receive(answer, file, have, version.total)

    def _receive(
        self,
        answer: http.client.HTTPResponse,
        file: BinaryIO,
        have: int,
        total: int | None,
    ) -> None:
        of_total = f" of {total:,}" if total is not None else ""
        label = self.archive_url.rsplit("/", 1)[-1]
        with click.progressbar(length=total or 0, label=label) as bar:
            bar.update(have)
            while True:
                try:
                    chunk = answer.read(_CHUNK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise _BrokenOffError(
                        f"the connection broke off after {have:,}{of_total} bytes"
                    ) from error
                if not chunk:
                    break
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
        if total is not None and have != total:
            raise _BrokenOffError(
                f"the connection ended after {have:,}{of_total} bytes"
            )

    def _version_of(self, answer: http.client.HTTPResponse) -> _Version:
        total: int | None
        if answer.status == 206:
            total = _range_total(answer.headers)
        else:
            total = _as_int(answer.headers.get("Content-Length"))
        return _Version(
            url=self.archive_url,
            etag=answer.headers.get("ETag"),
            last_modified=answer.headers.get("Last-Modified"),
            total=total,
        )

    def _open(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        request = urllib.request.Request(
            url, headers={"Accept-Encoding": "identity", **headers}
        )
        answer = self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        assert isinstance(answer, http.client.HTTPResponse)
        return answer


def _verify(
    part: Path, checksum: str | None, source: _Source, say: Callable[[str], None]
) -> None:
    if checksum is None:
        say("No checksum is published for it; the archive's own are checked.")
        return
    # Not a protection from forgery, only from damage.
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != checksum:
        _discard(part)
        raise DownloadError(
            f"{source.archive_url} has MD5 {digest.hexdigest()}, published is "
            f"{checksum}: damaged, removed; run it again"
        )
    say(f"MD5 {checksum} is right")


def _extract(archive: Path, scratch: Path, dataset: Dataset) -> Path:
    """Extracts an archive's one folder; returns where it is.

    Raises:
        _BadArchiveError: no ZIP file, damaged, incomplete, or a member is not a plain
            file or folder inside the archive's own folder: nothing is extracted then.
        DownloadError: not enough space.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [
                member
                for member in opened.infolist()
                if not member.filename.startswith("__MACOSX/")
            ]
            folder = _check_members(members, dataset.name)
            _check_space(scratch, sum(member.file_size for member in members), 0)
            for member in members:
                opened.extract(member, scratch)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _BadArchiveError(
            f"{dataset.name}.zip is damaged or no ZIP archive ({error}): removed; "
            "run it again"
        ) from error
    missing = missing_files(dataset, scratch / folder)
    if missing:
        raise _BadArchiveError(
            f"{dataset.name}.zip lacks {missing[0]}: removed, nothing kept"
        )
    return scratch / folder


def _check_members(members: list[zipfile.ZipInfo], name: str) -> str:
    """The one folder that holds all members, each checked to stay inside it."""

    def refusal(reason: str) -> _BadArchiveError:
        return _BadArchiveError(f"{name}.zip {reason}: removed, nothing extracted")

    folders = set()
    files: set[str] = set()
    for member in members:
        path = member.filename
        parts = path.rstrip("/").split("/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if (
            "\\" in path
            or ":" in parts[0]
            or any(part in ("", ".", "..") for part in parts)
            or any(ord(character) < 32 for character in path)
        ):
            raise refusal(f"holds {path!r}, which leads out of its folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
            raise refusal(f"holds {path!r}, which is no plain file or folder")
        if len(parts) == 1 and not member.is_dir():
            raise refusal(f"holds {path!r} outside of its folder")
        if any("/".join(parts[:depth]) in files for depth in range(1, len(parts) + 1)):
            raise refusal(f"holds {path!r} twice, or inside of a file")
        if not member.is_dir():
            files.add(path)
        folders.add(parts[0])
    if len(folders) != 1:
        raise refusal(f"holds {len(folders)} folders, expected one")
    return folders.pop()


def _replace(target: Path, root: Path, aside: Path) -> None:
    """Puts the finished folder in its place, or leaves what is there."""
    replaced = target.exists()
    if replaced:
        target.rename(aside)
    try:
        root.rename(target)
    except OSError:
        if replaced:
            aside.rename(target)
        raise


@contextlib.contextmanager
def _scratch_folder(out: Path, name: str) -> Iterator[Path]:
    # Beside the target, so that the finished folder moves by a rename.
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=out))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "no space left"
        raise DownloadError(f"cannot write to {out}: {reason}") from error


def _check_space(folder: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(folder).free
    if total is not None and total - have > free:
        raise DownloadError(
            f"{folder} has {free:,} bytes free, {total - have:,} are needed"
        )


def _no_answer(url: str, error: Exception) -> DownloadError:
    if isinstance(error, urllib.error.HTTPError):
        if error.code == 404:
            return DownloadError(f"{url} does not exist (HTTP 404)")
        return DownloadError(f"{url} answers HTTP {error.code} {error.reason}")
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return DownloadError(f"cannot reach {url}: {reason}")


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _load_version(part: Path) -> _Version | None:
    """What the partial download is of; None where that is not known."""
    try:
        return _Version(**json.loads(_version_file(part).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None  # cut off while being written: the download starts afresh


def _save_version(part: Path, version: _Version) -> None:
    _version_file(part).write_text(json.dumps(asdict(version)))


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _range_start(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def _range_total(headers: email.message.Message) -> int | None:
    return _as_int((headers.get("Content-Range") or "").rpartition("/")[2])


def _as_int(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


class _TextOfHtml(html.parser.HTMLParser):
    """Collects a page's text, its headings underlined."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._heading: list[str] | None = None
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script"):
            self._hidden = True
        elif re.fullmatch("h[1-6]", tag):
            self._heading = []
        elif tag == "li":
            self.pieces.append("\n* ")
        elif tag in ("p", "br", "ul", "ol", "div", "tr", "pre"):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._hidden = False
        elif re.fullmatch("h[1-6]", tag) and self._heading is not None:
            title = " ".join("".join(self._heading).split())
            self.pieces.append(f"\n\n{title}\n{'=' * max(3, len(title))}\n")
            self._heading = None

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        (self.pieces if self._heading is None else self._heading).append(data)


def _text_of_html(page: str) -> str:
    parser = _TextOfHtml()
    parser.feed(page)
    parser.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(parser.pieces))


if __name__ == "__main__":
    download_command()
