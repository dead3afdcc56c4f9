"""Takes the steps of the image's Dockerfile without Docker, in the root that it is in.

``dockerfile_steps.py TARGET [ARGUMENT ...]`` takes the steps of a stage and of those
before it, then runs the stage's entry point with the arguments, as its user and with
its variables. What stages copy from images that are not built here is left out. The
base image's Python is a virtual environment of this one. Only `make test-debian13
ARGS=image-steps` may call it: it writes to /opt and /src and adds a user.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DOCKERFILE = CHECKOUT / "deploy" / "Dockerfile"
BASE_PYTHON = Path("/opt/base-python")
MARKER = "DEBIAN13_ROOT"

_HANDED_ON = re.compile(r"(PIP|UV|SSL|REQUESTS)_|(?i:http|https|no)_proxy$")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction of a Dockerfile with what follows it, on one line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


class Stage:
    """A stage that is being made: its folder, user, variables and entry point."""

    folder: str
    user: int
    variables: dict[str, str]
    entry_point: list[str]

    def __init__(self, start: Stage | None = None) -> None:
        handed_on = {k: v for k, v in os.environ.items() if _HANDED_ON.match(k)}
        # uv takes no virtual environment for an installed Python.
        pythons = f"{BASE_PYTHON}/bin:{sys.base_prefix}/bin"
        path = f"{pythons}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        self.folder = start.folder if start else "/"
        self.user = start.user if start else 0
        self.variables = dict(start.variables) if start else {"PATH": path, **handed_on}
        self.entry_point = list(start.entry_point) if start else []

    def take(self, name: str, rest: str) -> None:
        """Takes one step.

        Raises:
          ValueError: for an instruction that is not known here.
        """
        print(f"{name} {rest}", flush=True)
        if name == "RUN":
            self.run(["/bin/sh", "-c", rest])
        elif name == "COPY":
            self._copy(rest.split())
        elif name == "ENV":
            for word in shlex.split(rest):
                key, value = word.split("=", 1)
                self.variables[key] = re.sub(
                    r"\$(\w+)", lambda found: self.variables[found[1]], value
                )
        elif name == "WORKDIR":
            self.folder = rest
            Path(rest).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            self.user = int(rest)
        elif name == "ENTRYPOINT":
            self.entry_point = json.loads(rest)
        else:
            raise ValueError(f"{DOCKERFILE}: {name} is not known here")

    def run(self, command: list[str]) -> None:
        """Runs a command as in the stage; ends this process where it fails."""
        home = "/root" if not self.user else self.folder
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.variables, "HOME": home, "LANG": "C.UTF-8"},
            user=self.user,
            group=self.user,
            check=False,
        )
        if done.returncode:
            sys.exit(f"exit code {done.returncode}: {shlex.join(command)}")

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            # Stages share this one root; other images are not here.
            return
        *sources, target = words
        place = Path(self.folder, target)
        for source in sources:
            path = CHECKOUT / source
            if path.is_dir():
                shutil.copytree(path, place, dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)


def main() -> None:
    """Command line."""
    target, *arguments = sys.argv[1:]
    if not os.environ.get(MARKER):
        sys.exit(
            "This writes to /opt and adds a user. Run it in a root of its own: "
            "sudo make test-debian13 ARGS=image-steps"
        )
    # What an earlier call has left; Docker would begin with a new root.
    for folder in (BASE_PYTHON, "/src", "/opt/pocketrec"):
        shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["userdel", "--remove", "pocketrec"], check=False)
    subprocess.run([sys.executable, "-m", "venv", BASE_PYTHON], check=True)
    # It may be below /root, where the image's user cannot look.
    for folder in Path(sys.base_prefix).parents:
        folder.chmod(folder.stat().st_mode | 0o111)
    stages: dict[str, Stage] = {}
    stage = Stage()
    for name, rest in instructions(DOCKERFILE.read_text()):
        if name == "FROM":
            if target in stages:
                break
            base, _, new = rest.split()
            stage = stages[new] = Stage(stages.get(base))
            print(f"FROM {rest}", flush=True)
        else:
            stage.take(name, rest)
    made = stages[target]
    print(f"{shlex.join([*made.entry_point, *arguments])}", flush=True)
    made.run([*made.entry_point, *arguments])


if __name__ == "__main__":
    main()
