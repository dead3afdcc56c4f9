"""Commands for Kubeflow Pipelines. They need the optional package kfp."""

from __future__ import annotations

import datetime
import importlib.util
import sys
from pathlib import Path

import click

from pipeline.options import CONFIG, SET, VERBOSE
from pipeline.paths import expect_writable

# The Pythons for which kfp and TFX can be installed together.
PYTHONS = ((3, 10), (3, 11))


def require_kfp(
    python: tuple[int, ...] = sys.version_info[:2], name: str = "kfp"
) -> None:
    """Refuses to go on without kfp, and says how to get it.

    Args:
      python: version of the interpreter.
      name: of the package that is looked for.

    Raises:
      UserError: if it is not installed.
    """
    from configs.errors import UserError

    if importlib.util.find_spec(name) is not None:
        return
    if tuple(python[:2]) in PYTHONS:
        remedy = 'Run: pip install "pocketrec[kfp]" (in a checkout: make setup)'
    else:
        remedy = (
            f"This is Python {python[0]}.{python[1]}, and kfp can be installed beside "
            "TFX on Python 3.11 alone (or on 3.10, with TFX 1.16). Make an environment "
            'with Python 3.11 and run there: pip install "pocketrec[kfp]" (in a '
            "checkout: make setup PYTHON=3.11 VENV=.venv-kubeflow)"
        )
    raise UserError(f"kfp, Kubeflow's compiler, is not installed. {remedy}")


@click.group(short_help="Compile for Kubeflow Pipelines, run and schedule there.")
def kubeflow() -> None:
    """Compile the pipeline for Kubeflow Pipelines 2, run it there, once or by schedule.

    \b
    Example:
      pocketrec kubeflow compile --config configs/sample_daily.pbtxt \\
          --data gs://recommender/data --pipeline-root gs://recommender/runs \\
          --push-destination gs://recommender/push \\
          --image registry.example/pocketrec:1 --output pipeline.yaml
      pocketrec kubeflow schedule --host https://kubeflow.example/pipeline \\
          --package pipeline.yaml --name nightly --cron '0 3 * * *'

    They need the extra kfp: pip install "pocketrec[kfp]".
    """


@kubeflow.command("compile", short_help="Write the pipeline's YAML.")
@CONFIG
@SET
@click.option(
    "--data",
    required=True,
    metavar="URI",
    help="Folder of the activities, items and users, as the tasks see it.",
)
@click.option(
    "--pipeline-root",
    required=True,
    metavar="URI",
    help="Folder of the artifacts, gs://...",
)
@click.option(
    "--push-destination",
    metavar="URI",
    help="Folder of the pushed versions; overrides push.push_destination.",
)
@click.option(
    "--image",
    required=True,
    help="Container image in which pocketrec[kfp] is installed.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, e.g. pipeline.yaml.",
)
@VERBOSE
def compile_command(
    config_path: Path,
    overrides: tuple[str, ...],
    data: str,
    pipeline_root: str,
    push_destination: str | None,
    image: str,
    output: Path,
    verbose: bool,
) -> None:
    """Write the pipeline as Kubeflow's intermediate representation (YAML, schema 2.1).

    It needs neither a cluster nor a network. `pocketrec kubeflow submit` runs the file;
    it can also be uploaded to Kubeflow Pipelines as it is. The data folder, the push
    destination, the length of training and, where data comes in spans, the newest span
    and the window become parameters of a run, by default as given here.

    \b
    Example:
      pocketrec kubeflow compile --config configs/sample_daily.pbtxt \\
          --data gs://recommender/data --pipeline-root gs://recommender/runs \\
          --push-destination gs://recommender/push \\
          --image registry.example/pocketrec:1 --output pipeline.yaml
    """
    from configs.errors import UserError
    from configs.loader import load_config
    from pipeline.quiet import quiet

    require_kfp()
    config = load_config(config_path, overrides)
    destination = push_destination or config.push.push_destination
    if not destination:
        raise UserError(
            "push destination: none given. Expected --push-destination URI, or the "
            "field push.push_destination"
        )
    expect_writable(output.absolute().parent)
    if not verbose:
        click.get_current_context().with_resource(quiet())
    import yaml

    from pipeline.kubeflow_runner import check_reachable, compile_pipeline

    check_reachable("data", data)
    check_reachable("pipeline root", pipeline_root)
    check_reachable("push destination", destination)
    spec = compile_pipeline(config, data, pipeline_root, destination, image)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    partial.write_text(yaml.safe_dump(spec, sort_keys=True))
    partial.replace(output)
    tasks = len(spec["root"]["dag"]["tasks"])
    click.echo(f"{output}: {spec['pipelineInfo']['name']}, {tasks} tasks")


_HOST = click.option(
    "--host",
    envvar="KF_PIPELINES_ENDPOINT",
    metavar="URL",
    help="Address of Kubeflow Pipelines' API.  [env: KF_PIPELINES_ENDPOINT; default: "
    "as the kubeconfig tells]",
)
_NAMESPACE = click.option(
    "--namespace", help="Of a deployment for several users: the user's namespace."
)
_TOKEN_FILE = click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Holds a bearer token for the API.",
)
_EXPERIMENT = click.option(
    "--experiment",
    default="pocketrec",
    show_default=True,
    help="Runs are filed under it; it is made if there is none.",
)
_PACKAGE = click.option(
    "--package",
    "package_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="What `pocketrec kubeflow compile` wrote.",
)
_PARAM = click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the run, e.g. span=2024-03-01. May be given several times.",
)
_SERVICE_ACCOUNT = click.option(
    "--service-account", help="Kubernetes service account of the run's pods."
)


@kubeflow.command(short_help="Run a compiled pipeline once.")
@_PACKAGE
@_PARAM
@click.option("--name", help="Of the run.  [default: <pipeline> <date and time>]")
@_HOST
@_NAMESPACE
@_TOKEN_FILE
@_EXPERIMENT
@_SERVICE_ACCOUNT
def submit(
    package_path: Path,
    parameters: tuple[str, ...],
    name: str | None,
    host: str | None,
    namespace: str | None,
    token_file: Path | None,
    experiment: str,
    service_account: str | None,
) -> None:
    """Run a compiled pipeline once.

    \b
    Example:
      pocketrec kubeflow submit --host https://kubeflow.example/pipeline \\
          --package pipeline.yaml --param span=2024-03-01 --param num_epochs=5
    """
    require_kfp()
    from pipeline import kubeflow_client as client

    package = client.read_package(package_path)
    values = client.parameter_values(package, parameters)
    if name is None:
        now = datetime.datetime.now(datetime.timezone.utc)
        name = f"{package.name} {now:%Y-%m-%d %H:%M:%S}"
    backend = client.Backend(host, namespace, token_file, experiment)
    run = backend.submit(package, values, name, service_account)
    click.echo(f"Started: {name} ({run})")


@kubeflow.command(short_help="Run a compiled pipeline by schedule.")
@_PACKAGE
@click.option(
    "--name", required=True, help="Of the recurring run; one of this name is replaced."
)
@click.option(
    "--cron",
    required=True,
    help="When, in UTC: five fields, e.g. '0 3 * * *', or six, the seconds first.",
)
@_PARAM
@_HOST
@_NAMESPACE
@_TOKEN_FILE
@_EXPERIMENT
@_SERVICE_ACCOUNT
def schedule(
    package_path: Path,
    name: str,
    cron: str,
    parameters: tuple[str, ...],
    host: str | None,
    namespace: str | None,
    token_file: Path | None,
    experiment: str,
    service_account: str | None,
) -> None:
    """Run a compiled pipeline by schedule.

    One run goes at a time, and missed ones are not made up for. Where data comes in
    spans, the date that a run is scheduled for (UTC) is its span; --param span=latest
    takes the newest instead.

    \b
    Example:
      pocketrec kubeflow schedule --host https://kubeflow.example/pipeline \\
          --package pipeline.yaml --name nightly --cron '0 3 * * *'
    """
    require_kfp()
    from pipeline import kubeflow_client as client

    package = client.read_package(package_path)
    values = client.parameter_values(package, parameters)
    client.six_fields(cron)
    backend = client.Backend(host, namespace, token_file, experiment)
    run, replaced = backend.schedule(package, values, name, cron, service_account)
    note = f", in place of {replaced}" if replaced else ""
    click.echo(f"Scheduled: {name} ({run}){note}")


@kubeflow.command("list", short_help="List recurring runs and the newest runs.")
@click.option(
    "--runs",
    type=click.IntRange(min=1, max=200),
    default=10,
    show_default=True,
    help="How many of the newest runs.",
)
@_HOST
@_NAMESPACE
@_TOKEN_FILE
@_EXPERIMENT
def list_command(
    runs: int,
    host: str | None,
    namespace: str | None,
    token_file: Path | None,
    experiment: str,
) -> None:
    """List recurring runs and the newest runs.

    \b
    Example:
      pocketrec kubeflow list --host https://kubeflow.example/pipeline
    """
    require_kfp()
    from pipeline import kubeflow_client as client

    backend = client.Backend(host, namespace, token_file, experiment)
    click.echo("\n".join(backend.lines(runs)))


@kubeflow.command(short_help="Delete a recurring run.")
@click.argument("name")
@_HOST
@_NAMESPACE
@_TOKEN_FILE
@_EXPERIMENT
def delete(
    name: str,
    host: str | None,
    namespace: str | None,
    token_file: Path | None,
    experiment: str,
) -> None:
    """Delete the recurring run NAME. Its runs so far stay.

    \b
    Example:
      pocketrec kubeflow delete nightly --host https://kubeflow.example/pipeline
    """
    require_kfp()
    from pipeline import kubeflow_client as client

    backend = client.Backend(host, namespace, token_file, experiment)
    number = backend.delete(name)
    click.echo(f"Deleted: {name}" + (f" ({number} of them)" if number > 1 else ""))
