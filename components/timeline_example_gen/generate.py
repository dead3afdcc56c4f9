"""From a folder of logs to a folder of examples, with Beam; needs no TFX."""

from __future__ import annotations

import json
import logging
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from components.timeline_example_gen import checks, shards, splits, storage
from components.timeline_example_gen import report as reports
from components.timeline_example_gen.columns import Plan, plan_columns
from components.timeline_example_gen.example_encoder import encode_examples
from components.timeline_example_gen.examples import catalogue_columns
from components.timeline_example_gen.lookups import Lookup, make_lookup
from components.timeline_example_gen.sources import OpenedSource, open_source
from components.timeline_example_gen.sources.source import (
    ActivityTypes,
    Field,
    Role,
    RowCount,
    Source,
)
from components.timeline_example_gen.tfrecord import TFRecordWriter, file_name
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

REPORT_FILE = "ingestion_report.json"

# The image that docs/runners.md builds. Without any, each of TFX's executors packs the
# whole of TFX anew for the workers, which have it, and leaves the 49 MB in /tmp.
WORKER_IMAGE = "--sdk_container_image=pocketrec"

# By its full name: the DirectRunner of Beam 2.77 first tries Prism, which it downloads.
DEFAULT_BEAM_ARGS = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=in_memory",
    WORKER_IMAGE,
)

BELOW_MIN_RATING = "activities_below_min_rating"
OF_OTHER_TYPES = "activities_of_other_types"

# About 250,000 activities, each some 24 characters.
_BYTES_PER_SHARD = 6_000_000
# Text is about so many times as large as compressed.
_COMPRESSION = 4
# Where some activities of a shard stand: a file, the first byte and how many.
Part = tuple[str, int, int]
_NO_PART: Part = ("", 0, 0)
# Examples of the catalogue that are encoded at once.
_CATALOGUE_BATCH = 20_000

_logger = logging.getLogger(__name__)


def generate_examples(
    config: pb.RecommenderConfig,
    data_folder: str,
    output_dir: str,
    *,
    beam_pipeline_args: Sequence[str] | None = None,
    make_beam_pipeline: Callable[[], beam.Pipeline] | None = None,
) -> dict[str, Any]:
    """Writes the examples of all splits, and the report beside them.

    The same bytes come out whatever the order of rows, the Beam runner and its workers;
    the number of shards only tells into how many files they are cut. Nothing in
    `output_dir` changes before all has been read, checked and written.

    Args:
      config: the configuration; `data` and the features of `input` are used.
      data_folder: where the logs are.
      output_dir: gets ``Split-<name>/data_tfrecord-<i>-of-<n>.gz``, in place of older
        ones, and ``ingestion_report.json``.
      beam_pipeline_args: options for Beam; by default its in-memory runner.
      make_beam_pipeline: gives the Beam pipeline to run, instead of
        `beam_pipeline_args`.

    Returns:
      The report, see `report.make_report`.

    Raises:
      UserError: if the data cannot be used, or not with this configuration.
      ValueError: if both ways to choose the Beam pipeline are given.
    """
    if make_beam_pipeline is None:
        args = DEFAULT_BEAM_ARGS if beam_pipeline_args is None else beam_pipeline_args
        options = PipelineOptions(list(args))
        # Files are looked at before there is a pipeline.
        FileSystems.set_options(options)

        def make_beam_pipeline() -> beam.Pipeline:
            return beam.Pipeline(options=options)

    elif beam_pipeline_args is not None:
        raise ValueError("give beam_pipeline_args or make_beam_pipeline, not both")
    opened = open_source(config, data_folder)
    work = storage.join(output_dir, f".work-{uuid.uuid4().hex}")
    try:
        report = _generate(config, opened, data_folder, work, make_beam_pipeline)
        for name in splits.SPLITS:
            split = f"Split-{name}"
            storage.move_folder(
                storage.join(work, split), storage.join(output_dir, split)
            )
    finally:
        storage.remove_tree(work)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    storage.write_bytes(storage.join(output_dir, REPORT_FILE), text.encode())
    return report


def _generate(
    config: pb.RecommenderConfig,
    opened: OpenedSource,
    data_folder: str,
    work: str,
    make_beam_pipeline: Callable[[], beam.Pipeline],
) -> dict[str, Any]:
    data, source = config.data, opened.source
    checks.check_min_rating(config, source)
    plan = plan_columns(config, source)
    files: dict[str, RowCount] = {}
    lookups = {}
    for what, table, role, key_type in (
        ("item", source.read_items(), Role.ITEM, plan.item_type),
        ("user", source.read_users(), Role.USER, pb.STRING),
    ):
        wanted = [(field, plan.type_of(field)) for field in plan.fields(role)]
        lookups[what] = make_lookup(table, wanted, key_type, what)
        if table is not None:
            files[table.file] = table.count
            checks.check_table(
                table.file, table.count, lookups[what], data.max_rejected_fraction
            )
    task = shards.make_task(
        config,
        plan,
        items=lookups["item"],
        users=lookups["user"],
        num_shards=data.num_shards or _num_shards(source),
    )
    checks.check_tables(config, plan, task.items, task.users)
    if data.split in (pb.RANDOM, pb.USER_HASH):
        _logger.warning(
            "data.split %s leaks the future: train holds activities that are later "
            "than those of eval and test",
            pb.Split.Name(data.split),
        )
    reader = _ReadFile(
        source=source,
        types=activity_types(config, plan, source),
        min_rating=data.min_rating if data.HasField("min_rating") else None,
        num_shards=task.num_shards,
        work=work,
    )
    # Told here, mistakes in a header are told before anything is run.
    for path in source.activity_files:
        reader.open(path)
    storage.write_bytes(_task_path(work), pickle.dumps(task))
    with make_beam_pipeline() as pipeline:
        _build(pipeline, config, source, reader, task.num_shards, work)

    filtered = {BELOW_MIN_RATING: 0, OF_OTHER_TYPES: 0}
    logs: dict[str, RowCount] = {}
    for index, path in enumerate(source.activity_files):
        outcome = pickle.loads(storage.read_bytes(_file_path(work, index)))
        if isinstance(outcome, UserError):
            raise outcome
        logs[path], dropped = outcome
        for name, number in dropped.items():
            filtered[name] += number
        checks.check_rejected(path, logs[path], data.max_rejected_fraction)
    read = sum(count.rows - count.rejected_rows for count in logs.values())
    checks.check_activities(config, logs, read, filtered)
    outcomes = [
        pickle.loads(storage.read_bytes(_shard_path(work, number)))
        for number in range(task.num_shards)
    ]
    shard_reports = [report for report, _ in outcomes]
    examples = {
        name: count.examples
        for name, count in reports.split_counts(shard_reports).items()
    }
    checks.check_times(config, max(r.last_timestamp for r in shard_reports))
    checks.check_examples(config, sum(r.users for r in shard_reports), examples)
    merged = reports.merge_items(shard_reports)
    catalogue = task.items if source.has_item_table else _items_of_log(merged)
    _write_catalogue(task, catalogue, work)
    return reports.make_report(
        config,
        source,
        plan,
        files={
            storage.name_below(data_folder, path): count
            for path, count in (logs | files).items()
        },
        filtered=filtered,
        window=opened.window,
        shards=shard_reports,
        items=merged,
        catalogue=catalogue,
        cuts=outcomes[0][1],
    )


def activity_types(
    config: pb.RecommenderConfig, plan: Plan, source: Source
) -> ActivityTypes:
    """How the columns of activities are read."""
    return ActivityTypes(
        item=plan.item_type,
        whole_values=any(plan.type_of(f) == pb.INT for f in plan.fields(Role.VALUE)),
        fields={f.name: plan.type_of(f) for f in source.fields if _is_read(f)},
        activity_types=tuple(config.data.activity_types),
    )


def _is_read(field: Field) -> bool:
    """Whether a field stands in the logs, beside item and value."""
    return field.role == Role.ACTIVITY and field.derivation is None


def _num_shards(source: Source) -> int:
    total = sum(_text_size(path) for path in source.activity_files)
    return max(1, round(total / _BYTES_PER_SHARD))


def _text_size(path: str) -> int:
    """About how large a log would be as plain text."""
    compressed = path.endswith((".gz", ".parquet"))
    return storage.size(path) * (_COMPRESSION if compressed else 1)


def _build(
    pipeline: beam.Pipeline,
    config: pb.RecommenderConfig,
    source: Source,
    reader: _ReadFile,
    num_shards: int,
    work: str,
) -> None:
    """Read, send each activity to the shard of its user, write shard by shard."""
    batches = (
        pipeline
        | "Files" >> beam.Create(list(enumerate(source.activity_files)))
        | "Read" >> beam.ParDo(reader)
    )
    # Every shard writes its files, also one that no user falls in.
    empty = pipeline | "Shards" >> beam.Create(
        [(n, _NO_PART) for n in range(num_shards)]
    )
    _ = (
        (batches, empty)
        | "Flatten" >> beam.Flatten()
        | "ByShard" >> beam.GroupByKey()
        | "Write" >> beam.ParDo(_WriteShard(work), _cuts(batches, config))
    )


def _cuts(batches: beam.PCollection, config: pb.RecommenderConfig) -> Any:
    """The cuts of TEMPORAL, as a value or as a side input."""
    data = config.data
    if data.split != pb.TEMPORAL:
        return None
    if data.HasField("train_end"):
        return splits.Cuts(
            features.cut(data, "train_end"), features.cut(data, "eval_end")
        )
    fraction = data.train_data_fraction
    coarse = beam.pvalue.AsSingleton(
        batches
        | "Coarse" >> beam.Map(lambda batch: splits.coarse_histogram(_times(batch)))
        | "AddCoarse" >> beam.CombineGlobally(_add_histograms)
    )
    fine = beam.pvalue.AsSingleton(
        batches
        | "Fine"
        >> beam.Map(
            lambda batch, c: splits.fine_histogram(_times(batch), c, fraction), coarse
        )
        | "AddFine" >> beam.CombineGlobally(_add_histograms)
    )
    cuts = (
        batches.pipeline
        | "Once" >> beam.Create([fraction])
        | "Cuts"
        >> beam.Map(lambda share, c, f: splits.find_cuts(c, f, share), coarse, fine)
    )
    return beam.pvalue.AsSingleton(cuts)


def _times(batch: tuple[int, Part]) -> Any:
    return shards.timestamps(storage.read_part(*batch[1]))


def _add_histograms(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for histogram in histograms:
        for key, count in histogram.items():
            total[key] = total.get(key, 0) + count
    return total


@beam.typehints.with_output_types(tuple[int, Part])
class _ReadFile(beam.DoFn):
    """Reads a log; leaves behind its rows' count, or what is wrong with it.

    The activities themselves go from here to the shards in files: Beam's in-memory
    runner would hold several copies of all of them at once.
    """

    def __init__(
        self,
        source: Source,
        types: ActivityTypes,
        min_rating: float | None,
        num_shards: int,
        work: str,
    ) -> None:
        self._source = source
        self._types = types
        self._min_rating = min_rating
        self._num_shards = num_shards
        self._work = work

    def open(self, path: str) -> Iterator[Any]:
        """The blocks of a log; its header is read at once."""
        return self._source.read_activities(path, self._types)

    def process(self, element: tuple[int, str]) -> Iterator[tuple[int, Part]]:
        index, path = element
        count, left_out = RowCount(), {BELOW_MIN_RATING: 0, OF_OTHER_TYPES: 0}
        outcome: Any
        try:
            for place, block in enumerate(self.open(path)):
                count.add(block.count)
                activities = self._rated(block.activities)
                below = block.activities.num_rows - activities.num_rows
                left_out[BELOW_MIN_RATING] += below
                left_out[OF_OTHER_TYPES] += block.of_other_types
                yield from self._spill(f"{index:05d}-{place:05d}", activities)
            outcome = (count, left_out)
        except UserError as error:
            # Beam would wrap it; the one who has started the pipeline raises it.
            outcome = error
        storage.write_bytes(_file_path(self._work, index), pickle.dumps(outcome))

    def _rated(self, activities: pa.RecordBatch) -> pa.RecordBatch:
        if self._min_rating is None:
            return activities
        return activities.filter(
            pc.greater_equal(activities["value"], self._min_rating)
        )

    def _spill(
        self, name: str, activities: pa.RecordBatch
    ) -> Iterator[tuple[int, Part]]:
        """Writes activities to a file, those of a shard next to each other."""
        streams = list(shards.partition(activities, self._num_shards))
        path = storage.join(self._work, "activities", name)
        storage.write_bytes(path, b"".join(stream for _, stream in streams))
        begin = 0
        for shard, stream in streams:
            yield shard, (path, begin, len(stream))
            begin += len(stream)


class _WriteShard(beam.DoFn):
    """Writes a shard's files; leaves behind its report."""

    def __init__(self, work: str) -> None:
        self._work = work

    def setup(self) -> None:
        self._task = pickle.loads(storage.read_bytes(_task_path(self._work)))

    def process(
        self, element: tuple[int, Iterable[Part]], cuts: splits.Cuts | None
    ) -> Iterator[int]:
        number, parts = element
        streams = (storage.read_part(*part) for part in parts if part != _NO_PART)
        report = shards.write_shard(self._task, number, streams, cuts, self._work)
        content = pickle.dumps((report, cuts))
        storage.write_bytes(_shard_path(self._work, number), content)
        yield number


def _task_path(work: str) -> str:
    return storage.join(work, "task.pickle")


def _file_path(work: str, index: int) -> str:
    return storage.join(work, "files", f"{index:05d}.pickle")


def _shard_path(work: str, number: int) -> str:
    return storage.join(work, "shards", f"{number:05d}.pickle")


def _items_of_log(items: pa.Table) -> Lookup:
    keys = items["item"].combine_chunks()
    if isinstance(keys, pa.ChunkedArray):
        keys = keys.chunk(0)
    return Lookup(keys=keys.take(pc.array_sort_indices(keys)), fields={}, titles=None)


def _write_catalogue(task: shards.ShardTask, catalogue: Lookup, work: str) -> None:
    folder = storage.join(work, f"Split-{splits.CATALOGUE_SPLIT}")
    with TFRecordWriter(storage.join(folder, file_name(0, 1))) as writer:
        for start in range(0, len(catalogue.keys), _CATALOGUE_BATCH):
            rows = slice(start, start + _CATALOGUE_BATCH)
            writer.write(encode_examples(catalogue_columns(task.plan, catalogue, rows)))
