"""Commands that work on a bundle alone: they import neither TensorFlow nor TFX."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from pipeline.quiet import native_noise_hidden

if TYPE_CHECKING:
    from pocketrec_device import Bundle
    from pocketrec_device.features import InputSpec


@click.command(short_help="Recommend items for a history, from a bundle.")
@click.option(
    "--bundle",
    required=True,
    metavar="FOLDER",
    help="A bundle, or a push destination, whose current version is taken.",
)
@click.option(
    "--history",
    required=True,
    metavar="ID,ID,...",
    help="Item ids of the user's activities, oldest first.",
)
@click.option(
    "--ratings",
    metavar="X,X,...",
    help="One rating for each item; empty where there is none (4,,5).",
)
@click.option(
    "--timestamps",
    metavar="T,T,...",
    help="Seconds since 1970, one for each item; empty where it is not known. "
    "Weekdays, hours and gaps are worked out from them.",
)
@click.option(
    "--activity",
    "activity_features",
    multiple=True,
    metavar="FIELD=V,V,...",
    help="A feature of the activities that the bundle asks for, one value for each "
    "item; may be repeated for other fields. An empty value is one that is not known.",
)
@click.option(
    "--user",
    "user_features",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A feature of the user that the bundle asks for; may be repeated. An empty "
    "value is one that is not known.",
)
@click.option(
    "--seen",
    metavar="ID,ID,...",
    help="Item ids to leave out instead of the history, oldest first (bundles with "
    "seen=TIMELINE).",
)
@click.option(
    "--top",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="How many items.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recommend(
    bundle: str,
    history: str,
    ratings: str | None,
    timestamps: str | None,
    activity_features: Sequence[str],
    user_features: Sequence[str],
    seen: str | None,
    top: int,
    as_json: bool,
) -> None:
    """Recommend items for a history, from a bundle.

    This is what the device does: the catalogue and the model in the bundle are all that
    it takes.

    \b
    Examples:
      pocketrec recommend --bundle pushed/ --history 50,172,181
      pocketrec recommend --bundle pushed/versions/2/bundle \\
          --history 50,172,181 --ratings 5,4,5 --top 20
      pocketrec recommend --bundle pushed/ --history 50,172 \\
          --user age=31 --user gender=F --json
      pocketrec recommend --bundle pushed/ --history 50,172 --seen 1,50,172
      pocketrec recommend --bundle pushed/ --history 50,172 \\
          --activity device=phone,tv --timestamps 1700000000,1700086400

    Ids are those of the logs; `pocketrec inspect-bundle` tells which features of the
    user and of the activities a bundle asks for. An item that the bundle does not know
    counts as out of vocabulary. Scores are comparable within one answer only.
    """
    from pocketrec_device import BundleError, Recommender, RequestError

    ids = _split(history)
    try:
        with native_noise_hidden():
            recommender = Recommender(bundle)
        found = recommender.recommend(
            ids,
            ratings=_optional(ratings, "--ratings", float),
            timestamps=_optional(timestamps, "--timestamps", int),
            user=_user(user_features),
            seen=None if seen is None else _split(seen),
            top_k=top,
            activities=_activities(activity_features),
        )
        unknown = recommender.unknown_items(ids)
    except (BundleError, RequestError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        answer = {
            "bundle": str(recommender.bundle.path),
            "name": recommender.bundle.name,
            "version": recommender.bundle.version,
            "unknown_items": unknown,
            "recommendations": [
                {"id": r.id, "title": r.title, "score": r.score, "index": r.index}
                for r in found
            ],
        }
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    if unknown:
        click.echo(
            f"Not in the catalogue, taken as out of vocabulary: {', '.join(unknown)}",
            err=True,
        )
    if not found:
        click.echo("Nothing to recommend: all that the model answers is left out.")
        return
    rows = [
        (str(place), r.id, f"{r.score:.4f}", r.title)
        for place, r in enumerate(found, 1)
    ]
    _table(("", "id", "score", "title"), rows, right=(0, 2))


@click.command("inspect-bundle", short_help="Check a bundle and tell what is in it.")
@click.argument("path", metavar="FOLDER")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect_bundle(path: str, as_json: bool) -> None:
    """Check a bundle and tell what is in it.

    FOLDER is a bundle or a push destination, whose current version is taken. Every
    file's size and SHA-256 are compared with the manifest, and the model's inputs and
    outputs too; a bundle that does not fit its manifest ends with exit code 1.

    \b
    Examples:
      pocketrec inspect-bundle pushed/
      pocketrec inspect-bundle pushed/versions/2/bundle --json
    """
    from pocketrec_device import BundleError, Recommender

    try:
        with native_noise_hidden():
            bundle = Recommender(path).bundle
    except BundleError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(bundle.manifest, indent=2, ensure_ascii=False))
        return
    _print_bundle(bundle)


def _print_bundle(bundle: Bundle) -> None:
    manifest = bundle.manifest
    version = "not pushed yet" if bundle.version is None else str(bundle.version)
    facts = [
        ("bundle", str(bundle.path)),
        ("name", bundle.name),
        ("version", version),
        ("created", manifest.get("created")),
        ("source revision", manifest.get("source_revision")),
        ("quantization", manifest.get("quantization")),
        ("items", f"{len(bundle.items)} ({bundle.item_field})"),
        ("context", f"the last {bundle.max_context_length} activities"),
        ("answers", f"{bundle.num_predictions} items, seen={bundle.seen}"),
    ]
    _table(None, [(name, str(value)) for name, value in facts if value is not None])
    click.echo()
    _table(
        ("input", "type", "shape", "made from"),
        [(i.name, i.dtype, f"[1, {i.length}]", _made_from(i)) for i in bundle.inputs],
    )
    click.echo()
    _table(
        ("output", "type", "shape"),
        [(o.name, o.dtype, f"[{o.length}]") for o in bundle.outputs],
    )
    click.echo()
    _print_gates(manifest)
    total = sum(entry.size for entry in bundle.files.values())
    files = [
        (name, f"{entry.size:,}", f"{entry.sha256[:12]}…  ok")
        for name, entry in bundle.files.items()
    ]
    _table(
        ("file", "bytes", "SHA-256"),
        [*files, ("total", f"{total:,}", "")],
        right=(1,),
    )


# A metric that nothing binds has no verdict.
_VERDICTS = {True: "passed", False: "failed", None: "-"}


def _print_gates(manifest: Any) -> None:
    verdicts = [
        (gate, result)
        for gate, results in manifest.get("gates", {}).items()
        for result in results
    ]
    if not verdicts:
        click.echo("No gate has judged this bundle yet.\n")
        return
    _table(
        ("gate", "metric", "value", "bounds", "baseline", "verdict"),
        [
            (
                gate,
                f"{result.get('metric')} {result.get('slice', '')}".rstrip(),
                _number(result.get("value")),
                _bounds(result),
                _number(result.get("baseline")),
                _VERDICTS[result.get("blessed")],
            )
            for gate, result in verdicts
        ],
        right=(2, 4),
    )
    click.echo(f"Protocol: {manifest.get('protocol', 'not told')}\n")


def _bounds(result: dict[str, Any]) -> str:
    texts = (
        ("at least", result.get("lower_bound")),
        ("at most", result.get("upper_bound")),
        ("worse by at most", result.get("max_regression")),
    )
    told = [f"{text} {_number(value)}" for text, value in texts if value is not None]
    return ", ".join(told) or "-"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"


def _made_from(spec: InputSpec) -> str:
    text = {
        "item_id": "item ids of the history",
        "item": f"{spec.field} in the catalogue",
        "value": "ratings of the history",
        "timestamp": "times of the history",
        "activity": f"--activity {spec.field}=…",
        "weekday": f"weekday of the timestamps ({spec.timezone})",
        "hour": f"hour of the timestamps ({spec.timezone})",
        "gap": "seconds between the timestamps",
        "user": f"--user {spec.field}=…",
        "seen": "items to leave out",
    }[spec.source]
    if spec.values_per_step:
        return f"{text}, {spec.values_per_step} of each item"
    return f"{text}, several" if spec.multi_valued else text


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _optional(text: str | None, option: str, kind: type) -> list[Any] | None:
    if text is None:
        return None
    values = []
    for part in text.split(","):
        try:
            values.append(kind(part) if part.strip() else None)
        except ValueError:
            raise click.BadParameter(
                f"{part!r} is no number", param_hint=option
            ) from None
    return values


def _activities(pairs: Iterable[str]) -> dict[str, list[str | None]]:
    """Values by field, one for each item; None where one is not known."""
    values: dict[str, list[str | None]] = {}
    for pair in pairs:
        field, equals, text = pair.partition("=")
        if not field or not equals:
            raise click.BadParameter(
                f"{pair!r}. Expected FIELD=V,V,..., e.g. device=phone,tv",
                param_hint="--activity",
            )
        if field in values:
            raise click.BadParameter(
                f"{field} is given twice. Expected it once, with one value for each "
                "item",
                param_hint="--activity",
            )
        values[field] = [part.strip() or None for part in text.split(",")]
    return values


def _user(pairs: Iterable[str]) -> dict[str, Any]:
    """Features by field; a field that is given several times has several values."""
    values: dict[str, list[str]] = {}
    for pair in pairs:
        field, equals, value = pair.partition("=")
        if not field or not equals:
            raise click.BadParameter(
                f"{pair!r}. Expected FIELD=VALUE, e.g. age=31", param_hint="--user"
            )
        values.setdefault(field, []).append(value)
    return {
        field: several if len(several) > 1 else several[0] or None
        for field, several in values.items()
    }


def _table(
    header: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
) -> None:
    lines = [*([header] if header else []), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
