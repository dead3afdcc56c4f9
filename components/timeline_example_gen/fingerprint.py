"""What tells whether the data has changed since the last run."""

from __future__ import annotations

import hashlib

from components.timeline_example_gen import storage
from components.timeline_example_gen.sources import open_source
from configs import recommender_pb2 as pb

_CHUNK = 1 << 20


def data_fingerprint(config: pb.RecommenderConfig, data_folder: str) -> str:
    """SHA-256 over names and contents of all files that would be read.

    Item and user tables count, files of other names do not, nor does where the folder
    is.

    Args:
      config: its `data` says which files these are.
      data_folder: where they are.

    Returns:
      64 hexadecimal digits.

    Raises:
      UserError: if the folder, a file or a span is missing.
    """
    opened = open_source(config, data_folder)
    source = opened.source
    digest = hashlib.sha256(f"{source.kind} {opened.span}".encode())
    for path in sorted({*source.activity_files, *source.table_files}):
        name = storage.name_below(data_folder, path)
        digest.update(f"\n{name}\n{_content(path)}".encode())
    return digest.hexdigest()


def _content(path: str) -> str:
    digest = hashlib.sha256()
    with storage.open_for_reading(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
