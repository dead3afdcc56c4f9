"""``python -m pocketrec_device FOLDER``, as its wheel brings it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pocketrec_device
from pocketrec_device.__main__ import main

PACKAGE = Path(pocketrec_device.__file__).parent
PROJECT = PACKAGE.parent


def test_a_bundle_that_answers_as_it_should(write_bundle, tiny_model, canary, capfd):
    folder = write_bundle(tiny_model)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    size -= sum(p.stat().st_size for p in folder.glob("manifest.*"))
    assert main([str(folder)]) == 0
    assert capfd.readouterr() == (
        f"tiny, version 3, 5 items, {size:,} bytes: answers as it should\n",
        "",
    )


def test_the_current_version_of_a_destination(
    write_bundle, tmp_path, manifest, tiny_model, canary, capfd
):
    manifest["version"] = 2
    write_bundle(tiny_model, tmp_path / "versions" / "2" / "bundle")
    (tmp_path / "CURRENT").write_text("2\n")
    assert main([str(tmp_path)]) == 0
    assert capfd.readouterr().out.startswith("tiny, version 2, 5 items, ")


def test_a_bundle_that_was_not_pushed(
    write_bundle, manifest, tiny_model, canary, capfd
):
    del manifest["version"]
    assert main([str(write_bundle(tiny_model))]) == 0
    assert capfd.readouterr().out.startswith("tiny, not pushed yet, 5 items, ")


def test_what_is_wrong_is_said_on_one_line(write_bundle, tiny_model, canary, capfd):
    canary["scores"][0] = 102.5
    folder = write_bundle(tiny_model)
    assert main([str(folder)]) == 1
    assert capfd.readouterr() == (
        "",
        f"Error: {folder}/model.tflite: does not answer the canary as it should: 6 "
        "with the score 101.5 in place 1. Expected 6 with 102.5\n",
    )


def test_a_bundle_without_a_canary_and_none_at_all(bundle, tmp_path, capfd):
    assert main([str(bundle)]) == 1
    assert capfd.readouterr().err.endswith("has no canary to test it by\n")
    assert main([str(tmp_path / "nowhere")]) == 1
    assert capfd.readouterr().err.endswith("no such folder. Expected a bundle\n")


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "canary" in text and "python -m pocketrec_device pushed/" in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The device project's own wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(PROJECT, folder / "device", ignore=ignored)
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(folder)],
        cwd=folder / "device",
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("pocketrec_device-*-py3-none-any.whl")
    return path


def test_the_wheel_is_the_package_with_its_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {f"pocketrec_device/{path.name}" for path in PACKAGE.glob("*.py")}
    about = {name for name in names if ".dist-info/" in name}
    assert set(names) - about == modules | {"pocketrec_device/py.typed"}
    assert len(modules) > 5
    assert wheel.stat().st_size < 100_000


CLEAN = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
try:
    runpy.run_module("pocketrec_device", run_name="__main__")
finally:
    tops = {name.partition(".")[0] for name in sys.modules}
    assert "zipimport" in tops and "ai_edge_litert" in tops
    ours = {"benchmarks", "components", "configs", "data", "pipeline"}
    heavy = {"tensorflow", "tfx", "keras", "tf_keras", "apache_beam", "click"}
    assert not tops & (ours | heavy), tops
"""


def test_the_wheel_runs_with_numpy_and_litert_alone(
    wheel, write_bundle, tiny_model, canary, tmp_path
):
    finished = subprocess.run(
        [sys.executable, "-I", "-c", CLEAN, wheel, write_bundle(tiny_model)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith("answers as it should\n")
    assert finished.stderr == ""
