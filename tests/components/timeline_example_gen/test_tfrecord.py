from __future__ import annotations

from pathlib import Path

import pytest

from components.timeline_example_gen.tfrecord import TFRecordWriter, file_name


def test_tensorflow_reads_the_records(tmp_path: Path) -> None:
    import tensorflow as tf

    records = [b"", b"first", b"x" * 70_000]
    for name, content in (("full.gz", records), ("empty.gz", [])):
        path = str(tmp_path / name)
        with TFRecordWriter(path) as writer:
            writer.write(content[:1])
            writer.write(content[1:])
        dataset = tf.data.TFRecordDataset(path, compression_type="GZIP")
        assert list(dataset.as_numpy_iterator()) == content


def test_the_bytes_depend_on_the_records_alone(tmp_path: Path) -> None:
    for name in ("a.gz", "other.gz"):
        with TFRecordWriter(str(tmp_path / name)) as writer:
            writer.write([b"one", b"two"])
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "other.gz").read_bytes()
    assert content[3:8] == bytes(5)  # No name and no time in the header.


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with pytest.raises(KeyError), TFRecordWriter(str(path)) as writer:
        writer.write([b"one"])
        raise KeyError
    assert not path.exists()


def test_files_are_named_as_tfx_names_them() -> None:
    assert file_name(2, 13) == "data_tfrecord-00002-of-00013.gz"
