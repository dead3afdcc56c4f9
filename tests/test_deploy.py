"""The image, the Kubernetes manifests and the systemd units, without a cluster."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import tomli
import yaml
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
)

from pipeline.beam_options import read_beam_options
from pipeline.cli import main
from tests.checkout import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("base", "overlays/gcs", "overlays/flink")
VERSIONS = ("1.31", "1.37")


def instructions(name: str) -> list[str]:
    """What follows a Dockerfile's instruction, each on one line."""
    text = re.sub(r"\\\n\s*(#.*\n\s*)*", " ", DOCKERFILE.read_text())
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def test_the_dockerfile_is_linted() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_image_copies_is_there_and_let_through() -> None:
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = set()
    for line in instructions("COPY"):
        if "--from" not in line:
            copied |= set(line.split()[:-1])
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name.split("/")[0] in let_through, name
    packages = tomli.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]["find"]["include"]
    folders = {package for package in packages if "." not in package}
    assert folders - {"pocketrec_device"} <= copied
    assert "device" in copied


def test_the_image_fits_the_locks() -> None:
    bases = [line.split()[0] for line in instructions("FROM")]
    [minor] = {re.sub(r"^python:(\d+\.\d+)\.\d+-.*$", r"\1", b) for b in bases[:2]}
    lock = (ROOT / "requirements" / f"python{minor}.txt").read_text()
    assert f"requirements/python{minor}.txt" in DOCKERFILE.read_text()
    assert re.search(r"^kfp==", lock, re.MULTILINE)
    [beam] = re.findall(r"^apache-beam==([\d.]+)", lock, re.MULTILINE)
    [sdk] = re.findall(
        r"apache/beam_python([\d.]+)_sdk:([\d.]+)", DOCKERFILE.read_text()
    )
    assert sdk == (minor, beam)


def test_beams_launcher_works_with_what_is_in_the_image() -> None:
    """By default it makes an environment, which the image's user may not do."""
    _, worker = DOCKERFILE.read_text().split(" AS beam-worker\n")
    assert "\nENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1\n" in worker


def test_nothing_in_the_image_runs_as_root() -> None:
    user = DOCKERFILE.read_text().rindex("\nUSER 10001\n")
    assert user > DOCKERFILE.read_text().index(" AS pipeline")
    pod = cronjob("base")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {"name": "scratch", "emptyDir": {}} in pod["volumes"]


def documents(folder: str) -> Iterator[dict[str, Any]]:
    for path in sorted((KUBERNETES / folder).glob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from yaml.safe_load_all(path.read_text())


def cronjob(folder: str) -> dict[str, Any]:
    [found] = [d for d in documents(folder) if d["kind"] == "CronJob"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_what_kubernetes_takes(version: str) -> None:
    # Patches of an overlay are no whole objects; what they make is looked at below.
    wholes = [*documents("base")]
    wholes += yaml.safe_load_all(
        (KUBERNETES / "overlays" / "flink" / "flink.yaml").read_text()
    )
    assert len(wholes) == 9
    for document in wholes:
        kubernetes_validate.validate(document, version, strict=True)
    wrong = cronjob("base")
    wrong["spec"]["colour"] = "red"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_file_of_a_kustomization_is_there(overlay: str) -> None:
    folder = KUBERNETES / overlay
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    names = list(content["resources"])
    names += [patch["path"] for patch in content.get("patches", []) if "path" in patch]
    names += [
        name
        for generator in content.get("configMapGenerator", [])
        for name in generator["files"]
    ]
    for name in names:
        assert (folder / name).exists(), name
    # Secrets are never here.
    for generator in content.get("secretGenerator", []):
        for name in (*generator.get("files", []), *generator.get("envs", [])):
            assert not (folder / name).exists(), name


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kustomize_makes(overlay: str, tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / overlay
    if overlay == "overlays/gcs":
        (folder / "key.json").write_text("{}")
        (folder / "webhook.env").write_text("POCKETREC_WEBHOOK=https://alarm.example\n")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    for document in made:
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)
    [job] = [d for d in made if d["kind"] == "CronJob"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "registry.example/pocketrec:0.1.0"
    check_arguments(container["args"])
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    claims = {
        d["metadata"]["name"] for d in made if d["kind"] == "PersistentVolumeClaim"
    }
    for volume in pod["volumes"]:
        claim = volume.get("persistentVolumeClaim")
        assert claim is None or claim["claimName"] in claims


def check_arguments(arguments: list[str]) -> None:
    """Are these the arguments of a command of ours?"""
    name, *rest = arguments
    context = main.commands[name].make_context(name, list(rest))
    assert context.params["config_path"] is not None


def test_the_manifests_call_the_command_as_it_is() -> None:
    [container] = cronjob("base")["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ]
    check_arguments(container["args"])


def test_the_configuration_is_the_ready_one() -> None:
    """Kustomize takes no file from outside its folder."""
    ready = (ROOT / "configs" / "sample_daily.pbtxt").read_text()
    assert (KUBERNETES / "base" / "recommender.pbtxt").read_text() == ready


def test_the_options_for_beam_fit_the_manifests() -> None:
    ours = KUBERNETES / "overlays" / "flink" / "flink.txt"
    options = PipelineOptions(read_beam_options(ours))
    by_name = {
        (d["kind"], d["metadata"]["name"]): d for d in documents("overlays/flink")
    }
    managers = by_name["Deployment", "flink-taskmanager"]["spec"]
    flink, pool = managers["template"]["spec"]["containers"]
    [slots] = re.findall(r"numberOfTaskSlots: (\d+)", flink["env"][0]["value"])
    flink_options = options.view_as(FlinkRunnerOptions)
    assert flink_options.parallelism == managers["replicas"] * int(slots)
    portable = options.view_as(PortableOptions)
    assert portable.sdk_worker_parallelism == slots
    assert pool["args"] == ["--worker_pool"]
    assert portable.environment_config == "localhost:50000"
    assert pool["ports"] == [{"containerPort": 50000}]
    [rest] = [
        port["port"]
        for port in by_name["Service", "flink-jobmanager"]["spec"]["ports"]
        if port["name"] == "rest"
    ]
    assert flink_options.flink_master == f"http://flink-jobmanager:{rest}"
    # The one who starts the job sees the same folders.
    pod = cronjob("base")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {mount["mountPath"] for mount in pool["volumeMounts"]} <= mounts


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "systemd" / name)
    return parser


def test_the_systemd_units() -> None:
    service = unit("pocketrec-retrain.service")["Service"]
    command, *arguments = shlex.split(service["ExecStart"])
    assert command == "/opt/pocketrec/bin/pocketrec"
    check_arguments(arguments)
    # Refused by a gate is 3, passing is 75; see `pocketrec retrain --help`.
    assert service["SuccessExitStatus"] == "3 143"
    assert service["RestartForceExitStatus"] == "75"
    assert unit("pocketrec-retrain.timer")["Timer"]["OnCalendar"] == "*-*-* 03:00:00"


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not here"
)
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text().replace("/opt/pocketrec/bin/pocketrec", sys.executable)
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            *sorted(map(str, tmp_path.iterdir())),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "pocketrec" in line]
    assert ours == [], done.stderr
