"""The Debian 13 root: what is refused, what is run, and that no mount outlives a run.

Small scripts stand in for debootstrap and chroot; namespaces and mounts are real.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.checkout import ROOT

PATIENCE = 60.0  # seconds
SCRIPT = ROOT / "scripts" / "debian13.sh"
DEBOOTSTRAP = """
for root; do case $root in /*) break;; esac; done
mkdir -p "$root/dev" "$root/proc" "$root/tmp" "$root/etc/ssl/certs"
echo "$@" >> "$CALLS"
"""
# Tells what it sees from inside the namespace, then does what the test asks for.
CHROOT = """
test -e "$1/dev/null" && test -e "$1/proc/self/status" && echo mounted
for word; do case $word in POCKETREC_DATA=*) ls "$1${word#*=}" ;; esac; done
for word; do last=$word; done
echo "make $last in $(ls "$1"/srv/*/Makefile)"
eval "$BODY"
"""


def can_mount() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return not subprocess.run(
        ["unshare", "--mount", "true"], capture_output=True
    ).returncode


needs_root = pytest.mark.skipif(
    not can_mount() or not shutil.which("git"), reason="needs root, mounts and git"
)


def stand_ins(folder: Path, **scripts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A checkout of two files, in an environment in which the script can run."""
    checkout = tmp_path / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, checkout / "scripts")
    (checkout / "Makefile").write_text("")
    (checkout / "scratch").write_text("")
    (checkout / ".gitignore").write_text("scratch\n")
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    folder = stand_ins(tmp_path / "bin", debootstrap=DEBOOTSTRAP, chroot=CHROOT)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DEBIAN13_CACHE": str(tmp_path / "the cache"),
        "CALLS": str(tmp_path / "calls"),
        "MIRROR": "http://mirror.example/debian",
        "BODY": "true",
        "SCRIPT": str(checkout / "scripts" / "debian13.sh"),
    }


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environ["SCRIPT"], *arguments],
        env=environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def mounts_below(path: str) -> list[str]:
    """Mounts that this or any other process sees below a path."""
    found = []
    path = path.replace(" ", r"\040")
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            lines = table.read_text().splitlines()
        except OSError:  # the process has ended
            continue
        found += [line for line in lines if line.split()[4].startswith(path)]
    return found


def test_without_root_it_says_so(environ: dict[str, str], tmp_path: Path) -> None:
    stand_ins(tmp_path / "bin", id='[ "$1" = -u ] && echo 1000 || echo someone')
    done = run(environ)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "need root, and you are someone" in line
    assert "sudo make test-debian13" in line


@needs_root
def test_a_missing_tool_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    few = stand_ins(tmp_path / "few")
    for name in (
        "bash",
        "id",
        "dirname",
        "realpath",
        "git",
        "tar",
        "flock",
        "setpriv",
        "unshare",
    ):
        os.symlink(shutil.which(name) or "", few / name)
    done = run({**environ, "PATH": str(few)})
    assert done.returncode == 1
    assert done.stderr == (
        "debian13: not all tools are here. Run: apt-get install debootstrap\n"
    )


@needs_root
@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("PYTHON_PREFIX", "/nowhere", "PYTHON_PREFIX=/nowhere is not a folder"),
        ("PYTHON_PREFIX", "/etc", "has no bin/python3.11, 3.12 or 3.13"),
        ("PYTHON_PREFIX", "/", "PYTHON_PREFIX=/ would hide the root's own"),
        ("PYTHON_PREFIX", "/usr/", "PYTHON_PREFIX=/usr would hide the root's own"),
        ("POCKETREC_DATA", "/nowhere", "POCKETREC_DATA=/nowhere is not a folder"),
    ],
)
def test_wrong_settings(
    environ: dict[str, str], setting: str, value: str, part: str
) -> None:
    done = run({**environ, setting: value})
    assert done.returncode == 1
    assert part in done.stderr
    assert not Path(environ["CALLS"]).exists()


@needs_root
def test_targets_run_on_a_copy_and_nothing_stays_mounted(
    environ: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "ml-100k").mkdir(parents=True)
    done = run({**environ, "POCKETREC_DATA": str(data)})
    root = Path(environ["DEBIAN13_CACHE"], "root")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout == f"mounted\nml-100k\nmake run in {root}/srv/a checkout/Makefile\n"
    )
    copied = {p.name for p in (root / "srv" / "a checkout").iterdir()}
    assert copied == {"Makefile", "scripts", ".gitignore"}
    assert mounts_below(environ["DEBIAN13_CACHE"]) == []
    assert Path("/dev/null").exists()
    [call] = Path(environ["CALLS"]).read_text().splitlines()
    assert call.endswith(f"trixie {root} http://mirror.example/debian")


@needs_root
def test_the_root_is_made_once_and_environments_stay(environ: dict[str, str]) -> None:
    assert run(environ).returncode == 0
    inside = Path(environ["DEBIAN13_CACHE"], "root", "srv", "a checkout")
    for name in (".venv", ".venv-python3.12", ".tools", "runs"):
        (inside / name).mkdir()
    assert run(environ, "lint").returncode == 0
    assert len(Path(environ["CALLS"]).read_text().splitlines()) == 1
    left = {path.name for path in inside.iterdir() if path.is_dir()}
    assert left == {".venv", ".venv-python3.12", ".tools", "scripts"}


@needs_root
def test_a_root_that_was_cut_off_is_made_anew(
    environ: dict[str, str], tmp_path: Path
) -> None:
    stand_ins(tmp_path / "bin", debootstrap="echo 'E: no network' >&2; exit 1")
    done = run(environ)
    assert done.returncode == 1
    assert "debootstrap failed: E: no network (all that it said: " in done.stderr
    stand_ins(tmp_path / "bin", debootstrap=DEBOOTSTRAP)
    assert run(environ).returncode == 0


@needs_root
def test_a_run_that_fails(environ: dict[str, str]) -> None:
    assert run({**environ, "BODY": "exit 7"}).returncode == 7
    assert mounts_below(environ["DEBIAN13_CACHE"]) == []


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_takes_all_with_it(
    environ: dict[str, str], tmp_path: Path, number: int
) -> None:
    started = tmp_path / "started"
    body = f"touch {started}; exec sleep 1000"
    process = subprocess.Popen(
        [environ["SCRIPT"]],
        env={**environ, "BODY": body},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell lets its jobs in the background ignore it, and so would the script.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(started.exists)
    assert mounts_below(environ["DEBIAN13_CACHE"])
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE) != 0
    wait_until(lambda: not mounts_below(environ["DEBIAN13_CACHE"]))


@needs_root
@pytest.mark.parametrize("written", ["plain", "slash", "relative", "link"])
def test_nothing_is_deleted_through_a_mount(
    environ: dict[str, str], tmp_path: Path, written: str
) -> None:
    """Somebody has mounted something of theirs in the copy."""
    cache = environ["DEBIAN13_CACHE"]
    (tmp_path / "link").symlink_to(cache)
    written_as = {
        "plain": cache,
        "slash": f"{cache}//",
        "relative": os.path.relpath(cache),
        "link": str(tmp_path / "link"),
    }
    assert run(environ).returncode == 0
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("")
    place = Path(
        environ["DEBIAN13_CACHE"], "root", "srv", "a checkout", "scripts", "here"
    )
    place.mkdir()
    script = f'mount --bind {treasure} "{place}" && exec "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        env={**environ, "DEBIAN13_CACHE": written_as[written]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "something is mounted there; nothing is deleted" in done.stderr
    assert (treasure / "gold").exists()


@needs_root
def test_a_folder_of_somebody_else_is_left_alone(environ: dict[str, str]) -> None:
    theirs = Path(environ["DEBIAN13_CACHE"], "root", "thesis")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("")
    done = run(environ)
    assert done.returncode == 1
    assert "not of this script's making; it is left alone" in done.stderr
    assert theirs.exists()


@needs_root
def test_the_cache_is_outside_of_the_checkout(environ: dict[str, str]) -> None:
    inside = Path(environ["SCRIPT"]).parent.parent / "cache"
    done = run({**environ, "DEBIAN13_CACHE": str(inside)})
    assert done.returncode == 1
    assert "Expected a folder outside the checkout" in done.stderr
    assert not inside.exists()


@needs_root
def test_it_runs_from_any_folder(environ: dict[str, str]) -> None:
    script = Path(environ["SCRIPT"])
    for folder in (script.parent, script.parent.parent, Path("/")):
        done = subprocess.run(
            ["bash", os.path.relpath(script, folder), "lint"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) in ((0, ""), (0, making(environ)))


def making(environ: dict[str, str]) -> str:
    root = Path(environ["DEBIAN13_CACHE"], "root")
    return f"debian13: making a Debian 13 root in {root} (once; a minute or two)\n"


@needs_root
def test_a_killed_debootstrap_leaves_no_mount(
    environ: dict[str, str], tmp_path: Path
) -> None:
    started = tmp_path / "started"
    script = f'{DEBOOTSTRAP}\nmount -t tmpfs none "$root/proc"\ntouch {started}\n'
    stand_ins(tmp_path / "bin", debootstrap=script + "sleep 1000")
    process = subprocess.Popen(
        [environ["SCRIPT"]], env=environ, stderr=subprocess.DEVNULL
    )
    wait_until(started.exists)
    assert mounts_below(environ["DEBIAN13_CACHE"])
    process.kill()
    process.wait(timeout=PATIENCE)
    wait_until(lambda: not mounts_below(environ["DEBIAN13_CACHE"]))
    stand_ins(tmp_path / "bin", debootstrap=DEBOOTSTRAP)
    assert run(environ).returncode == 0


def wait_until(condition: object, seconds: float = PATIENCE) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
