"""Whatever is wrong with a bundle, a `BundleError` of one line says so."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pocketrec_device
from pocketrec_device import Bundle, BundleError, Recommender
from tests.device.conftest import write_manifest_file

TEXTS = ("items.jsonl", "vocabularies/movie_id.txt", "vocabularies/movie_genre.txt")
FILES = ("model.tflite", *TEXTS)
MANIFESTS = ("manifest.json", "manifest.sha256")

# JSON, and what is none, to stand in the place of any value.
ODD = (
    *("null", "true", "false", "0", "-1", "2", "0.5", "1e308", "1e999", "-1e999"),
    *(str(2**31), str(2**63), "1" * 40, "1" * 5000, "-" + "9" * 400),
    *("NaN", "Infinity", "-Infinity", "tru", "'text'", "", ",", "\x00"),
    *('""', '"x"', '"../x"', '"/etc/passwd"', '"a\\u0000b"', '"a\\nb"', '"\\ud800"'),
    *('"\\udc80"', f'"{"x" * 10**5}"', '"\U0001f600"', '"2"', '"movie_id"'),
    *("[]", "{}", "[[]]", "[null]", "[1]", '["x"]', '{"a": null}', '{"": [1]}'),
    *('{"a": 1, "a": 2}', "[" * 10**5, "[" * 900 + "]" * 900, '{"a":' * 10**5),
    *("[" * 10**5 + "]" * 10**5, '[{"a": [[' * 9 + "1" + "]]}]" * 9),
)


def error_of(folder: Path) -> str | None:
    """What is wrong with a bundle; None if it answers its canary as it should.

    Any error but a BundleError is one of the test.
    """
    try:
        Recommender(folder).self_test()
    except BundleError as error:
        assert str(error).isprintable()
        assert len(str(error)) <= 2001
        return str(error)
    return None


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Other bytes: cut off, with other bits, overwritten, inserted or taken out."""
    start = rng.randrange(len(content))
    end = min(start + rng.choice([1, 4, 40]), len(content))
    junk = bytes(rng.choice([0, 255, rng.randrange(256)]) for _ in range(end - start))
    flipped = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            content[:start],
            bytes(flipped),
            content[:start] + junk + content[end:],
            content[:start] + junk + content[start:],
            content[:start] + content[end:],
            content[:end] + content[start:],
        ]
    )


def odd_manifest(manifest: dict[str, Any], rng: random.Random) -> bytes:
    """The manifest with something odd in one or two places."""
    manifest = copy.deepcopy(manifest)
    odd = {}
    for _ in range(rng.choice([1, 1, 2])):
        holder, key = rng.choice(list(_places(manifest)))
        action = rng.randrange(6)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        elif action == 2:
            holder[key] = [holder[key]]
        else:
            marker = f"@{len(odd)}@"
            odd[marker] = rng.choice(ODD)
            holder[key] = marker
    text = json.dumps(manifest)
    for marker, value in odd.items():
        text = text.replace(f'"{marker}"', value)
    return text.encode()


def _places(holder: Any) -> Any:
    """Each (dict or list, key) in nested JSON."""
    pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in pairs:
        yield holder, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


@pytest.fixture
def whole(write_bundle: Any, tiny_model: bytes, canary: Any) -> Path:
    """A bundle with a canary, which it answers as it should."""
    folder: Path = write_bundle(tiny_model)
    assert error_of(folder) is None
    return folder


@pytest.mark.parametrize("name", [*FILES, *MANIFESTS])
def test_a_damaged_file_is_never_served(whole, name):
    rng = random.Random(name)
    content = (whole / name).read_bytes()
    for _ in range(60):
        other = damaged(content, rng)
        (whole / name).write_bytes(other)
        assert other == content or error_of(whole) is not None


@pytest.mark.parametrize("name", TEXTS)
def test_damage_under_a_hash_that_fits_is_a_bundle_error(whole, rewrite_manifest, name):
    rng = random.Random(name)
    content = (whole / name).read_bytes()
    for _ in range(150):
        (whole / name).write_bytes(damaged(content, rng))
        rewrite_manifest(whole)
        error_of(whole)


def test_odd_values_in_the_catalogue_are_bundle_errors(whole, rewrite_manifest):
    rng = random.Random(5)
    lines = (whole / "items.jsonl").read_text(encoding="utf-8").splitlines()
    for _ in range(150):
        item = odd_manifest(json.loads(lines[0]), rng)
        content = b"\n".join([item, *(line.encode() for line in lines[1:])])
        (whole / "items.jsonl").write_bytes(content)
        rewrite_manifest(whole)
        error_of(whole)


def test_an_odd_manifest_is_a_bundle_error(whole):
    rng = random.Random(7)
    manifest = json.loads((whole / "manifest.json").read_bytes())
    refused = 0
    for _ in range(500):
        write_manifest_file(whole, odd_manifest(manifest, rng))
        refused += error_of(whole) is not None
    assert refused > 300


@pytest.mark.parametrize("value", ODD)
def test_an_odd_canary_is_a_bundle_error(whole, value):
    manifest = json.loads((whole / "manifest.json").read_bytes())
    for holder, key in [(manifest, "canary"), *_places(manifest["canary"])]:
        before, holder[key] = holder[key], "@"
        text = json.dumps(manifest).replace('"@"', value)
        write_manifest_file(whole, text.encode())
        error_of(whole)
        holder[key] = before


# LiteRT may crash for a model that is wrong inside; then the next one is tried by a
# process that is new.
TRY_MODELS = """
import dataclasses, pathlib, sys
from pocketrec_device import Bundle, BundleError, Recommender
from tests.device.conftest import write_manifest_file

bundle = Bundle.load(sys.argv[1])
for path in sys.argv[2:]:
    model = pathlib.Path(path).read_bytes()
    try:
        Recommender(dataclasses.replace(bundle, model=model)).self_test()
        print("answered", flush=True)
    except BundleError:
        print("refused", flush=True)
"""


def test_a_damaged_model_under_a_hash_that_fits(whole, tmp_path, tiny_model):
    rng = random.Random(9)
    paths = [tmp_path / f"{number}.tflite" for number in range(300)]
    for path in paths:
        path.write_bytes(damaged(tiny_model, rng))
    outcomes: list[str] = []
    while len(outcomes) < len(paths):
        finished = subprocess.run(
            [sys.executable, "-c", TRY_MODELS, str(whole), *paths[len(outcomes) :]],
            env={**os.environ, "PYTHONPATH": str(PACKAGES)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode <= 0, finished.stderr
        outcomes += finished.stdout.split()
        if finished.returncode:
            outcomes.append("crashed")
    assert outcomes.count("refused") > 200
    assert outcomes.count("crashed") < 10


PACKAGES = Path(pocketrec_device.__file__).parents[1]


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _link_to_zeros(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _link_outside(path: Path) -> None:
    shutil.move(path, path.parents[2] / "outside")
    path.symlink_to(path.parents[2] / "outside")


def _parent_outside(path: Path) -> None:
    shutil.move(path.parent, path.parents[2] / "outside")
    path.parent.symlink_to(path.parents[2] / "outside")


def _huge(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate(2**40)  # of which the disk holds nothing


@pytest.mark.parametrize("replace", [_pipe, _folder, _circle, _link_to_zeros, _huge])
@pytest.mark.parametrize("name", [*FILES, *MANIFESTS, "CURRENT"])
def test_what_is_no_file_of_its_size_is_refused(
    write_bundle, tmp_path, tiny_model, name, replace
):
    folder = write_bundle(tiny_model, tmp_path / "versions" / "1" / "bundle")
    (tmp_path / "CURRENT").write_text("1\n")
    replace(tmp_path / name if name == "CURRENT" else folder / name)
    errors: list[str | None] = []
    _within(60, lambda: errors.append(error_of(tmp_path)))
    assert errors[0] is not None


@pytest.mark.parametrize("replace", [_link_outside, _parent_outside])
def test_links_out_of_the_bundle_are_refused(whole, replace):
    replace(whole / "vocabularies" / "movie_id.txt")
    with pytest.raises(
        BundleError, match=r"names 'vocabularies/movie_\w+.txt', which is out"
    ):
        Bundle.load(whole)


def _within(seconds: float, function: Callable[[], None]) -> None:
    """Fails where it would wait for ever."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive()
