"""Chooses the Python that fits this machine, makes the locked environment with it.

The C library decides which row of the platform table applies, because TFX's wheels
depend on it: TFX 1.21 needs glibc 2.38, anything older keeps TFX 1.16 on Python 3.10.
Within a row the newest Python that is really there wins, searched in this order:

1. ``$PYTHON`` (a path, a command, or just a version such as 3.12), which must fit;
2. every ``python3.X`` on PATH that answers (a pyenv shim may be there and refuse);
3. pyenv's own folders (``$PYENV_ROOT``, ``~/.pyenv``);
4. a download by uv, which needs a network beyond the package index.

Only the standard library of Python 3.8 is used, so any Python can run this file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Mapping, NoReturn, Sequence

ROOT = Path(__file__).resolve().parent.parent
STAMP = "set-up.json"
DEFAULT_VENV = ".venv"
OWN_UV = ".tools/uv"
PROMPT = "pocketrec"
UV_MINIMUM = (0, 8)
PACKAGES = (
    "components",
    "configs",
    "data",
    "pipeline",
    "device/pocketrec_device",
)
# Installed before the rest, which is built from source in places, and then without
# build isolation: so that nothing is fetched that the lock does not know.
BUILD_TOOLS = ("setuptools", "wheel")

PROBE = """
import json, os, sys, sysconfig
executable = sys.executable
if sys.prefix != sys.base_prefix:  # an environment: name what it was made from
    name = "python%d.%d" % sys.version_info[:2]
    base = os.path.join(sys.base_exec_prefix, "bin", name)
    executable = base if os.path.exists(base) else executable
missing = []
for name in ("bz2", "ctypes", "lzma", "ssl", "zlib"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print(json.dumps({
    "executable": executable,
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "include": sysconfig.get_path("include"),
    "missing": missing,
}))
"""


class SetUpError(Exception):
    """The environment cannot be made; the message gives the reason and the remedy."""


@dataclass(frozen=True)
class Row:
    """One row of the platform table.

    `pythons` are in the order of preference; `platform` is the tag that its wheels are
    chosen by, which for TFDV 1.21 says more (2.39) than its symbols need (2.38).
    """

    tfx: str
    pythons: tuple[str, ...]
    glibc: tuple[int, int]
    platform: str


# The newest first; each needs at least its glibc.
ROWS = (
    Row("1.21", ("3.13", "3.12", "3.11"), (2, 38), "x86_64-manylinux_2_39"),
    Row("1.16", ("3.10",), (2, 28), "x86_64-manylinux_2_28"),
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that answered: where it was found and what it said of itself."""

    path: str
    version: tuple[int, int, int]
    include: str
    source: str

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


@dataclass(frozen=True)
class Choice:
    """The row that applies, the Python that was found for it, and why this one."""

    row: Row
    interpreter: Interpreter
    reason: str

    def line(self) -> str:
        found = self.interpreter
        version = ".".join(map(str, found.version))
        return (
            f"Python {version} ({found.path}, {found.source}) with TFX {self.row.tfx}, "
            f"because {self.reason}"
        )


def dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def glibc_version() -> tuple[int, int] | None:
    """The C library of this machine, None where it is not glibc."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return None
    match = re.match(r"glibc (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def check_platform(system: str, machine: str, glibc: tuple[int, int] | None) -> None:
    """Raises SetUpError unless TFX has wheels for this system and C library."""
    if system != "Linux" or machine != "x86_64" or glibc is None:
        libc = f"glibc {dotted(glibc)}" if glibc else "no glibc"
        raise SetUpError(
            f"TFX has wheels for Linux on x86_64 with glibc alone; this is {system} on "
            f"{machine} with {libc}. Use a Linux x86_64 machine or container "
            "(Debian 12 or 13, Ubuntu 20.04 or newer)."
        )


def row_for_glibc(glibc: tuple[int, int]) -> Row:
    """The newest row whose wheels load with this C library."""
    for row in ROWS:
        if glibc >= row.glibc:
            return row
    raise SetUpError(
        f"glibc {dotted(glibc)} is too old: TFX {ROWS[-1].tfx} needs "
        f"{dotted(ROWS[-1].glibc)} or newer. Use a newer system (Debian 12 or 13, "
        "Ubuntu 20.04 or newer)."
    )


def row_for_python(minor: str, glibc: tuple[int, int]) -> Row:
    """The row of an asked-for Python; SetUpError where it cannot work here."""
    fitting = row_for_glibc(glibc)
    remedy = (
        f"Leave PYTHON unset, or set PYTHON={fitting.pythons[0]}; this machine has "
        f"glibc {dotted(glibc)}, which fits Python {' or '.join(fitting.pythons)}."
    )
    for row in ROWS:
        if minor in row.pythons:
            if glibc >= row.glibc:
                return row
            raise SetUpError(
                f"PYTHON is Python {minor}, which runs TFX {row.tfx}, and its wheels "
                f"need glibc {dotted(row.glibc)} or newer. {remedy} For Python {minor} "
                "use a newer system (Debian 13, Ubuntu 24.04)."
            )
    raise SetUpError(f"PYTHON is Python {minor}, for which TFX has no wheels. {remedy}")


def probe(path: str, source: str) -> Interpreter | str:
    """Asks a Python what it is: an Interpreter, or why it cannot be used."""
    # A PYTHONHOME or PYTHONPATH meant for another Python would break this one.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        answer = subprocess.run(
            [path, "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=60,
            env=environ,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({type(error).__name__})"
    try:
        facts = json.loads(answer.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        said = (answer.stderr or answer.stdout).strip().splitlines()
        return f"does not answer ({said[0] if said else f'exit {answer.returncode}'})"
    if facts["implementation"] != "cpython" or facts["free_threaded"]:
        kind = "free-threaded" if facts["free_threaded"] else facts["implementation"]
        return f"is {kind}, and TFX needs the standard CPython"
    if facts["missing"]:
        return f"lacks the modules {', '.join(facts['missing'])}"
    version = tuple(facts["version"])
    return Interpreter(
        facts["executable"], version, include=facts["include"], source=source
    )


def candidates(minor: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields (path, source) of every place where this Python may be, in our order."""
    name = f"python{minor}"
    for folder in environ.get("PATH", "").split(os.pathsep):
        path = Path(folder or ".", name)
        if path.is_file() and os.access(path, os.X_OK):
            yield str(path), "on PATH"
    roots = [environ.get("PYENV_ROOT"), str(Path(environ.get("HOME", "~")) / ".pyenv")]
    for root in dict.fromkeys(r for r in roots if r):
        yield from ((p, "pyenv") for p in pyenv_pythons(minor, Path(root)))


def pyenv_pythons(minor: str, root: Path) -> list[str]:
    """The Pythons X.Y.Z below pyenv's folder, the newest patch release first."""
    found = []
    for folder in root.glob(f"versions/{minor}.*"):
        patch = folder.name[len(minor) + 1 :]
        path = folder / "bin" / f"python{minor}"
        if patch.isdigit() and path.is_file():
            found.append((int(patch), str(path)))
    return [path for _, path in sorted(found, reverse=True)]


def find(
    minor: str, environ: Mapping[str, str], refused: list[str]
) -> Interpreter | None:
    """The first such Python that answers; `refused` gets why the others do not."""
    for path, source in candidates(minor, environ):
        answer = probe(path, source)
        if isinstance(answer, str):
            refused.append(f"{path} {answer}")
        elif answer.minor != minor:
            refused.append(f"{path} is Python {answer.minor}")
        else:
            return answer
    return None


def asked_for(
    wanted: str, environ: Mapping[str, str], glibc: tuple[int, int]
) -> Choice:
    """Resolves $PYTHON, a path, command or version; SetUpError if it does not fit."""
    refused: list[str] = []
    version = re.fullmatch(r"(?:python)?(3\.\d+)", wanted)
    found: Interpreter | None = None
    if version:
        row_for_python(version[1], glibc)
        found = find(version[1], environ, refused)
    else:
        path = shutil.which(wanted, path=environ.get("PATH")) or wanted
        answer = probe(path, "PYTHON")
        if isinstance(answer, str):
            refused.append(f"{path} {answer}")
        else:
            found = answer
    if found is None:
        tried = (
            "; ".join(refused) or "nothing of that name on PATH or in pyenv's folder"
        )
        raise SetUpError(f"PYTHON={wanted} cannot be used: {tried}.")
    return Choice(row_for_python(found.minor, glibc), found, f"PYTHON={wanted}")


def why(row: Row, glibc: tuple[int, int]) -> str:
    """The reason for a row, from the C library alone."""
    if row is ROWS[0]:
        return f"glibc is {dotted(glibc)} ({dotted(row.glibc)} or newer is needed)"
    newer = ROWS[ROWS.index(row) - 1]
    return (
        f"glibc is {dotted(glibc)}, older than the {dotted(newer.glibc)} that "
        f"TFX {newer.tfx} needs"
    )


def choose(
    environ: Mapping[str, str],
    glibc: tuple[int, int],
    download: Callable[[str], str | None],
) -> Choice:
    """Chooses row and Python.

    Args:
      environ: where PYTHON, PATH, HOME and PYENV_ROOT are read from.
      glibc: the machine's C library.
      download: fetches a Python of the given version and returns its path, or None if
        it cannot; called only when none is on the machine.

    Raises:
      SetUpError: if $PYTHON does not fit the machine or no Python can be had.
    """
    if environ.get("PYTHON"):
        return asked_for(environ["PYTHON"], environ, glibc)
    row = row_for_glibc(glibc)
    refused: list[str] = []
    for minor in row.pythons:
        found = find(minor, environ, refused)
        if found:
            return Choice(row, found, why(row, glibc))
    path = download(row.pythons[0])
    if path is not None:
        answer = probe(path, "downloaded by uv")
        if isinstance(answer, Interpreter):
            return Choice(row, answer, why(row, glibc))
        refused.append(f"{path} {answer}")
    tried = "".join(f"\n  {line}" for line in refused)
    wanted = " or ".join(row.pythons)
    raise SetUpError(
        f"no Python {wanted} found, which TFX {row.tfx} needs ({why(row, glibc)}). "
        "Looked on PATH and in pyenv's folder, and uv could not download one. Install "
        f"it (apt-get install python{row.pythons[0]}-dev, or pyenv install "
        f"{row.pythons[0]}), or set PYTHON to where it is.{tried}"
    )


def check_tools(
    interpreter: Interpreter, environ: Mapping[str, str], pythons: Sequence[str]
) -> None:
    """Raises SetUpError, with all that is missing, where the set-up could not end well.

    TFDV's dependency pyfarmhash has no wheels; failing inside its build would say so
    in a page of compiler output.
    """
    lacking = []
    compiler = environ.get("CXX", "c++").split()[0]
    if not any(shutil.which(c, path=environ.get("PATH")) for c in (compiler, "g++")):
        lacking.append(("a C++ compiler", "g++"))
    if not Path(interpreter.include, "Python.h").is_file():
        lacking.append(("Python's headers", f"python{interpreter.minor}-dev"))
    if not uv_there(environ) and not any(map(can_install, pythons)):
        lacking.append(("uv, and pip to install it,", "python3-venv"))
    if lacking:
        raise SetUpError(
            f"{' and '.join(what for what, _ in lacking)} missing for Python "
            f"{interpreter.minor} ({interpreter.path}), and one dependency is built "
            f"from source. Install: apt-get install {' '.join(p for _, p in lacking)}"
        )


def read(path: Path) -> str:
    """The text of one of our own files; SetUpError where the checkout lacks it."""
    try:
        return path.read_text()
    except OSError as error:
        raise SetUpError(
            f"cannot read {path.relative_to(ROOT)} ({error.strerror}); restore it with "
            f"git checkout -- {path.relative_to(ROOT)}, or run `make lock`"
        ) from None


def pins(lock: str) -> dict[str, str]:
    """Maps each package of a lock file's text to its entry: the pin and its hashes."""
    entries: dict[str, str] = {}
    name = ""
    for line in lock.splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==", line)
        if match:
            name = match[1].lower()
            entries[name] = line
        elif name and line.lstrip().startswith("--hash="):
            entries[name] += "\n" + line
    return {name: entry.rstrip("\\ ") for name, entry in entries.items()}


def fingerprint(root: Path, lock: Path) -> str:
    """Digest of what the environment is made from; it moves with the checkout."""
    digest = hashlib.sha256(str(root).encode())
    for path in (lock, root / "pyproject.toml", root / "setup.py", Path(__file__)):
        digest.update(b"\0" + path.read_bytes())
    for package in PACKAGES:  # an editable install lists the packages once, when made
        found = (root / package / "__init__.py").is_file()
        digest.update(f"\0{package}={found}".encode())
    return digest.hexdigest()


def is_current(venv: Path, root: Path) -> bool:
    """Whether a finished set-up is there, made from the files as they are now."""
    try:
        stamp = json.loads((venv / STAMP).read_text())
        lock = root / stamp["lock"]
        return bool(
            stamp["fingerprint"] == fingerprint(root, lock)
            and stamp["venv"] == str(venv)
            and os.access(venv / "bin" / "python", os.X_OK)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def same_python(venv: Path, interpreter: Interpreter) -> bool:
    """Whether a finished set-up was made with this very Python."""
    try:
        stamp = json.loads((venv / STAMP).read_text())
        return bool(stamp["python"] == interpreter.path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def say(text: str) -> None:
    print(f"set-up: {text}", file=sys.stderr, flush=True)


class Progress:
    """Shows uv's messages as one changing line; off a terminal, as a few lines."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.lines: list[str] = []

    def take(self, line: str) -> None:
        self.lines.append(line)
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            text = f"\r\x1b[K  {line.strip()}"[: width + 4]
            print(text, end="", file=sys.stderr, flush=True)
        elif re.search(r"Downloading .*\((\d{3,}(\.\d+)?MiB|.*GiB)\)", line):
            print(f"  {line.strip()}", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.live and self.lines:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def run(command: Sequence[str], what: str, environ: Mapping[str, str]) -> None:
    """Runs a step; its output is shown only where it fails, as SetUpError."""
    progress = Progress()
    process = subprocess.Popen(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=dict(environ),
        cwd=str(ROOT),
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            progress.take(line.rstrip())
        code = process.wait()
    finally:
        progress.end()
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise SetUpError(f"{what} failed (exit {code}):\n" + "\n".join(progress.lines))


def uv_version(path: str) -> tuple[int, ...]:
    """The version of a uv, or () if it does not answer."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True)
    except OSError:
        return ()
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, match.groups())) if match else ()


def pinned_uv() -> tuple[int, ...]:
    """The version of uv that requirements/uv.txt names."""
    pin = pins(read(ROOT / "requirements" / "uv.txt"))["uv"].split()[0]
    return tuple(map(int, pin.partition("==")[2].split(".")))


def uv_there(environ: Mapping[str, str]) -> str | None:
    """A uv that works and is there: the one on PATH, else our own in .tools/."""
    path = shutil.which("uv", path=environ.get("PATH"))
    if path and uv_version(path) >= UV_MINIMUM:
        return path
    own = str(ROOT / OWN_UV / "bin" / "uv")
    return own if uv_version(own) == pinned_uv() else None


def can_install(python: str) -> bool:
    """Whether this Python has pip, or what a virtual environment gets it from."""
    tries = (("-c", "import ensurepip, venv"), ("-c", "import pip"))
    return any(
        subprocess.run([python, *t], capture_output=True).returncode == 0 for t in tries
    )


def ensure_uv(environ: Mapping[str, str], pythons: Sequence[str]) -> str:
    """A uv that works, installed with one of the given Pythons if need be."""
    there = uv_there(environ)
    if there:
        return there
    say(f"installing uv {dotted(pinned_uv())} into {OWN_UV}")
    failures = []
    for python in dict.fromkeys(pythons):
        shutil.rmtree(ROOT / OWN_UV, ignore_errors=True)
        try:
            install_uv(python, ROOT / OWN_UV, environ)
        except SetUpError as error:
            failures.append(f"{python}: {error}")
            continue
        there = uv_there(environ)
        if there:
            return there
        failures.append(f"{python}: the installed uv does not run")
    raise SetUpError(
        "uv is not on PATH and could not be installed. Install it yourself (any of "
        "pip, pipx or your system's packages has it), or give this Python what it "
        "lacks (apt-get install python3-venv).\n" + "\n".join(failures)
    )


def install_uv(python: str, folder: Path, environ: Mapping[str, str]) -> None:
    """Installs the pinned uv into a venv or, where Python lacks ensurepip, by pip."""
    install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    install += ["--requirement", str(ROOT / "requirements" / "uv.txt")]
    try:
        run([python, "-m", "venv", str(folder)], "making a venv for uv", environ)
    except SetUpError:
        shutil.rmtree(folder, ignore_errors=True)
        pip = [python, "-m", "pip", *install, "--target", str(folder)]
    else:
        pip = [str(folder / "bin" / "python"), "-m", "pip", *install]
    run(pip, "installing uv", environ)


def clear(venv: Path) -> None:
    """Empties an environment of ours; SetUpError where the folder is something else.

    Ours are known by their prompt. A default environment without pyvenv.cfg is one
    whose making was cut off.
    """
    if not venv.exists():
        return
    if not venv.is_dir():
        raise SetUpError(f"VENV={venv} is not a folder; remove it or choose another.")
    config = venv / "pyvenv.cfg"
    if config.is_file():
        ours = f"prompt = {PROMPT}" in config.read_text().splitlines()
    else:
        ours = venv == ROOT / DEFAULT_VENV or not any(venv.iterdir())
    if not ours:
        raise SetUpError(
            f"VENV={venv} holds something that this set-up did not make; it is left "
            "alone. Remove it yourself, or choose another folder: VENV=..."
        )
    # What tells it is ours goes last: if this is cut off, the next time goes on.
    for entry in sorted(venv.iterdir(), key=lambda entry: entry == config):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Waits while another set-up of this checkout is running."""
    tools = ROOT / ".tools"
    tools.mkdir(exist_ok=True)
    with open(tools / "set-up.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(venv: Path, choice: Choice, uv: str, environ: Mapping[str, str]) -> None:
    """Makes the environment, or brings a finished one up to date; stamps it last."""
    lock = ROOT / "requirements" / f"python{choice.interpreter.minor}.txt"
    entries = pins(read(lock))
    print_of_inputs = fingerprint(ROOT, lock)
    python = str(venv / "bin" / "python")
    update = same_python(venv, choice.interpreter) and os.access(python, os.X_OK)
    if update:
        # From here on the environment is half-made until the stamp is back.
        (venv / STAMP).unlink()
    else:
        clear(venv)
        command = [uv, "venv", "--no-project", "--python", choice.interpreter.path]
        run([*command, "--prompt", PROMPT, str(venv)], "making the venv", environ)

    started = time.monotonic()
    say(f"{'updating' if update else 'installing'} {len(entries)} locked packages")
    tools = venv / "build-tools.txt"
    tools.write_text("".join(f"{entries[name]}\n" for name in BUILD_TOOLS))
    target = ["--python", python, "--python-platform", choice.row.platform]
    target += ["--require-hashes", "--no-build-isolation"]
    install = [uv, "pip", "install", *target, "--no-deps", "-r", str(tools)]
    run(install, "installing the build tools", environ)
    # Importing TFX from sources alone takes three times the CPU, and where Python is
    # told not to write bytecode (PYTHONDONTWRITEBYTECODE) every start would.
    sync = [uv, "pip", "sync", *target, "--compile-bytecode", str(lock)]
    run(sync, "installing the locked packages", environ)
    project = [uv, "pip", "install", "--python", python, "--no-deps"]
    project += ["--no-build-isolation", "--reinstall-package", "pocketrec", "-e"]
    run([*project, str(ROOT)], "installing pocketrec", environ)

    stamp = {
        "fingerprint": print_of_inputs,
        "lock": str(lock.relative_to(ROOT)),
        "python": choice.interpreter.path,
        "venv": str(venv),
    }
    partial = venv / f"{STAMP}.partial"
    partial.write_text(json.dumps(stamp, indent=2) + "\n")
    partial.replace(venv / STAMP)
    say(f"done in {time.monotonic() - started:.0f} s ({venv})")


def set_up(environ: Mapping[str, str]) -> None:
    """Sets the environment up if it is not already there as the files describe it.

    Raises:
      SetUpError: with the reason and the remedy.
    """
    venv = Path(environ.get("VENV") or DEFAULT_VENV)
    venv = venv if venv.is_absolute() else ROOT / venv
    if is_current(venv, ROOT) and not environ.get("PYTHON"):
        return
    glibc = glibc_version()
    check_platform(platform.system(), platform.machine(), glibc)
    assert glibc is not None
    settings = dict(environ)
    settings.setdefault("UV_HTTP_TIMEOUT", "300")
    settings.pop("VIRTUAL_ENV", None)

    def download(minor: str) -> str | None:
        uv = ensure_uv(settings, [sys.executable])
        say(f"no Python {minor} on this machine; uv tries to download it")
        try:
            run([uv, "python", "install", minor], "downloading Python", settings)
        except SetUpError:
            return None
        answer = subprocess.run(
            [uv, "python", "find", "--no-project", "--managed-python", minor],
            capture_output=True,
            text=True,
            env=settings,
        )
        return answer.stdout.strip() or None

    choice = choose(settings, glibc, download)
    with only_one():
        if is_current(venv, ROOT) and same_python(venv, choice.interpreter):
            return
        say(choice.line())
        pythons = [sys.executable, choice.interpreter.path]
        check_tools(choice.interpreter, settings, pythons)
        uv = ensure_uv(settings, pythons)
        build(venv, choice, uv, settings)


def main(arguments: Sequence[str]) -> NoReturn:
    """Sets up; `--print-uv` and `--find 3.X` tell the Makefile where they are.

    `--find` prints the version itself where that Python is not on the machine, for uv
    to look further.
    """
    try:
        if arguments == ["--print-uv"]:
            print(ensure_uv(os.environ, [sys.executable]))
        elif len(arguments) == 2 and arguments[0] == "--find":
            found = find(arguments[1], os.environ, [])
            print(found.path if found else arguments[1])
        elif arguments:
            raise SetUpError(f"unknown arguments: {' '.join(arguments)}")
        else:
            set_up(os.environ)
    except SetUpError as error:
        sys.exit(f"set-up: {error}")
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the next make starts it again", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
