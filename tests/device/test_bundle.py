"""A bundle loads whole or not at all, and the error says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketrec_device import Bundle, BundleError
from pocketrec_device import bundle as bundle_module
from pocketrec_device.bundle import find_bundle
from tests.device.conftest import write_manifest_file

Manifest = dict[str, Any]


def test_load_gives_what_the_files_say(write_bundle):
    bundle = Bundle.load(write_bundle())
    assert (bundle.name, bundle.version, bundle.item_field) == ("tiny", 3, "movie_id")
    assert bundle.max_context_length == 3
    assert bundle.num_predictions == 4
    assert bundle.seen == "TIMELINE"
    assert bundle.model == b"no model"
    assert bundle.vocabularies["movie_genre"] == {
        b"Action": 2,
        b"Sci-Fi": 3,
        b"Drama": 4,
        b"Romance": 5,
    }
    assert list(bundle.items) == ["50", "172", "181", "7", "9"]
    assert bundle.items["9"].title == "Été (1995)"
    assert bundle.items["181"].index == 4
    assert bundle.items["181"].features == {
        "movie_genre": ["Action", "Romance", "Sci-Fi"]
    }
    assert [i.name for i in bundle.inputs] == [
        "context_movie_id",
        "context_movie_rating",
        "context_movie_genre",
        "user_age",
        "seen_movie_id",
    ]
    assert bundle.files["model.tflite"].size == 8


@pytest.mark.parametrize(
    ("place", "values", "timezone"),
    [
        (0, {"source": "activity"}, None),
        (1, {"source": "activity", "timezone": None}, None),
        (0, {"source": "weekday", "timezone": "Europe/Berlin"}, "Europe/Berlin"),
        (0, {"source": "hour", "vocabulary": None, "vocab_size": 24}, "UTC"),
        (1, {"source": "hour", "timezone": "UTC"}, "UTC"),
        (1, {"source": "weekday", "timezone": None}, "UTC"),
        (3, {}, None),
    ],
)
def test_what_an_input_is_made_from_is_read(
    write_bundle, manifest, place, values, timezone
):
    manifest["signature"]["inputs"][place].update(values)
    spec = Bundle.load(write_bundle()).inputs[place]
    assert spec.source == manifest["signature"]["inputs"][place]["source"]
    assert spec.timezone == timezone


def test_a_bundle_that_is_not_pushed_has_no_version(write_bundle, manifest):
    del manifest["version"]
    assert Bundle.load(write_bundle()).version is None


def test_the_current_version_of_a_push_destination_is_taken(write_bundle, tmp_path):
    for version in ("1", "2"):
        write_bundle(folder=tmp_path / "versions" / version / "bundle")
    (tmp_path / "CURRENT").write_text("1\n")
    assert find_bundle(tmp_path) == tmp_path / "versions" / "1" / "bundle"
    assert Bundle.load(str(tmp_path)).path == tmp_path / "versions" / "1" / "bundle"


@pytest.mark.parametrize(
    ("current", "message"),
    [
        ("2", "CURRENT: names version 2, but .*versions/2/bundle holds no manifest"),
        ("../1", r"CURRENT: '\.\./1' names no version"),
        ("", "CURRENT: '' names no version"),
    ],
)
def test_a_broken_pointer_is_refused(write_bundle, tmp_path, current, message):
    write_bundle(folder=tmp_path / "versions" / "1" / "bundle")
    (tmp_path / "CURRENT").write_text(current)
    with pytest.raises(BundleError, match=message):
        Bundle.load(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match="nowhere: no such folder"):
        Bundle.load(tmp_path / "nowhere")


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(
        BundleError, match=r"is no bundle. Expected manifest.json in it"
    ):
        Bundle.load(tmp_path)


FILES = [
    "model.tflite",
    "items.jsonl",
    "vocabularies/movie_id.txt",
    "vocabularies/movie_genre.txt",
]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(write_bundle, name):
    folder = write_bundle()
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: cannot be read: No such file"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_found(write_bundle, name):
    folder = write_bundle()
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}: was altered: its SHA-256 is "):
        Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_found(write_bundle, name):
    folder = write_bundle()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    size = len(content)
    with pytest.raises(
        BundleError, match=f"{name}: has {size - 1} bytes. Expected {size}"
    ):
        Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_needed_file_that_the_manifest_does_not_list_is_named(write_bundle, name):
    folder = write_bundle()
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"][name]
    write_manifest_file(folder, json.dumps(content).encode())
    with pytest.raises(BundleError, match=f"files does not list {name}"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "\x00\x01", "\xff", "[]", '"text"', "{'a': 1}"]
)
def test_a_manifest_of_garbage_is_refused(write_bundle, text):
    folder = write_bundle()
    write_manifest_file(folder, text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"manifest.json: (is no JSON|holds no JSON)"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "name": "b"}', "the key 'name' stands twice in an object"),
        ("[" * 10**6, "nested too deeply"),
        ('{"name": Infinity}', "Infinity is no number of JSON"),
        ('{"name": "\\ud800"}', "surrogates not allowed"),
    ],
)
def test_json_that_readers_read_differently_is_refused(write_bundle, text, message):
    folder = write_bundle()
    write_manifest_file(folder, text.encode())
    with pytest.raises(BundleError, match=f"manifest.json: is no JSON: .*{message}"):
        Bundle.load(folder)


def test_whole_characters_in_two_halves_are_read(write_bundle):
    folder = write_bundle()
    text = (folder / "manifest.json").read_text().replace("tiny", "\\ud83d\\ude00")
    write_manifest_file(folder, text.encode())
    assert Bundle.load(folder).name == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/hostname",
        "vocabularies/../../secret",
        "..\\secret",
        "C:secret",
        "a\0b",
        "a\nb",
        "x" * 300,
        "",
        ".",
    ],
)
def test_a_path_outside_the_bundle_is_refused(write_bundle, tmp_path, name):
    folder = write_bundle()
    (tmp_path / "secret").write_text("secret")
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][name] = {"sha256": "0" * 64, "size": 6}
    write_manifest_file(folder, json.dumps(content).encode())
    with pytest.raises(BundleError, match="which is outside the bundle"):
        Bundle.load(folder)


def test_a_link_out_of_the_bundle_is_refused(write_bundle, tmp_path):
    folder = write_bundle()
    shutil.move(folder / "model.tflite", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", folder / "model.tflite")
    with pytest.raises(BundleError, match=r"'model.tflite', which is outside"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
def test_a_manifest_elsewhere_is_refused(write_bundle, tmp_path, name):
    folder = write_bundle()
    shutil.move(folder / name, tmp_path / name)
    os.symlink(tmp_path / name, folder / name)
    with pytest.raises(BundleError, match=f"{name}: leads out of the bundle"):
        Bundle.load(folder)


def test_another_manifest_under_the_same_hash_is_refused(write_bundle):
    folder = write_bundle()
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"version": 3', '"version": 4'))
    with pytest.raises(BundleError, match=r"manifest.json: was altered: its SHA-256"):
        Bundle.load(folder)


def test_a_version_elsewhere_is_refused(write_bundle, tmp_path):
    folder = write_bundle()
    place = tmp_path / "push"
    (place / "versions" / "1").mkdir(parents=True)
    (place / "CURRENT").write_text("1\n")
    os.symlink(folder, place / "versions" / "1" / "bundle")
    with pytest.raises(BundleError, match="version 1 leads out of it"):
        Bundle.load(place)


def test_a_version_that_is_removed_while_it_is_read(
    write_bundle, tmp_path, monkeypatch
):
    """As retention does, after another has taken over."""
    place, source = tmp_path / "push", write_bundle()
    for version in ("1", "2"):
        (place / "versions" / version).mkdir(parents=True)
        shutil.copytree(source, place / "versions" / version / "bundle")
    (place / "CURRENT").write_text("1\n")
    read = bundle_module._read_files

    def removed_meanwhile(folder: Path, at: Any) -> Any:
        if folder.parent.name == "1":
            (place / "CURRENT").write_text("2\n")
            shutil.rmtree(folder)
        return read(folder, at)

    monkeypatch.setattr(bundle_module, "_read_files", removed_meanwhile)
    assert Bundle.load(place).path.parent.name == "2"


def _set(*path: str | int, value: Any) -> Callable[[Manifest], None]:
    def change(manifest: Manifest) -> None:
        target: Any = manifest
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


def _update(place: int, **values: Any) -> Callable[[Manifest], None]:
    """Changes one of the inputs: ids, ratings, genres, age, seen items."""
    return lambda manifest: manifest["signature"]["inputs"][place].update(values)


INPUT = ("signature", "inputs", 0)
WRONG = {
    "version 2 of the format": (
        _set("format_version", value=2),
        "format_version is 2. Expected 1",
    ),
    "format version as text": (
        _set("format_version", value="1"),
        "format_version is '1'. Expected a value of type int",
    ),
    "format version as a boolean": (
        _set("format_version", value=True),
        "format_version is True. Expected a value of type int",
    ),
    "another signature": (
        _set("signature", "name", value="serve"),
        "signature.name is 'serve'. Expected one of serving_default",
    ),
    "no inputs": (_set("signature", "inputs", value=[]), "at least one input"),
    "inputs that are no objects": (
        _set("signature", "inputs", value=["context_movie_id"]),
        "Expected a list of objects",
    ),
    "two inputs of one name": (
        _set("signature", "inputs", 1, "name", value="context_movie_id"),
        "each with a name of its own",
    ),
    "an output that is not the scores": (
        _set("signature", "outputs", 1, "name", value="scores"),
        r"Expected top_prediction_ids \(int32\) and top_prediction_scores",
    ),
    "an output of another length": (
        _set("signature", "outputs", 1, "length", value=5),
        "num_predictions is 4. Expected the length of the signature's outputs",
    ),
    "an unknown source": (
        _set(*INPUT, "source", value="weather"),
        "signature.inputs.0.source is 'weather'. Expected one of item_id, item",
    ),
    "a time zone that there is not": (
        _update(1, source="hour", timezone="Nowhere/City"),
        "signature.inputs.1.timezone is 'Nowhere/City'. Expected a time zone that "
        "this machine knows; Python's package tzdata",
    ),
    "a time zone that is a folder": (
        _update(1, source="weekday", timezone="Europe"),
        "signature.inputs.1.timezone is 'Europe'. Expected a time zone that",
    ),
    "a time zone as a number": (
        _update(1, source="weekday", timezone=2),
        "signature.inputs.1.timezone is 2. Expected a value of type str",
    ),
    "a time zone of ratings": (
        _update(1, timezone="UTC"),
        "signature.inputs.1.timezone is 'UTC'. Expected none for the source value",
    ),
    "several values an activity": (
        _update(2, source="activity"),
        "signature.inputs.2.multi_valued is True. Expected false for the source act",
    ),
    "several gaps": (
        _update(2, source="gap"),
        "signature.inputs.2.multi_valued is True. Expected false for the source gap",
    ),
    "a gap in words": (
        _update(0, source="gap"),
        "signature.inputs.0.feature_type is 'INT'. Expected FLOAT for the source gap",
    ),
    "values of each step of an item with one value": (
        _update(0, values_per_step=3),
        "signature.inputs.0.values_per_step is 3. Expected none, or multi_valued of",
    ),
    "steps that do not fill the input": (
        _update(2, values_per_step=3),
        "signature.inputs.2.length is 4. Expected a multiple of values_per_step, 3",
    ),
    "values of each step below zero": (
        _update(2, values_per_step=-1),
        "signature.inputs.2.values_per_step is -1. Expected 1 or more",
    ),
    "several hours": (
        _update(2, source="hour"),
        "signature.inputs.2.multi_valued is True. Expected false for the source hour",
    ),
    "a table without a row for each hour": (
        _update(0, source="hour", vocabulary=None, vocab_size=23),
        "vocab_size of context_movie_id is 23. Expected 24 or more",
    ),
    "a table without a row for each weekday": (
        _update(0, source="weekday", vocabulary=None, vocab_size=7),
        "vocab_size of context_movie_id is 7. Expected 8 or more",
    ),
    "a length of zero": (
        _set(*INPUT, "length", value=0),
        "signature.inputs.0.length is 0. Expected 1 or more",
    ),
    "ids as floats": (
        _set(*INPUT, "dtype", value="float32"),
        "signature.inputs.0.dtype is 'float32'. Expected one of int32",
    ),
    "a text feature without a vocabulary": (
        _set("signature", "inputs", 2, "vocabulary", value=None),
        "STRING features have a vocabulary",
    ),
    "a number with a vocabulary": (
        _set("signature", "inputs", 1, "vocabulary", value="movie_id"),
        "Expected null for a FLOAT feature",
    ),
    "a vocabulary that is not there": (
        _set(*INPUT, "vocabulary", value="movie_ids"),
        "files does not list vocabularies/movie_ids.txt",
    ),
    "a table of another size": (
        _set(*INPUT, "vocab_size", value=8),
        "vocab_size of context_movie_id is 8. Expected 7: the terms of vocabularies/",
    ),
    "raw ids without a table": (
        _set("signature", "inputs", 1, "feature_type", value="INT"),
        r"signature.inputs.1.dtype is 'float32'. Expected one of int32",
    ),
    "an unknown seen": (
        _set("seen", value="ALL"),
        "seen is 'ALL'. Expected one of KEPT, CONTEXT, TIMELINE",
    ),
    "no name": (_set("name", value=None), "name is None. Expected a value of type str"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=list(WRONG))
def test_a_manifest_that_says_something_else_is_refused(
    write_bundle, manifest, change, message
):
    change(manifest)
    with pytest.raises(BundleError, match=message):
        Bundle.load(write_bundle())


@pytest.mark.parametrize(
    "key", ["format_version", "signature", "item_field", "num_predictions", "seen"]
)
def test_a_key_that_is_missing_is_named(write_bundle, manifest, key):
    del manifest[key]
    with pytest.raises(BundleError, match=f"manifest.json: {key} is missing. Expected"):
        Bundle.load(write_bundle())


@pytest.mark.parametrize("sha256", ["", "AB" * 32, "0" * 63, "z" * 64])
def test_a_hash_that_is_none_is_refused(write_bundle, sha256):
    folder = write_bundle()
    content = json.loads((folder / "manifest.json").read_text())
    content["files"]["model.tflite"]["sha256"] = sha256
    write_manifest_file(folder, json.dumps(content).encode())
    with pytest.raises(BundleError, match="Expected 64 lower-case hexadecimal digits"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"items.jsonl:2: is no JSON"),
        ("[1, 2]", r"items.jsonl:2: \[1, 2\] is no item"),
        ('{"index": 9, "id": "8"}', r"items.jsonl:2: .* is no item"),
        (
            '{"index": 9, "id": 8, "title": "T", "features": {}}',
            r"items.jsonl:2: .* is no item",
        ),
        (
            '{"index": 9, "id": "8", "title": "T", "features": {"genre": "Drama"}}',
            r"items.jsonl:2: .* is no item",
        ),
        (
            '{"index": 9, "id": "50", "title": "T", "features": {}}',
            r"items.jsonl:2: a second item has the id '50'",
        ),
        (
            '{"index": 0, "id": "8", "title": "T", "features": {}}',
            r"items.jsonl:2: .* is no item",
        ),
        (
            '{"index": true, "id": "8", "title": "T", "features": {}}',
            r"items.jsonl:2: .* is no item",
        ),
        (
            '{"index": 9, "id": "8", "title": "T", "features": {"movie_genre": [[]]}}',
            r"items.jsonl:2: movie_genre: \[\] is not allowed. Expected one value",
        ),
        (
            '{"index": 9, "id": "8", "title": "\\ud83d", "features": {}}',
            r"items.jsonl:2: is no JSON: .*surrogates not allowed",
        ),
        (
            '{"index": 9, "id": "8", "title": "T", "features": {"year": [NaN]}}',
            r"items.jsonl:2: is no JSON: NaN is no number of JSON",
        ),
    ],
)
def test_a_catalogue_line_of_garbage_is_named(
    write_bundle, rewrite_manifest, line, message
):
    folder = write_bundle()
    lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
    lines.insert(1, line)
    text = "".join(f"{line}\n" for line in lines)
    (folder / "items.jsonl").write_text(text, encoding="utf-8")
    rewrite_manifest(folder)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def test_an_empty_catalogue_is_refused(write_bundle, rewrite_manifest):
    folder = write_bundle()
    (folder / "items.jsonl").write_bytes(b"")
    rewrite_manifest(folder)
    with pytest.raises(BundleError, match=r"items.jsonl: holds no item"):
        Bundle.load(folder)


def test_a_term_that_stands_twice_is_refused(write_bundle, rewrite_manifest):
    folder = write_bundle()
    (folder / "vocabularies" / "movie_genre.txt").write_text("Action\nDrama\nAction\n")
    rewrite_manifest(folder)
    with pytest.raises(BundleError, match=r"movie_genre.txt: a term stands in it more"):
        Bundle.load(folder)


def test_terms_are_divided_by_newlines_alone(write_bundle, manifest, rewrite_manifest):
    folder = write_bundle()
    text = "Action\u2028Film\x85\nSci-Fi \n"
    (folder / "vocabularies" / "movie_genre.txt").write_bytes(text.encode())
    manifest["signature"]["inputs"][2]["vocab_size"] = 4
    rewrite_manifest(folder)
    assert Bundle.load(folder).vocabularies["movie_genre"] == {
        "Action\u2028Film\x85".encode(): 2,
        b"Sci-Fi ": 3,
    }


def test_files_that_the_manifest_does_not_list_do_not_matter(write_bundle):
    folder: Path = write_bundle()
    (folder / "notes.txt").write_text("mine")
    assert "notes.txt" not in Bundle.load(folder).files
