"""What the documentation shows is true: configurations, data, commands and links."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
from google.protobuf import text_format

from configs import recommender_pb2 as pb
from configs.loader import load_config, parse_config, validate_config
from pipeline.cli import main
from tests.checkout import ROOT, tracked_files

PAGES = sorted(path for path in tracked_files() if path.suffix == ".md")
_FENCE = re.compile(r"^```(\w*) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = ("pocketrec", "make", "python -m benchmarks", "python -m data")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands after it, its lines."""

    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page, *parts) for parts in found]


ALL = [block for page in PAGES for block in blocks(page)]
CONFIGURATIONS = [block for block in ALL if block.language == "proto"]


def name_of(block: Block) -> str:
    number = CONFIGURATIONS.index(block)
    return f"{block.page.relative_to(ROOT)}-{number}"


def test_there_is_something_to_check() -> None:
    assert len(PAGES) >= 6
    assert len(CONFIGURATIONS) >= 10
    assert len(list(commands())) >= 20


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=name_of)
def test_configurations_load(block: Block) -> None:
    """A section is put into the smallest configuration that there is."""
    config = parse_config(block.text)
    if not config.input.HasField("label_feature"):
        page = ROOT / "docs" / "configuration.md"
        merged = parse_config(
            next(b.text for b in CONFIGURATIONS if b.page == page and "name:" in b.text)
        )
        merged.MergeFrom(config)
        config = merged
    validate_config(config)


def commands() -> Iterator[tuple[Path, str]]:
    """Every command that a page names, in a block of shell lines or within a text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        inline = re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
        shell = []
        for block in blocks(page):
            if block.language == "sh":
                shell += block.text.replace("\\\n", " ").splitlines()
            elif block.language == "text":
                shell += [
                    line.removeprefix("$ ")
                    for line in block.text.splitlines()
                    if line.startswith("$ ")
                ]
        for command in [*inline, *shell]:
            if command.startswith(tuple(f"{name} " for name in _COMMANDS)) or (
                command.startswith(tuple(f"{name}." for name in _COMMANDS))
            ):
                yield page.relative_to(ROOT), command


def click_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The click command that some words call, and the words that are left."""
    if words[0] == "pocketrec":
        command: click.Command = main
        rest = words[1:]
        while isinstance(command, click.Group) and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command = command.commands[rest.pop(0)]
            if not rest:
                break
        return command, rest
    module = importlib.import_module(words[2])
    [command] = {
        value for value in vars(module).values() if isinstance(value, click.Command)
    }
    return command, words[3:]


@pytest.mark.parametrize(("page", "text"), list(commands()))
def test_commands_exist_with_these_options(page: Path, text: str) -> None:
    words = shlex.split(text, comments=True)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
        wanted = {word for word in words[1:] if "=" not in word and word != "TARGET"}
        assert wanted <= targets, page
        return
    command, rest = click_command(words)
    options = {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
    named = {word.split("=")[0] for word in rest if word.startswith("-")}
    assert named <= options, page
    for before, path in pairwise(rest):
        if before == "--config" and path.startswith("configs/"):
            overrides = [b for a, b in pairwise(rest) if a == "--set"]
            load_config(ROOT / path, overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found == ROOT or ROOT in found.parents, target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            slugs = {
                re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings
            }
            assert anchor in slugs, target


def test_no_placeholder_is_left() -> None:
    for page in PAGES:
        assert not re.findall(r"@@\w+@@", page.read_text(encoding="utf-8")), page


def test_the_walk_through_of_own_data(tmp_path: Path) -> None:
    """The files of docs/data.md give the examples that it shows."""
    import tensorflow as tf

    from components.timeline_example_gen.generate import generate_examples
    from components.timeline_example_gen.report_text import report_lines

    page = ROOT / "docs" / "data.md"
    (tmp_path / "plays").mkdir()
    files = [b for b in ALL if b.page == page and b.language == "csv"]
    for block in files:
        (tmp_path / "plays" / block.title).write_text(block.text, encoding="utf-8")
    config = parse_config(next(b.text for b in CONFIGURATIONS if b.page == page))
    report = generate_examples(
        config, str(tmp_path / "plays"), str(tmp_path / "examples")
    )
    shown = next(b.text for b in ALL if b.page == page and b.language == "text")
    assert shown.splitlines() == [*report_lines(report), "Written: examples"]
    [file] = (tmp_path / "examples" / "Split-test").iterdir()
    rows = {}
    for record in tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator():
        columns = tf.train.Example.FromString(record).features.feature
        rows[columns["user_id"].bytes_list.value[0]] = columns
    table = re.findall(r"^\| `([a-z]+_\w+)` \| (.+) \|$", page.read_text("utf-8"), re.M)
    assert len(table) == 7
    for name, text in table:
        feature = rows[b"ana"][name]
        values = getattr(feature, feature.WhichOneof("kind")).value
        real = [v.decode() if isinstance(v, bytes) else f"{v:g}" for v in values if v]
        assert ", ".join(real) == text, name


def test_the_example_of_the_original_format_is_bare() -> None:
    """It parses as an InputConfig: nothing of ours is in it."""
    bare = [b.text for b in CONFIGURATIONS if b.text.startswith("activity_feature")]
    assert len(bare) == 1
    text_format.Parse(bare[0], pb.InputConfig())
