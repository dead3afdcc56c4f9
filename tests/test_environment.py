"""The choice of Python, the making of the environment, and what is distributed.

Pythons and uv are stood in for by small shell scripts in folders of our own, so nothing
is installed and no network is used.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest

from scripts import lock, set_up

ROOT = Path(__file__).resolve().parent.parent
OLD = (2, 36)
NEW = (2, 41)


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def fake_python(path: Path, release: str, **facts: object) -> Path:
    """A Python that answers the probe as the given release."""
    answer = {
        "executable": str(path),
        "implementation": "cpython",
        "version": [int(part) for part in release.split(".")],
        "free_threaded": False,
        "include": str(path.parent),
        "missing": [],
    }
    return executable(path, f"cat <<'END'\n{json.dumps({**answer, **facts})}\nEND")


def shim(path: Path) -> Path:
    return executable(
        path, f"echo 'pyenv: {path.name}: command not found' >&2; exit 127"
    )


def never(minor: str) -> NoReturn:
    raise AssertionError(f"Python {minor} must not be downloaded")


def environment(home: Path, *folders: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join(map(str, folders))
    return {"PATH": path, "HOME": str(home), **more}


@pytest.mark.parametrize(
    ("glibc", "tfx", "first"),
    [
        ((2, 28), "1.16", "3.10"),
        ((2, 36), "1.16", "3.10"),
        ((2, 37), "1.16", "3.10"),
        ((2, 38), "1.21", "3.13"),
        ((2, 41), "1.21", "3.13"),
        ((3, 0), "1.21", "3.13"),
    ],
)
def test_glibc_decides_the_row(glibc: tuple[int, int], tfx: str, first: str) -> None:
    row = set_up.row_for_glibc(glibc)
    assert (row.tfx, row.pythons[0]) == (tfx, first)


def test_too_old_a_glibc_is_refused() -> None:
    with pytest.raises(set_up.SetUpError, match=r"glibc 2\.27 is too old.*2\.28"):
        set_up.row_for_glibc((2, 27))


@pytest.mark.parametrize(
    ("system", "machine", "glibc"),
    [
        ("Darwin", "arm64", None),
        ("Linux", "aarch64", (2, 36)),
        ("Linux", "x86_64", None),
    ],
)
def test_other_platforms_are_refused(
    system: str, machine: str, glibc: tuple[int, int] | None
) -> None:
    with pytest.raises(set_up.SetUpError, match=f"{system} on {machine}"):
        set_up.check_platform(system, machine, glibc)
    set_up.check_platform("Linux", "x86_64", (2, 36))


def test_a_shim_that_refuses_is_passed_over(tmp_path: Path) -> None:
    shim(tmp_path / "shims" / "python3.10")
    real = fake_python(tmp_path / "bin" / "python3.10", "3.10.4")
    environ = environment(tmp_path, tmp_path / "shims", tmp_path / "bin")
    choice = set_up.choose(environ, OLD, never)
    assert choice.interpreter.path == str(real)
    assert choice.row.tfx == "1.16"
    assert re.fullmatch(
        r"Python 3\.10\.4 \(.*/bin/python3\.10, on PATH\) with TFX 1\.16, because "
        r"glibc is 2\.36, older than the 2\.38 that TFX 1\.21 needs",
        choice.line(),
    )


@pytest.mark.parametrize("variable", ["PYENV_ROOT", "HOME"])
def test_pyenvs_newest_patch_release_is_found(tmp_path: Path, variable: str) -> None:
    root = tmp_path / ".pyenv"
    for version in ("3.10.9", "3.10.13", "3.9.18", "3.10-dev"):
        minor = ".".join(version.split("-")[0].split(".")[:2])
        fake_python(root / "versions" / version / "bin" / f"python{minor}", "3.10.0")
    shim(root / "shims" / "python3.10")
    home = tmp_path if variable == "HOME" else tmp_path / "home"
    environ = environment(home, root / "shims")
    if variable == "PYENV_ROOT":
        environ["PYENV_ROOT"] = str(root)
    choice = set_up.choose(environ, OLD, never)
    assert choice.interpreter.path == str(root / "versions/3.10.13/bin/python3.10")
    assert choice.interpreter.source == "pyenv"


def test_the_newest_python_of_the_row_wins(tmp_path: Path) -> None:
    for minor in ("3.10", "3.11", "3.12", "3.13"):
        fake_python(tmp_path / f"python{minor}", f"{minor}.1")
    environ = environment(tmp_path, tmp_path)
    assert set_up.choose(environ, NEW, never).interpreter.minor == "3.13"
    shim(tmp_path / "python3.13")
    assert set_up.choose(environ, NEW, never).interpreter.minor == "3.12"
    (tmp_path / "python3.12").unlink()
    assert set_up.choose(environ, NEW, never).interpreter.minor == "3.11"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"implementation": "pypy"}, "is pypy"),
        ({"free_threaded": True}, "is free-threaded"),
        ({"missing": ["ssl", "lzma"]}, "lacks the modules ssl, lzma"),
        ({"version": [3, 11, 2]}, r"is Python 3\.11"),
    ],
)
def test_an_unfit_python_is_named_with_its_reason(
    tmp_path: Path, facts: dict[str, object], reason: str
) -> None:
    path = fake_python(tmp_path / "python3.10", "3.10.1", **facts)
    with pytest.raises(set_up.SetUpError, match=f"{re.escape(str(path))} {reason}"):
        set_up.choose(environment(tmp_path, tmp_path), OLD, lambda minor: None)


def test_uv_downloads_only_when_there_is_none(tmp_path: Path) -> None:
    asked = []

    def download(minor: str) -> str:
        asked.append(minor)
        return str(fake_python(tmp_path / "managed" / "python", f"{minor}.7"))

    choice = set_up.choose(environment(tmp_path, tmp_path), NEW, download)
    assert asked == ["3.13"]
    assert choice.interpreter.source == "downloaded by uv"


def test_no_python_at_all_names_the_remedy(tmp_path: Path) -> None:
    path = shim(tmp_path / "python3.10")
    with pytest.raises(set_up.SetUpError) as error:
        set_up.choose(environment(tmp_path, tmp_path), OLD, lambda minor: None)
    assert "no Python 3.10 found, which TFX 1.16 needs" in str(error.value)
    assert "or set PYTHON" in str(error.value)
    assert f"{path} does not answer (pyenv: python3.10: command not found)" in str(
        error.value
    )


@pytest.mark.parametrize("wanted", ["3.12", "python3.12", "PATH"])
def test_a_wrong_combination_is_refused(tmp_path: Path, wanted: str) -> None:
    fake_python(tmp_path / "python3.10", "3.10.1")
    path = fake_python(tmp_path / "python3.12", "3.12.1")
    environ = environment(tmp_path, tmp_path)
    environ["PYTHON"] = str(path) if wanted == "PATH" else wanted
    with pytest.raises(set_up.SetUpError) as error:
        set_up.choose(environ, OLD, never)
    assert str(error.value) == (
        "PYTHON is Python 3.12, which runs TFX 1.21, and its wheels need glibc 2.38 or "
        "newer. Leave PYTHON unset, or set PYTHON=3.10; this machine has glibc 2.36, "
        "which fits Python 3.10. For Python 3.12 use a newer system (Debian 13, "
        "Ubuntu 24.04)."
    )


def test_a_python_without_tfx_is_refused(tmp_path: Path) -> None:
    path = fake_python(tmp_path / "python3", "3.9.2")
    environ = environment(tmp_path, tmp_path, PYTHON=str(path))
    with pytest.raises(set_up.SetUpError, match=r"3\.9, for which TFX has no wheels"):
        set_up.choose(environ, NEW, never)


@pytest.mark.parametrize("wanted", ["3.11", "python3.11"])
def test_python_is_taken_at_its_word(tmp_path: Path, wanted: str) -> None:
    shim(tmp_path / "shims" / "python3.11")
    fake_python(tmp_path / "bin" / "python3.13", "3.13.1")
    path = fake_python(tmp_path / ".pyenv/versions/3.11.7/bin/python3.11", "3.11.7")
    folders = (tmp_path / "shims", tmp_path / "bin")
    environ = environment(tmp_path, *folders, PYTHON=wanted)
    choice = set_up.choose(environ, NEW, never)
    assert choice.interpreter.path == str(path)
    assert choice.reason == f"PYTHON={wanted}"


def test_the_older_row_works_on_a_newer_system_when_asked_for(tmp_path: Path) -> None:
    path = fake_python(tmp_path / "python3.10", "3.10.1")
    environ = environment(tmp_path, tmp_path, PYTHON=str(path))
    assert set_up.choose(environ, NEW, never).row.tfx == "1.16"


@pytest.mark.parametrize("wanted", ["/nowhere/python", "nothing-of-that-name", "3.10"])
def test_a_python_that_is_not_there_is_refused(tmp_path: Path, wanted: str) -> None:
    environ = environment(tmp_path, tmp_path, PYTHON=wanted)
    with pytest.raises(set_up.SetUpError, match=f"^PYTHON={wanted} cannot be used: "):
        set_up.choose(environ, OLD, never)


def test_a_real_python_answers_the_probe() -> None:
    answer = set_up.probe(sys.executable, "here")
    assert isinstance(answer, set_up.Interpreter)
    assert answer.version == sys.version_info[:3]
    # Not the environment's own: it may be about to be replaced.
    assert not answer.path.startswith(sys.prefix) or sys.prefix == sys.base_prefix


def test_all_missing_tools_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_up, "uv_there", lambda environ: None)
    found = set_up.probe(str(fake_python(tmp_path / "python3.10", "3.10.1")), "here")
    assert isinstance(found, set_up.Interpreter)
    environ = environment(tmp_path, tmp_path)
    bare = [str(executable(tmp_path / "bare", "exit 1"))]
    with pytest.raises(set_up.SetUpError) as error:
        set_up.check_tools(found, environ, bare)
    remedy = "Install: apt-get install g++ python3.10-dev python3-venv"
    assert str(error.value).endswith(remedy)
    executable(tmp_path / "c++", "exit 0")
    (tmp_path / "Python.h").touch()
    with pytest.raises(set_up.SetUpError, match=r"install python3-venv$"):
        set_up.check_tools(found, environ, bare)
    set_up.check_tools(found, environ, [*bare, found.path])
    monkeypatch.setattr(set_up, "uv_there", lambda environ: "uv")
    set_up.check_tools(found, environ, bare)


def test_pins_are_read_with_their_hashes() -> None:
    text = (
        "# head\n"
        "a-b==1.0 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n    # via c\n"
        "C.d==2\n    # via --hash=sha256:33\n"
    )
    assert set_up.pins(text) == {
        "a-b": "a-b==1.0 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22",
        "c.d": "C.d==2",
    }


# A uv that notes its calls, makes what the set-up looks for, and fails when told to.
FAKE_UV = """
echo "$@" >> "$CALLS"
case "$*" in
    *"$FAIL"*) echo 'error: no network'; exit 2;;
    venv*) for last; do :; done
        mkdir -p "$last/bin" && cp "$BASE" "$last/bin/python"
        echo 'prompt = pocketrec' > "$last/pyvenv.cfg";;
esac
"""
LOCK = "".join(
    f"{name}==1 \\\n    --hash=sha256:0\n" for name in ("numpy", "setuptools", "wheel")
)


class Workshop:
    """A checkout with a fake Python and a fake uv, to set up and look at."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "check out"
        self.venv = self.root / ".venv"
        self.calls = folder / "calls"
        self.lock = self.root / "requirements" / "python3.10.txt"
        self.lock.parent.mkdir(parents=True)
        self.lock.write_text(LOCK)
        (self.root / "pyproject.toml").touch()
        (self.root / "setup.py").touch()
        python = fake_python(folder / "bin" / "python3.10", "3.10.1")
        executable(
            folder / "bin" / "uv",
            f'[ "$1" = --version ] && exec echo "uv 9.9.9"\n{FAKE_UV}',
        )
        for name in ("c++", "Python.h"):
            executable(folder / "bin" / name, "exit 0")
        path = f"{folder / 'bin'}:/usr/bin:/bin"
        self.environ = environment(folder, Path(path), CALLS=str(self.calls))
        self.environ.update(BASE=str(python), FAIL="nothing fails")
        monkeypatch.setattr(set_up, "ROOT", self.root)
        monkeypatch.setattr(set_up, "glibc_version", lambda: OLD)

    def set_up(self, **more: str) -> list[str]:
        """Sets up and returns the calls of uv."""
        self.calls.write_text("")
        set_up.set_up({**self.environ, **more})
        return self.calls.read_text().splitlines()


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def test_everything_installed_is_locked_and_hashed(workshop: Workshop) -> None:
    calls = workshop.set_up()
    assert [call.split(" --")[0] for call in calls] == [
        "venv",
        "pip install",
        "pip sync",
        "pip install",
    ]
    _, tools, sync, project = calls
    for call in (tools, sync):
        assert "--require-hashes" in call
        assert "--no-build-isolation" in call
        assert "--python-platform x86_64-manylinux_2_28" in call
    assert sync.endswith(str(workshop.lock))
    assert "--no-deps --no-build-isolation" in project
    assert project.endswith(f"-e {workshop.root}")
    written = (workshop.venv / "build-tools.txt").read_text()
    assert sorted(set_up.pins(written)) == ["setuptools", "wheel"]
    assert written.count("--hash=sha256:0") == 2


def test_a_second_set_up_does_nothing(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.set_up()
    assert "Python 3.10.1" in capsys.readouterr().err
    assert workshop.set_up() == []
    assert workshop.set_up(PYTHON="3.10") == []
    assert capsys.readouterr().err == ""


def test_a_half_made_environment_is_made_anew(workshop: Workshop) -> None:
    with pytest.raises(
        set_up.SetUpError, match=r"locked packages failed.*\nerror: no n"
    ):
        workshop.set_up(FAIL="pip sync")
    (workshop.venv / "half").touch()
    assert not set_up.is_current(workshop.venv, workshop.root)
    assert workshop.set_up()[0].startswith("venv")
    assert not (workshop.venv / "half").exists()
    assert set_up.is_current(workshop.venv, workshop.root)


def test_a_changed_lock_is_installed_over_a_finished_environment(
    workshop: Workshop,
) -> None:
    workshop.set_up()
    workshop.lock.write_text(LOCK.replace("numpy==1", "numpy==2"))
    calls = workshop.set_up()
    assert [call.split(" --")[0] for call in calls] == [
        "pip install",
        "pip sync",
        "pip install",
    ]
    assert set_up.is_current(workshop.venv, workshop.root)


def test_an_update_that_fails_leaves_no_stamp(workshop: Workshop) -> None:
    workshop.set_up()
    workshop.lock.write_text(LOCK.replace("numpy==1", "numpy==2"))
    with pytest.raises(set_up.SetUpError):
        workshop.set_up(FAIL="pip sync")
    assert workshop.set_up()[0].startswith("venv")


@pytest.mark.parametrize(
    "change",
    [
        lambda w: (w.root / "pyproject.toml").write_text("changed"),
        lambda w: (w.root / "setup.py").write_text("changed"),
        lambda w: (w.venv / "bin" / "python").unlink(),
        lambda w: executable(w.root / "data" / "__init__.py", ""),
    ],
    ids=["pyproject", "setup.py", "python removed", "new package"],
)
def test_what_makes_a_set_up_run_again(workshop: Workshop, change: object) -> None:
    workshop.set_up()
    assert callable(change)
    change(workshop)
    assert workshop.set_up() != []


def test_a_moved_checkout_is_set_up_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.set_up()
    moved = workshop.root.rename(workshop.root.with_name("moved"))
    monkeypatch.setattr(set_up, "ROOT", moved)
    assert not set_up.is_current(moved / ".venv", moved)


def test_another_environment_is_made_where_venv_says(workshop: Workshop) -> None:
    elsewhere = workshop.root.parent / "elsewhere"
    workshop.set_up(VENV=str(elsewhere))
    assert set_up.is_current(elsewhere, workshop.root)
    assert not workshop.venv.exists()


@pytest.mark.parametrize("content", ["notes.txt", "pyvenv.cfg"])
def test_a_folder_that_is_not_ours_is_left_alone(
    workshop: Workshop, content: str
) -> None:
    elsewhere = workshop.root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / content).write_text("prompt = another\n")
    with pytest.raises(set_up.SetUpError, match="left alone"):
        workshop.set_up(VENV=str(elsewhere))
    assert (elsewhere / content).read_text() == "prompt = another\n"


def test_a_missing_lock_file_is_named(workshop: Workshop) -> None:
    workshop.lock.unlink()
    with pytest.raises(set_up.SetUpError, match=r"requirements/python3\.10\.txt"):
        workshop.set_up()


# A Python with pip and without ensurepip, or with neither.
PIP_ONLY = """
case "$*" in
    *"-m venv"*) echo 'ensurepip is not available'; exit 1;;
    *"-m pip"*"--require-hashes"*"--target"*) for last; do :; done
        mkdir -p "$last/bin" && cp "$NEW_UV" "$last/bin/uv";;
    *) exit 1;;
esac
"""


@pytest.mark.parametrize("on_path", [None, "0.1.0", "99.0.0"])
def test_our_own_uv_comes_where_there_is_none(
    workshop: Workshop, tmp_path: Path, on_path: str | None
) -> None:
    (workshop.root / "requirements" / "uv.txt").write_text("uv==0.9.1 --hash=sha256:0")
    bare = executable(tmp_path / "bare", "exit 1")
    python = executable(tmp_path / "pip-only", PIP_ONLY)
    new = executable(tmp_path / "new-uv", "echo uv 0.9.1")
    path = tmp_path / "path"
    path.mkdir()
    if on_path:
        executable(path / "uv", f"echo uv {on_path}")
    system = f"{path}:/usr/bin:/bin"
    environ = {"PATH": system, "NEW_UV": str(new)}
    own = workshop.root / ".tools" / "uv" / "bin" / "uv"
    expected = path / "uv" if on_path == "99.0.0" else own
    assert set_up.ensure_uv(environ, [str(bare), str(python)]) == str(expected)
    assert own.exists() == (expected == own)
    # The second time it is there already: no Python is asked.
    assert set_up.ensure_uv(environ, [str(bare)]) == str(expected)


def test_no_uv_to_be_had_names_the_remedy(workshop: Workshop, tmp_path: Path) -> None:
    (workshop.root / "requirements" / "uv.txt").write_text("uv==0.9.1 --hash=sha256:0")
    bare = executable(tmp_path / "bare", "echo No module named pip; exit 1")
    with pytest.raises(set_up.SetUpError) as error:
        set_up.ensure_uv({"PATH": str(tmp_path)}, [str(bare)])
    assert "apt-get install python3-venv" in str(error.value)
    assert "No module named pip" in str(error.value)


def test_the_shell_entry_passes_over_a_python_that_refuses(tmp_path: Path) -> None:
    shim(tmp_path / "python3")
    (tmp_path / "python3.12").symlink_to(sys.executable)
    environ = environment(tmp_path, tmp_path, Path("/usr/bin"), Path("/bin"))
    entry = ["sh", str(ROOT / "scripts" / "set_up.sh"), "--find", "3.99"]
    answer = subprocess.run(entry, env=environ, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "3.99\n")


def test_set_up_needs_only_an_old_python() -> None:
    """It is started by whatever Python there is: every import is the library's own."""
    text = (ROOT / "scripts" / "set_up.py").read_text()
    ast.parse(text, feature_version=(3, 8))
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names)
    assert "tomllib" not in imported  # Python 3.11's


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_the_lock_files_fit_the_declared_requirements() -> None:
    assert list(lock.problems(ROOT)) == []


def edit(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def test_a_new_requirement_makes_every_lock_out_of_date(project: Path) -> None:
    edit(project / "pyproject.toml", '"numpy>=', '"not-locked-yet",\n"numpy>=')
    problems = list(lock.problems(project))
    for minor in ("3.10", "3.11", "3.12", "3.13"):
        name = f"requirements/python{minor}.txt"
        assert f"{name}: not-locked-yet is not locked" in problems
        assert (
            f"{name} was made from other requirements than pyproject.toml's" in problems
        )


def test_a_pin_outside_its_requirement_is_told(project: Path) -> None:
    edit(project / "requirements" / "python3.12.txt", "\ntfx==1.21.0", "\ntfx==1.16.0")
    assert list(lock.problems(project)) == [
        "requirements/python3.12.txt: tfx is locked at 1.16.0, "
        'not tfx==1.21.*; python_version >= "3.11"'
    ]


def test_a_pin_without_hash_and_a_missing_lock_are_told(project: Path) -> None:
    (project / "requirements" / "python3.13.txt").unlink()
    path = project / "requirements" / "python3.11.txt"
    path.write_text(
        re.sub(r"(\nsix==\S+) \\(\n    --hash=\S+( \\)?)+", r"\1", path.read_text())
    )
    problems = list(lock.problems(project))
    assert problems[0] == "requirements/python3.13.txt is missing"
    assert re.fullmatch(
        r"requirements/python3\.11\.txt: six==\S+ has no hash", problems[1]
    )
    assert len(problems) == 2


def test_the_order_of_requirements_does_not_matter() -> None:
    assert lock.digest_of(["a>=1", "b"]) == lock.digest_of(["b", "a >= 1"])
    assert lock.digest_of(["a>=1", "b"]) != lock.digest_of(["a>=2", "b"])


def make(*arguments: str) -> str:
    """What make prints, as if not started by a make itself."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFL"))}
    answer = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE))


def test_help_lists_every_target() -> None:
    listed = re.findall(r"^  ([a-z0-9-]+) +\S", make("help"), re.MULTILINE)
    assert sorted(listed) == sorted(targets())


@pytest.mark.parametrize("target", ["run", "test", "lint", "types", "check", "dist"])
def test_targets_set_the_environment_up_first(target: str) -> None:
    plan = make("-n", target).splitlines()
    assert plan[0] == "sh scripts/set_up.sh"
    assert plan.count("sh scripts/set_up.sh") == 1


def test_every_hook_is_a_target_of_the_makefile() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    entries = re.findall(r"^ +entry: make (\S+)$", text, re.MULTILINE)
    assert set(entries) == {"lint", "types", "lock-check", "test"} <= targets()
    assert re.findall(r"- repo: (\S+)", text) == ["local"]


def test_ci_does_what_the_readme_says() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (\S+)$", text, re.MULTILINE)[-3:] == [
        "lint",
        "types",
        "test",
    ]
    assert "set -euo pipefail" in text
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def copy_of_the_packages(folder: Path) -> Path:
    names = ("components", "configs", "data", "pipeline", "device", "tests", "scripts")
    for name in names:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(folder: Path, *arguments: str) -> None:
    answer = subprocess.run(
        [sys.executable, "setup.py", "--quiet", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


def test_the_wheel_holds_the_packages_and_their_data(tmp_path: Path) -> None:
    build(copy_of_the_packages(tmp_path), "bdist_wheel")
    (wheel,) = (tmp_path / "dist").glob("pocketrec-*-py3-none-any.whl")
    archive = zipfile.ZipFile(wheel)
    names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names if not name.startswith("pocketrec-")}
    assert tops == {"components", "configs", "data", "pipeline", "pocketrec_device"}
    for package in ("components", "configs", "data", "pipeline"):
        sources = {
            str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")
        }
        assert sources <= names
    for pattern in ("*.pbtxt", "*.proto", "beam/*.txt", "experiments/*.pbtxt"):
        data = {str(p.relative_to(ROOT)) for p in (ROOT / "configs").glob(pattern)}
        assert data and data <= names
    (entry,) = [name for name in names if name.endswith("entry_points.txt")]
    assert "pocketrec = pipeline.cli:main" in archive.read(entry).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_beam_can_build_a_source_distribution(tmp_path: Path) -> None:
    build(copy_of_the_packages(tmp_path), "sdist", "--formats=gztar")
    (path,) = (tmp_path / "dist").glob("pocketrec-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "configs/recommender.proto"} <= names
    assert "device/pocketrec_device/__init__.py" in names
    assert "pipeline/cli.py" in names


def test_the_device_wheel_stands_alone(tmp_path: Path) -> None:
    folder = copy_of_the_packages(tmp_path) / "device"
    build_wheel = (
        "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])",
        str(tmp_path),
    )
    subprocess.run(
        [sys.executable, "-c", *build_wheel],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("pocketrec_device-*.whl")
    archive = zipfile.ZipFile(wheel)
    assert "pocketrec_device/__init__.py" in archive.namelist()
    (metadata,) = [n for n in archive.namelist() if n.endswith("/METADATA")]
    requires = re.findall(
        r"^Requires-Dist: ([\w-]+)", archive.read(metadata).decode(), re.MULTILINE
    )
    assert sorted(requires) == ["ai-edge-litert", "numpy"]
