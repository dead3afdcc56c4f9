"""Text files as UTF-8: compressed or not, in any encoding, block by block."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from components.timeline_example_gen import storage
from configs.errors import UserError

_BLOCK_BYTES = 8 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def utf8_chunks(path: str, encoding: str) -> Iterator[bytes]:
    """Chunks of a file as UTF-8 without a byte-order mark.

    Bytes that the encoding does not know stay as they are, and their rows are found not
    to be UTF-8.

    Raises:
      UserError: if Python does not know the encoding, or the file cannot be decoded or
        decompressed.
    """
    name = codec_name(encoding)
    with _open(path) as file:
        if name in ("utf-8", "utf-8-sig", "ascii"):
            first = file.read(len(codecs.BOM_UTF8))
            if first != codecs.BOM_UTF8:
                yield first
            while chunk := file.read(_BLOCK_BYTES):
                yield chunk
            return
        decoder = codecs.getincrementaldecoder(name)("surrogateescape")
        try:
            while chunk := file.read(_BLOCK_BYTES):
                yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
            yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
        except UnicodeError as error:
            raise UserError(f"{path}: not {encoding} text: {error}") from error


def read_utf8(path: str, encoding: str | None) -> bytes:
    """The whole content of a file as UTF-8 without a byte-order mark.

    Args:
      path: of the file.
      encoding: None: UTF-8 if the content is valid UTF-8, else Latin-1, in which the
        older MovieLens sets are.
    """
    if encoding is not None:
        return b"".join(utf8_chunks(path, encoding))
    content = b"".join(utf8_chunks(path, "utf-8"))
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1").encode("utf-8")
    return content


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, some megabytes of them at a time; the last line gets its end too."""
    rest: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield b"".join([*rest, chunk[:end]])
            rest = []
        rest.append(chunk[end:])
    last = b"".join(rest)
    if last:
        yield last + b"\n"


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends."""
    for block in blocks(chunks):
        for line in block[:-1].split(b"\n"):
            yield line + b"\n"


def codec_name(encoding: str) -> str:
    """Python's name of an encoding.

    Raises:
      UserError: if it knows none.
    """
    try:
        # Codecs that are not of text, such as rot13, are refused here alone.
        "a".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise UserError(
            f"data.files.encoding: {encoding!r} is not allowed. Expected the name of a "
            "text encoding, such as utf-8 or latin-1"
        ) from error


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed if they are gzip's, whatever the file's name."""
    with storage.open_for_reading(path) as file:
        compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    with storage.open_for_reading(path) as file:
        if not compressed:
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as decompressed:
                yield cast(BinaryIO, decompressed)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(
                f"{path}: the gzip file is damaged or not complete: {error}"
            ) from error
