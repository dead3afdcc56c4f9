"""`pocketrec recommend` and `pocketrec inspect-bundle`, on the tiny bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import pipeline
import pocketrec_device
from pipeline.device_commands import inspect_bundle, recommend


def ask(bundle: Path, *arguments: str) -> Result:
    return CliRunner().invoke(recommend, ["--bundle", str(bundle), *arguments])


def inspect(*arguments: str) -> Result:
    return CliRunner().invoke(inspect_bundle, list(arguments))


AGE = ("--user", "age=30")


def test_the_table_lists_the_best_items_first(bundle):
    result = ask(bundle, "--history", "50", "--ratings", "4.5", *AGE, "--top", "3")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "   id      score  title",
        "1  9    101.5000  Été (1995)",
        "2  7     91.5000  Twelve Monkeys (1995)",
        "3  181   81.5000  Return of the Jedi (1983)",
    ]


def test_json_is_all_that_is_printed(bundle):
    result = ask(bundle, "--history", "50,4711", *AGE, "--top", "1", "--json")
    assert json.loads(result.output) == {
        "bundle": str(bundle),
        "name": "tiny",
        "version": 3,
        "unknown_items": ["4711"],
        "recommendations": [
            {"id": "9", "title": "Été (1995)", "score": 98.0, "index": 6}
        ],
    }


def test_unknown_items_are_told(bundle):
    result = ask(bundle, "--history", "50, 4711,99", *AGE, "--top", "1")
    assert result.exit_code == 0
    assert "Not in the catalogue, taken as out of vocabulary: 4711, 99" in result.output


def test_ratings_may_be_left_out(bundle):
    arguments = ("--history", "50,172", "--top", "1", "--json")
    answers = [
        json.loads(ask(bundle, *arguments, *AGE, *ratings).output)
        for ratings in (("--ratings", ",5"), ("--ratings", "0,5"))
    ]
    assert answers[0] == answers[1]


def test_an_empty_user_value_is_unknown(bundle):
    arguments = ("--history", "50", "--top", "1", "--json")
    unknown = ask(bundle, *arguments, "--user", "age=")
    zero = ask(bundle, *arguments, "--user", "age=0")
    assert unknown.exit_code == 0
    assert unknown.output == zero.output


def test_seen_replaces_the_history(bundle):
    arguments = ("--history", "50", "--seen", "9,7", *AGE, "--top", "4", "--json")
    answer = json.loads(ask(bundle, *arguments).output)
    assert [r["id"] for r in answer["recommendations"]] == ["181", "172", "50"]


def test_nothing_left_to_recommend_is_said(bundle):
    result = ask(
        bundle, "--history", "50", "--seen", "50,172,181,7,9", *AGE, "--top", "4"
    )
    assert result.exit_code == 0
    assert result.output.startswith("Nothing to recommend")


@pytest.fixture
def activity_bundle(write_bundle, manifest, tiny_model):
    """The floor stands in the place of the items' ids, the hour in the ratings'."""
    floor, hour = manifest["signature"]["inputs"][:2]
    floor.update(source="activity", field="floor")
    hour.update(source="hour", timezone="Europe/Berlin")
    return write_bundle(tiny_model)


NOON = ("--timestamps", "1700046000,1700046000")  # 12:00 in Berlin


def test_activities_and_times_reach_the_model(activity_bundle):
    arguments = ("--history", "9,4711", *AGE, "--top", "1", "--json")
    best = [
        json.loads(ask(activity_bundle, *arguments, *others).output)["recommendations"]
        for others in (
            ("--activity", "floor=172, 7", *NOON),
            ("--activity", "floor=172,", "--activity", "place=x", *NOON),
            ("--activity", "floor=172,", "--timestamps", "1700046000,"),
        )
    ]
    # 50 for the row of item 7, 30 for the age; the floors 3 and 5, or 3 and 1.
    assert [(b["id"], b["score"]) for [b] in best] == [
        ("7", 80.0 + 8 + 24),
        ("7", 80.0 + 4 + 24),
        ("7", 80.0 + 4 + 12),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (NOON, "Error: activities: floor is missing, which the model looks at."),
        (
            ("--activity", "floor=172", *NOON),
            "Error: 1 values of floor for 2 items. Expected one for each",
        ),
        (
            ("--activity", "floor=172,x", *NOON),
            "Error: context_movie_id: 'x' is not allowed. Expected a whole number",
        ),
        (
            ("--activity", "floor=172,7"),
            "Error: timestamps: are missing, of which the model takes the hour.",
        ),
    ],
)
def test_activities_that_do_not_fit_end_in_one_line(
    activity_bundle, arguments, message
):
    result = ask(activity_bundle, "--history", "9,50", *AGE, "--top", "1", *arguments)
    assert result.exit_code == 1
    assert result.output.startswith(message)
    assert result.output.count("\n") == 1


def test_inspect_tells_of_activities(activity_bundle):
    lines = [
        " ".join(x.split()) for x in inspect(str(activity_bundle)).output.split("\n")
    ]
    assert "context_movie_id int32 [1, 3] --activity floor=…" in lines
    assert (
        "context_movie_rating float32 [1, 3] hour of the timestamps (Europe/Berlin)"
        in lines
    )


def test_inspect_tells_of_weekdays(write_bundle, manifest, tiny_model):
    manifest["signature"]["inputs"][1].update(source="weekday")
    result = inspect(str(write_bundle(tiny_model)))
    assert "[1, 3]  weekday of the timestamps (UTC)" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--history", "50", "--top", "4"), "Error: user: age is missing"),
        (("--history", "x", *AGE, "--top", "4"), "Error: an item id: 'x' is not"),
        (("--history", "50", *AGE), "Error: top_k: 10 is not allowed. Expected 1 to 4"),
        (
            ("--history", "50", "--ratings", "1,2", *AGE, "--top", "4"),
            "Error: 2 ratings for 1 items",
        ),
    ],
)
def test_a_request_that_does_not_fit_ends_in_one_line(bundle, arguments, message):
    result = ask(bundle, *arguments)
    assert result.exit_code == 1
    assert result.output.startswith(message)
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--history", "50", "--ratings", "good"), "--ratings: 'good' is no number"),
        (("--history", "50", "--timestamps", "1.5"), "--timestamps: '1.5' is no"),
        (("--history", "50", "--user", "age"), "--user: 'age'. Expected FIELD=VALUE"),
        (
            ("--history", "50", "--activity", "device"),
            "--activity: 'device'. Expected FIELD=V,V,..., e.g. device=phone,tv",
        ),
        (("--history", "50", "--activity", "=tv"), "--activity: '=tv'. Expected FIELD"),
        (
            ("--history", "50", "--activity", "place=a", "--activity", "place=b"),
            "--activity: place is given twice. Expected it once",
        ),
        (("--history", "50", "--top", "0"), "0 is not in the range"),
        ((), "Missing option '--history'"),
    ],
)
def test_a_malformed_option_is_a_usage_error(bundle, arguments, message):
    result = ask(bundle, *arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("command", ["recommend", "inspect"])
def test_a_broken_bundle_ends_in_one_line(write_bundle, command):
    folder = write_bundle()
    (folder / "items.jsonl").write_text("{}\n")
    if command == "recommend":
        result = ask(folder, "--history", "50")
    else:
        result = inspect(str(folder))
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {folder / 'items.jsonl'}: has 3 bytes.")
    assert result.output.count("\n") == 1


def test_inspect_tells_what_is_in_a_bundle(bundle):
    result = inspect(str(bundle))
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "version 3" in lines
    assert "items 5 (movie_id)" in lines
    assert "answers 4 items, seen=TIMELINE" in lines
    assert (
        "context_movie_genre int32 [1, 4] movie_genre in the catalogue, several"
        in lines
    )
    assert "user_age float32 [1, 1] --user age=…" in lines
    assert "top_prediction_scores float32 [4]" in lines
    assert (
        "saved_model hr_10_test 0.21 at least 0.01, worse by at most 0.02 0.2 passed"
        in lines
    )
    assert "Protocol: leave-one-out by time, full ranking, seen=timeline" in lines
    files = [line for line in lines if line.endswith("… ok")]
    assert [line.split()[0] for line in files] == [
        "items.jsonl",
        "model.tflite",
        "vocabularies/movie_genre.txt",
        "vocabularies/movie_id.txt",
    ]
    total = sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file())
    total -= sum(p.stat().st_size for p in bundle.glob("manifest.*"))
    assert f"total {total:,}" in lines


def test_inspect_a_bundle_that_no_gate_has_judged(write_bundle, manifest, tiny_model):
    for key in ("gates", "version", "protocol"):
        del manifest[key]
    result = inspect(str(write_bundle(tiny_model)))
    assert result.exit_code == 0
    assert "not pushed yet" in result.output
    assert "No gate has judged this bundle yet." in result.output


@pytest.mark.parametrize(
    ("blessed", "verdict"), [(True, "passed"), (False, "failed"), (None, "-")]
)
def test_inspect_tells_each_verdict(
    write_bundle, manifest, tiny_model, blessed, verdict
):
    # A metric that no bound binds is reported without a verdict.
    entry = {"metric": "mrr_test", "value": 0.25, "blessed": blessed}
    manifest["gates"] = {"tflite": [entry]}
    result = inspect(str(write_bundle(tiny_model)))
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["tflite", "mrr_test", "0.25", "-", "-", verdict] in lines


def test_inspect_prints_the_manifest_as_json(bundle):
    result = inspect(str(bundle), "--json")
    assert json.loads(result.output) == json.loads(
        (bundle / "manifest.json").read_text()
    )


def test_inspect_checks_the_models_signature(write_bundle, manifest, tiny_model):
    manifest["signature"]["inputs"][0]["length"] = 4
    result = inspect(str(write_bundle(tiny_model)))
    assert result.exit_code == 1
    assert "model.tflite: inputs are" in result.output


@pytest.mark.parametrize("command", [recommend, inspect_bundle])
def test_help_teaches_with_examples(command):
    result = CliRunner().invoke(
        command, ["--help"], prog_name=f"pocketrec {command.name}"
    )
    assert result.exit_code == 0
    assert f"\n    pocketrec {command.name} " in result.output


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    roots = [Path(m.__file__).parents[1] for m in (pipeline, pocketrec_device)]
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_import_neither_numpy_nor_tensorflow():
    finished = run_python(
        "import sys, pipeline.device_commands\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    modules = set(finished.stdout.split())
    assert "click" in modules
    assert not modules & {"numpy", "tensorflow", "tfx", "ai_edge_litert"}


def test_a_recommendation_imports_no_tensorflow_and_prints_nothing_else(bundle):
    finished = run_python(
        "import sys\n"
        "from pipeline.device_commands import recommend\n"
        "recommend(standalone_mode=False)\n"
        "modules = {m.split('.')[0] for m in sys.modules}\n"
        "print(*sorted(modules & {'tensorflow', 'tfx', 'apache_beam'}), 'end')",
        *("--bundle", str(bundle), "--history", "50", *AGE, "--top", "1"),
    )
    assert finished.stderr == ""
    assert finished.stdout.splitlines() == [
        "   id    score  title",
        "1  9   97.0000  Été (1995)",
        "end",
    ]
