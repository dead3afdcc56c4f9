from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data import download as module
from data.download import (
    DATASETS,
    DownloadError,
    download,
    download_command,
    licence_section,
)

README = """SUMMARY & USAGE LICENSE
=============================================

Use it for research only.

CITATION
==============================================

Cite it.
"""
FILES = {
    "ml-1m/README": README.encode(),
    "ml-1m/ratings.dat": os.urandom(60_000),  # does not compress
    "ml-1m/movies.dat": b"1::A (1999)::Drama\n",
    "ml-1m/users.dat": b"1::F::1::10::48067\n",
}


def make_zip(files: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (FILES if files is None else files).items():
            # By ZipInfo: writestr would tidy up a bad name.
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@dataclass
class Answers:
    """What the server does; `requests` says what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    last_modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    break_after: list[int] = field(default_factory=list)  # bytes, one per connection
    status: dict[str, int] = field(default_factory=dict)
    send_length: bool = True
    always_partial: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def publish(self, archive: bytes, checksum: str | None = "right") -> None:
        self.files["/ml-1m.zip"] = archive
        if checksum == "right":
            checksum = hashlib.md5(archive).hexdigest()
        if checksum is not None:
            self.files["/ml-1m.zip.md5"] = f"MD5 (ml-1m.zip) = {checksum}\n".encode()

    @property
    def archive_requests(self) -> list[str | None]:
        """The Range of each request for the archive."""
        return [asked for path, asked in self.requests if path.endswith(".zip")]


class Handler(http.server.BaseHTTPRequestHandler):
    answers: Answers

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        answers = self.answers
        asked = self.headers.get("Range")
        answers.requests.append((self.path, asked))
        if self.path in answers.status:
            self.send_error(answers.status[self.path])
            return
        if self.path not in answers.files:
            self.send_error(404)
            return
        body = answers.files[self.path]
        start = self._start(asked)
        if start >= len(body) and asked and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if start or answers.always_partial:
            self.send_response(206)
            last = len(body) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(body)}")
        else:
            self.send_response(200)
        if answers.send_length:
            self.send_header("Content-Length", str(len(body) - start))
        if answers.etag:
            self.send_header("ETag", answers.etag)
        if answers.last_modified:
            self.send_header("Last-Modified", answers.last_modified)
        self.end_headers()
        body = body[start:]
        if self.path.endswith(".zip") and answers.break_after:
            body = body[: answers.break_after.pop(0)]
        # A client that refuses the file hangs up in the middle of it.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
        self.close_connection = True

    def _start(self, asked: str | None) -> int:
        answers = self.answers
        if not asked or not answers.ranges:
            return 0
        condition = self.headers.get("If-Range")
        current = answers.etag or answers.last_modified
        if answers.if_range and condition and condition != current:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@dataclass
class Server:
    url: str
    answers: Answers


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 20)
    answers = Answers()
    handler = type("BoundHandler", (Handler,), {"answers": answers})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Server(f"http://127.0.0.1:{httpd.server_port}", answers)
        httpd.shutdown()
        thread.join(timeout=20)


def fetch(server: Server, out: Path, *options: str) -> Result:
    arguments = ["ml-1m", "--out", str(out), "--base-url", server.url, *options]
    return CliRunner().invoke(download_command, arguments)


def assert_refused(result: Result, *parts: str) -> None:
    """Exit code 1 and one line that names what is wrong, no traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert errors == result.output.splitlines()[-1:]
    for part in parts:
        assert part in errors[0]


def assert_complete(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["ml-1m"]
    for name, content in FILES.items():
        assert (out / name).read_bytes() == content


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestComplete:
    def test_fetches_checks_and_extracts(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        result = fetch(server, tmp_path / "sets")
        assert result.exit_code == 0, result.output
        assert_complete(tmp_path / "sets")
        assert "is right" in result.output

    def test_shows_the_licence(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        output = fetch(server, tmp_path).output
        assert f"{server.url}/ml-1m-README.txt" in output
        assert "Use it for research only." in output
        assert "Cite it." not in output

    def test_without_a_published_checksum(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip(), checksum=None)
        result = fetch(server, tmp_path)
        assert result.exit_code == 0, result.output
        assert "No checksum is published" in result.output
        assert_complete(tmp_path)

    def test_leaves_a_complete_set_alone(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        fetch(server, tmp_path)
        (tmp_path / "ml-1m" / "notes").write_text("mine")
        server.answers.requests.clear()
        result = fetch(server, tmp_path)
        assert result.exit_code == 0
        assert "complete already" in result.output
        assert server.answers.requests == []
        assert (tmp_path / "ml-1m" / "notes").read_text() == "mine"

    def test_force_replaces_the_folder(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        (tmp_path / "ml-1m").mkdir()
        (tmp_path / "ml-1m" / "old").write_text("old")
        assert fetch(server, tmp_path, "--force").exit_code == 0
        assert_complete(tmp_path)
        assert not (tmp_path / "ml-1m" / "old").exists()

    def test_incomplete_folder_is_named(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        (tmp_path / "ml-1m").mkdir()
        (tmp_path / "ml-1m" / "ratings.dat").write_text("")
        assert_refused(fetch(server, tmp_path), "ml-1m exists but lacks ratings.dat")
        assert server.answers.requests == []

    def test_folder_of_another_name_in_the_archive(
        self, server: Server, tmp_path: Path
    ) -> None:
        content = {"ml-10M100K/ratings.dat": b"r", "ml-10M100K/movies.dat": b"m"}
        server.answers.files["/ml-10m.zip"] = make_zip(
            content | {"__MACOSX/._ratings.dat": b""}
        )
        target = download("ml-10m", tmp_path, base_url=f"{server.url}/")
        assert target == tmp_path / "ml-10m"
        assert names(target) == ["movies.dat", "ratings.dat"]

    def test_without_a_length(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        server.answers.send_length = False
        assert fetch(server, tmp_path).exit_code == 0
        assert_complete(tmp_path)


class TestResume:
    ARCHIVE = make_zip()

    def interrupt(self, server: Server, out: Path, after: int = 20_000) -> None:
        """Leaves a part of the archive, as a first run that was cut off does."""
        server.answers.publish(self.ARCHIVE)
        server.answers.break_after = [after, 0]
        assert_refused(fetch(server, out), f"after {after:,} of", "run it again")
        assert names(out) == ["ml-1m.zip.part", "ml-1m.zip.part.json"]
        assert (out / "ml-1m.zip.part").read_bytes() == self.ARCHIVE[:after]
        server.answers.break_after = []
        server.answers.requests.clear()

    def test_goes_on_by_itself(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(self.ARCHIVE)
        server.answers.break_after = [10_000, 15_000]
        result = fetch(server, tmp_path)
        assert result.exit_code == 0, result.output
        asked = [None, "bytes=10000-", "bytes=25000-"]
        assert server.answers.archive_requests == asked
        assert_complete(tmp_path)

    def test_next_run_goes_on(self, server: Server, tmp_path: Path) -> None:
        self.interrupt(server, tmp_path)
        result = fetch(server, tmp_path)
        assert "Going on after 20,000 bytes" in result.output
        assert server.answers.archive_requests == ["bytes=20000-"]
        assert_complete(tmp_path)

    def test_by_last_modified(self, server: Server, tmp_path: Path) -> None:
        server.answers.etag = 'W/"weak"'
        server.answers.last_modified = "Tue, 03 Mar 2020 10:00:00 GMT"
        server.answers.if_range = False
        self.interrupt(server, tmp_path)
        assert fetch(server, tmp_path).exit_code == 0
        assert server.answers.archive_requests == ["bytes=20000-"]
        assert_complete(tmp_path)

    def test_server_that_ignores_ranges(self, server: Server, tmp_path: Path) -> None:
        self.interrupt(server, tmp_path)
        server.answers.ranges = False
        result = fetch(server, tmp_path)
        assert "Going on" not in result.output
        assert server.answers.archive_requests == ["bytes=20000-"]
        assert_complete(tmp_path)

    @pytest.mark.parametrize("if_range", [True, False])
    def test_changed_file_starts_afresh(
        self, server: Server, tmp_path: Path, if_range: bool
    ) -> None:
        """Also where the server knows no If-Range and sends the rest of the new one."""
        self.interrupt(server, tmp_path)
        server.answers.etag = '"two"'
        server.answers.if_range = if_range
        server.answers.publish(make_zip(), checksum=None)
        del server.answers.files["/ml-1m.zip.md5"]
        result = fetch(server, tmp_path)
        assert result.exit_code == 0, result.output
        expected = ["bytes=20000-"] if if_range else ["bytes=20000-", None]
        assert server.answers.archive_requests == expected
        assert_complete(tmp_path)

    def test_file_of_unknown_version_starts_afresh(
        self, server: Server, tmp_path: Path
    ) -> None:
        server.answers.etag = None
        server.answers.publish(self.ARCHIVE)
        server.answers.break_after = [20_000, 20_000]
        assert_refused(fetch(server, tmp_path), "after 20,000 of")
        assert fetch(server, tmp_path).exit_code == 0
        assert set(server.answers.archive_requests) == {None}
        assert_complete(tmp_path)

    def test_damaged_note_starts_afresh(self, server: Server, tmp_path: Path) -> None:
        self.interrupt(server, tmp_path)
        (tmp_path / "ml-1m.zip.part.json").write_text('{"url": ')
        assert fetch(server, tmp_path).exit_code == 0
        assert server.answers.archive_requests == [None]
        assert_complete(tmp_path)

    def test_all_had_arrived_already(self, server: Server, tmp_path: Path) -> None:
        self.interrupt(server, tmp_path)
        (tmp_path / "ml-1m.zip.part").write_bytes(self.ARCHIVE)
        result = fetch(server, tmp_path)
        assert result.exit_code == 0, result.output
        assert server.answers.archive_requests == [f"bytes={len(self.ARCHIVE)}-"]
        assert_complete(tmp_path)

    def test_more_than_all_starts_afresh(self, server: Server, tmp_path: Path) -> None:
        self.interrupt(server, tmp_path)
        (tmp_path / "ml-1m.zip.part").write_bytes(self.ARCHIVE + b"more")
        assert fetch(server, tmp_path).exit_code == 0
        assert server.answers.archive_requests[1:] == [None]
        assert_complete(tmp_path)

    def test_other_mirror_starts_afresh(self, server: Server, tmp_path: Path) -> None:
        self.interrupt(server, tmp_path)
        for path, content in list(server.answers.files.items()):
            server.answers.files[f"/mirror{path}"] = content
        download("ml-1m", tmp_path, base_url=f"{server.url}/mirror")
        assert server.answers.archive_requests == [None]
        assert_complete(tmp_path)

    def test_part_that_nobody_asked_for(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(self.ARCHIVE, checksum=None)
        server.answers.always_partial = True
        assert_refused(fetch(server, tmp_path), "a part of the file, unasked")


class TestFailures:
    def test_not_found(self, server: Server, tmp_path: Path) -> None:
        result = fetch(server, tmp_path)
        assert_refused(result, f"{server.url}/ml-1m.zip does not exist (HTTP 404)")
        assert names(tmp_path) == []

    def test_server_error(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip())
        server.answers.status["/ml-1m.zip"] = 503
        assert_refused(fetch(server, tmp_path), "ml-1m.zip answers HTTP 503")

    def test_server_error_for_the_checksum(
        self, server: Server, tmp_path: Path
    ) -> None:
        """Not the same as no published checksum."""
        server.answers.publish(make_zip())
        server.answers.status["/ml-1m.zip.md5"] = 500
        assert_refused(fetch(server, tmp_path), "ml-1m.zip.md5 answers HTTP 500")
        assert server.answers.archive_requests == []

    def test_checksum_file_without_a_checksum(
        self, server: Server, tmp_path: Path
    ) -> None:
        server.answers.publish(make_zip(), checksum="0123")
        assert_refused(fetch(server, tmp_path), "ml-1m.zip.md5 holds no MD5 checksum")

    def test_nobody_listens(self, tmp_path: Path, server: Server) -> None:
        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as other:
            closed = f"http://127.0.0.1:{other.server_port}"
        server.url = closed
        assert_refused(fetch(server, tmp_path), f"cannot reach {closed}/ml-1m.zip")

    @pytest.mark.parametrize(
        "url", ["file:///etc", "ftp://host/x", "host/x", "http://"]
    )
    def test_base_url_of_another_kind(
        self, server: Server, tmp_path: Path, url: str
    ) -> None:
        server.url = url
        assert_refused(fetch(server, tmp_path), "expected a base URL", repr(url))

    def test_wrong_checksum_removes_the_file(
        self, server: Server, tmp_path: Path
    ) -> None:
        server.answers.publish(make_zip(), checksum="0" * 32)
        assert_refused(fetch(server, tmp_path), "published is " + "0" * 32, "removed")
        assert names(tmp_path) == []

    def test_truncated_body_extracts_nothing(
        self, server: Server, tmp_path: Path
    ) -> None:
        archive = make_zip()
        server.answers.publish(archive)
        server.answers.ranges = False
        server.answers.break_after = [100, 100]
        result = fetch(server, tmp_path)
        assert_refused(result, f"after 100 of {len(archive):,} bytes")
        assert names(tmp_path) == ["ml-1m.zip.part", "ml-1m.zip.part.json"]

    def test_page_instead_of_an_archive(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(b"<html>Please log in</html>", checksum=None)
        assert_refused(fetch(server, tmp_path), "no ZIP archive", "removed")
        assert names(tmp_path) == []

    @pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_damaged_member(
        self, server: Server, tmp_path: Path, compression: int
    ) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
        damaged = bytearray(buffer.getvalue())
        damaged[30_000:30_010] = bytes(10)  # within ratings.dat
        server.answers.publish(bytes(damaged))
        assert_refused(fetch(server, tmp_path), "damaged", "removed")
        assert names(tmp_path) == []

    def test_archive_of_another_set(self, server: Server, tmp_path: Path) -> None:
        server.answers.publish(make_zip({"ml-1m/ratings.csv": b"1"}))
        assert_refused(fetch(server, tmp_path), "ml-1m.zip lacks ratings.dat")
        assert names(tmp_path) == []

    def test_no_space(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive = make_zip()
        server.answers.publish(archive)
        usage = module.shutil.disk_usage(tmp_path)._replace(free=10)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
        assert_refused(fetch(server, tmp_path), f"{len(archive):,} are needed")
        assert names(tmp_path) == []

    def test_no_space_to_extract_keeps_the_download(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive = make_zip(FILES | {"ml-1m/zeros": bytes(10**6)})
        server.answers.publish(archive)
        usage = module.shutil.disk_usage(tmp_path)._replace(free=10**6)
        with monkeypatch.context() as patch:
            patch.setattr(module.shutil, "disk_usage", lambda path: usage)
            assert_refused(fetch(server, tmp_path), "1,000,000 bytes free")
        assert names(tmp_path) == ["ml-1m.zip.part", "ml-1m.zip.part.json"]
        assert fetch(server, tmp_path).exit_code == 0
        assert names(tmp_path) == ["ml-1m"]

    def test_out_is_a_file(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        result = fetch(server, tmp_path / "file" / "sets")
        assert_refused(result, "cannot write to", "file/sets")

    def test_folder_that_cannot_be_moved_is_kept(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.answers.publish(make_zip())
        old = tmp_path / "ml-1m"
        old.mkdir()
        (old / "old").write_text("old")
        rename = Path.rename

        def fail(self: Path, target: Path) -> Path:
            if target == old and self.parent != tmp_path and self.name == "ml-1m":
                raise PermissionError(13, "Permission denied")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail)
        assert_refused(fetch(server, tmp_path, "--force"), "Permission denied")
        assert (old / "old").read_text() == "old"

    def test_unknown_set(self, tmp_path: Path) -> None:
        with pytest.raises(DownloadError, match=r"unknown data set 'ml-2m'.*ml-100k"):
            download("ml-2m", tmp_path)
        result = CliRunner().invoke(download_command, ["ml-2m"])
        assert result.exit_code == 2
        assert "ml-latest-small" in result.output


class TestUnsafeArchives:
    @pytest.mark.parametrize(
        "name",
        [
            "../evil",
            "ml-1m/../../evil",
            "ml-1m/../evil",
            "/evil",
            "//host/evil",
            "C:/evil",
            "C:evil",
            "ml-1m\\..\\..\\evil",
            "ml-1m/a\nb",
            "ml-1m//evil",
            "ml-1m/./evil",
        ],
    )
    def test_path_that_leads_out(
        self, server: Server, tmp_path: Path, name: str
    ) -> None:
        self.refuse(server, tmp_path, make_zip(FILES | {name: b"evil"}), "leads out")

    @pytest.mark.parametrize(
        "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK]
    )
    def test_link_or_device(self, server: Server, tmp_path: Path, kind: int) -> None:
        buffer = io.BytesIO(make_zip())
        with zipfile.ZipFile(buffer, "a") as archive:
            info = zipfile.ZipInfo("ml-1m/link")
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        self.refuse(server, tmp_path, buffer.getvalue(), "no plain file")

    def test_file_beside_the_folder(self, server: Server, tmp_path: Path) -> None:
        archive = make_zip(FILES | {"evil": b"evil"})
        self.refuse(server, tmp_path, archive, "outside of its folder")

    def test_two_folders(self, server: Server, tmp_path: Path) -> None:
        archive = make_zip(FILES | {"other/evil": b"evil"})
        self.refuse(server, tmp_path, archive, "2 folders")

    def test_file_used_as_a_folder(self, server: Server, tmp_path: Path) -> None:
        archive = make_zip(FILES | {"ml-1m/users.dat/evil": b"evil"})
        self.refuse(server, tmp_path, archive, "inside of a file")

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_name_twice(self, server: Server, tmp_path: Path) -> None:
        buffer = io.BytesIO(make_zip())
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("ml-1m/users.dat", b"evil")
        self.refuse(server, tmp_path, buffer.getvalue(), "twice")

    def test_empty_archive(self, server: Server, tmp_path: Path) -> None:
        self.refuse(server, tmp_path, make_zip({}), "0 folders")

    @staticmethod
    def refuse(server: Server, tmp_path: Path, archive: bytes, reason: str) -> None:
        server.answers.publish(archive)
        out = tmp_path / "deep" / "sets"
        assert_refused(fetch(server, out), reason, "nothing extracted")
        # Neither inside nor anywhere around.
        assert names(out) == []
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "sets"]


class TestLicence:
    def test_heading_underlined_by_hyphens(self, tmp_path: Path) -> None:
        text = "Summary\r\n----\r\nx\r\nUsage License\r\n----\r\n\r\nterms\r\n"
        (tmp_path / "README.txt").write_bytes(text.encode())
        section = licence_section(tmp_path)
        assert section.startswith("Usage License\n----\n\nterms\n(from ")

    def test_html(self, tmp_path: Path) -> None:
        page = (
            "<html><style>p {}</style><h1>Set</h1><p>x</p>"
            '<h2><a name="l">Usage</a> License</h2><p>Be <b>fair</b> &amp; kind:</p>'
            "<ul><li>cite</li><li>share</li></ul><h2>Citation</h2><p>y</p></html>"
        )
        (tmp_path / "README.html").write_text(page)
        lines = licence_section(tmp_path).splitlines()
        assert lines[0] == "Usage License"
        assert "Be fair & kind:" in lines
        assert "* cite" in lines
        assert not {"x", "y", "Citation"} & set(lines)

    def test_readme_without_such_a_section(self, tmp_path: Path) -> None:
        (tmp_path / "README").write_text("Nothing here")
        assert licence_section(tmp_path) == f"Terms of use: see {tmp_path / 'README'}"

    def test_no_readme(self, tmp_path: Path) -> None:
        assert "No README" in licence_section(tmp_path)


def test_every_promised_set_is_known() -> None:
    result = CliRunner().invoke(download_command, ["--help"])
    assert result.exit_code == 0
    assert "pocketrec download ml-1m" in result.output
    sizes = ("100k", "latest-small", "1m", "10m", "20m", "25m", "32m")
    assert sorted(DATASETS) == sorted(f"ml-{size}" for size in sizes)
