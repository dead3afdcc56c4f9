"""A shard, all activities of some users: from batches of rows to files of examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.timeline_example_gen import hashing, splits, storage, timelines
from components.timeline_example_gen.columns import Plan
from components.timeline_example_gen.example_encoder import encode_examples
from components.timeline_example_gen.examples import Activities, ExampleColumns
from components.timeline_example_gen.lookups import Lookup
from components.timeline_example_gen.sources.source import FIELD_COLUMN, Role
from components.timeline_example_gen.tfrecord import TFRecordWriter, file_name
from configs import recommender_pb2 as pb

Ints = npt.NDArray[np.int64]

# Values in a batch of examples that is encoded at once; about ten megabytes.
_VALUES_PER_BATCH = 1_000_000
_KINDS: dict[int, pa.DataType] = {
    pb.INT: pa.int64(),
    pb.FLOAT: pa.float64(),
    pb.STRING: pa.large_binary(),
}
# Keys of `ShardReport.left_out`.
LEFT_OUT = (
    "repeated_activities",
    "short_timelines",
    "activities_of_short_timelines",
    "long_timelines",
    "activities_of_long_timelines",
    "train_windows",
)
_LATEST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class ShardTask:
    """What every shard needs to know.

    Attributes:
      plan: the examples' columns.
      items: the item table.
      users: the user table.
      min_timeline_length: users with fewer activities are left out.
      max_timeline_length: users with more are left out; 0: no limit.
      repeated: ``pb.RepeatedActivities``.
      window_stride: every so many-th train example is kept.
      max_windows: train examples of one user; 0: no limit.
      split: ``pb.Split``.
      train_fraction: of RANDOM and USER_HASH.
      seed: of the order within a moment, of RANDOM and USER_HASH.
      num_shards: how many files each split has.
    """

    plan: Plan
    items: Lookup
    users: Lookup
    min_timeline_length: int
    max_timeline_length: int
    repeated: int
    window_stride: int
    max_windows: int
    split: int
    train_fraction: float
    seed: int
    num_shards: int


def make_task(
    config: pb.RecommenderConfig,
    plan: Plan,
    items: Lookup,
    users: Lookup,
    num_shards: int,
) -> ShardTask:
    """What every shard needs to know, by the configuration."""
    data = config.data
    return ShardTask(
        plan=plan,
        items=items,
        users=users,
        min_timeline_length=data.min_timeline_length,
        max_timeline_length=data.max_timeline_length,
        repeated=data.repeated_activities,
        window_stride=data.window_stride,
        max_windows=data.max_windows_per_user,
        split=data.split,
        train_fraction=data.train_data_fraction,
        seed=data.seed,
        num_shards=num_shards,
    )


@dataclass(frozen=True)
class SplitCount:
    """Examples of a split; the timestamps, those of the labels, are 0 without any."""

    examples: int = 0
    users: int = 0
    first_timestamp: int = 0
    last_timestamp: int = 0

    def __add__(self, other: SplitCount) -> SplitCount:
        """Counts of two sets of users."""
        if not self.examples or not other.examples:
            return self if self.examples else other
        return SplitCount(
            self.examples + other.examples,
            self.users + other.users,
            min(self.first_timestamp, other.first_timestamp),
            max(self.last_timestamp, other.last_timestamp),
        )


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard's activities.

    Attributes:
      users, activities: that are in timelines.
      left_out: how many by which rule, see `LEFT_OUT`.
      users_trained_later: with a train label later than one of eval or test.
      users_without_row: users in timelines that the user table does not know.
      first_timestamp, last_timestamp: of the activities in timelines.
      splits: by split.
      items: one row per item in timelines: ``item``, ``in_train`` (whether a train
        example holds it, in context or as label), ``train``, ``eval`` and ``test`` (how
        often it is a label there).
    """

    users: int
    activities: int
    left_out: dict[str, int]
    users_trained_later: int
    users_without_row: int
    first_timestamp: int
    last_timestamp: int
    splits: dict[str, SplitCount]
    items: pa.Table


def partition(
    activities: pa.RecordBatch, num_shards: int
) -> Iterator[tuple[int, bytes]]:
    """Sends each activity to the shard of its user.

    Args:
      activities: see `source.ActivityBlock`.
      num_shards: how many shards there are.

    Yields:
      Shards' numbers and their activities, in Arrow's stream format.
    """
    users = activities["user"].dictionary_encode()
    hashes = hash_terms(as_text(users.dictionary))
    shard = hashing.piece(hashes, num_shards)[users.indices.to_numpy()]
    order = np.argsort(shard, kind="stable")
    ends = np.cumsum(np.bincount(shard, minlength=num_shards))
    table = activities.take(pa.array(order)) if num_shards > 1 else activities
    start = 0
    for number, end in enumerate(ends.tolist()):
        if end > start:
            yield number, _to_bytes(table.slice(start, end - start))
        start = end


def timestamps(stream: bytes) -> Ints:
    """The seconds of activities in Arrow's stream format."""
    return _seconds(_from_bytes(stream)["timestamp"].to_numpy())


def _seconds(milliseconds: Ints) -> Ints:
    return milliseconds // 1000


def write_shard(
    task: ShardTask,
    number: int,
    streams: Iterable[bytes],
    cuts: splits.Cuts | None,
    folder: str,
) -> ShardReport:
    """Writes the files of one shard, one per split, also where there is no example.

    Args:
      task: what every shard needs to know.
      number: of the shard.
      streams: its activities in any order, as `partition` gives them.
      cuts: of TEMPORAL.
      folder: gets ``Split-<name>/data_tfrecord-<shard>-of-<shards>.gz``.
    """
    batches = [_from_bytes(stream) for stream in streams]
    unsorted = pa.Table.from_batches(batches) if batches else None
    activities, left_out = _timelines(task, unsorted)
    split = _assign(task, activities, cuts)
    thinned = splits.thin_train(
        split, activities.user, task.window_stride, task.max_windows
    )
    left_out["train_windows"] = int((split != thinned).sum())
    split = thinned
    make_columns = ExampleColumns(task.plan, activities, task.items, task.users)
    for index, name in enumerate(splits.LABELLED_SPLITS):
        rows = np.flatnonzero(split == index)
        file = file_name(number, task.num_shards)
        path = storage.join(folder, f"Split-{name}", file)
        with_seen = name != "train"
        with TFRecordWriter(path) as writer:
            cost = _cost(task.plan, activities.position[rows], with_seen)
            for part in timelines.chunks(cost, _VALUES_PER_BATCH):
                writer.write(encode_examples(make_columns(rows[part], with_seen)))
    return _report(task, activities, make_columns.user_row, split, left_out)


def hash_terms(terms: pa.LargeBinaryArray) -> hashing.Hashes:
    """The hash of each text, uint64."""
    if not len(terms):
        return np.zeros(0, np.uint64)
    _, offset_buffer, data_buffer = terms.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)
    offsets = offsets[terms.offset : terms.offset + len(terms) + 1]
    return hashing.hash_bytes(np.frombuffer(data_buffer or b"", np.uint8), offsets)


def as_text(ids: pa.Array) -> pa.LargeBinaryArray:
    """Ids as UTF-8 text, integers in decimal."""
    if pa.types.is_integer(ids.type):
        return ids.cast(pa.large_string()).cast(pa.large_binary())
    return ids


def _timelines(
    task: ShardTask, unsorted: pa.Table | None
) -> tuple[Activities, dict[str, int]]:
    """Sorted activities of users with as many as wanted; what is left out."""
    left_out = dict.fromkeys(LEFT_OUT, 0)
    if unsorted is None or not unsorted.num_rows:
        return _no_activities(task), left_out
    user, user_ids = _codes(unsorted["user"])
    user_terms = as_text(user_ids)
    # Users in the order of their hashes: shards are ranges of these, so that the order
    # of all examples does not depend on how many shards there are.
    user_hash = hash_terms(user_terms)
    by_hash = np.argsort(user_hash, kind="stable")
    rank = np.empty_like(by_hash)
    rank[by_hash] = np.arange(len(by_hash))
    item, item_terms = _codes(unsorted["item"])
    milliseconds = unsorted["timestamp"].to_numpy()
    value = None
    if "value" in unsorted.column_names:
        value = unsorted["value"].to_numpy()
    fields = {
        name.removeprefix(FIELD_COLUMN): _one_array(unsorted[name])
        for name in unsorted.column_names
        if name.startswith(FIELD_COLUMN)
    }
    sorted_ = timelines.sort_timelines(
        rank[user],
        milliseconds,
        item,
        user_hash[by_hash],
        hash_terms(as_text(item_terms)),
        [_codes(unsorted[FIELD_COLUMN + name])[0] for name in sorted(fields)]
        + ([] if value is None else [value]),
        task.seed,
    )
    order, position, length = sorted_.order, sorted_.position, sorted_.length
    if task.repeated != pb.KEEP_ALL:
        kept = timelines.once_each(
            rank[user][order], item[order], task.repeated == pb.KEEP_LAST
        )
        left_out["repeated_activities"] = int((~kept).sum())
        order = order[kept]
        position, length = timelines.positions(rank[user][order])
    short = length < task.min_timeline_length
    long = np.zeros_like(short)
    if task.max_timeline_length:
        long = length > task.max_timeline_length
    for name, rows in (("short", short), ("long", long)):
        left_out[f"{name}_timelines"] = int((rows & (position == 0)).sum())
        left_out[f"activities_of_{name}_timelines"] = int(rows.sum())
    wanted = ~short & ~long
    order = order[wanted]
    activities = Activities(
        user=rank[user][order],
        user_terms=user_terms.take(pa.array(by_hash)),
        item=item[order],
        item_terms=item_terms,
        timestamp=_seconds(milliseconds[order]),
        value=None if value is None else value[order],
        position=position[wanted],
        length=length[wanted],
        fields={name: array.take(pa.array(order)) for name, array in fields.items()},
    )
    return activities, left_out


def _no_activities(task: ShardTask) -> Activities:
    nothing = np.zeros(0, np.int64)
    kind = pa.int64() if task.plan.item_type == pb.INT else pa.large_binary()
    return Activities(
        user=nothing,
        user_terms=pa.array([], pa.large_binary()),
        item=nothing,
        item_terms=pa.array([], kind),
        timestamp=nothing,
        value=np.zeros(0),
        position=nothing,
        length=nothing,
        fields={
            field.name: pa.array([], _KINDS[task.plan.type_of(field)])
            for field in task.plan.fields(Role.ACTIVITY)
        },
    )


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    together = column.combine_chunks()
    if not isinstance(together, pa.ChunkedArray):
        return together
    return together.chunk(0) if together.num_chunks else pa.array([], together.type)


def _codes(ids: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Indices into the distinct ids, which are in ascending order."""
    encoded = _one_array(ids).dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy().astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    indices = encoded.indices.to_numpy()
    return rank[indices], encoded.dictionary.take(pa.array(order))


def _assign(
    task: ShardTask, activities: Activities, cuts: splits.Cuts | None
) -> splits.Splits:
    position, timestamp = activities.position, activities.timestamp
    if task.split == pb.LEAVE_ONE_OUT:
        return splits.leave_one_out(position, activities.length)
    if task.split == pb.TEMPORAL:
        assert cuts is not None
        return splits.temporal(position, timestamp, cuts)
    if task.split == pb.USER_HASH:
        users = hash_terms(activities.user_terms)[activities.user]
        return splits.by_user(position, users, task.train_fraction, task.seed)
    return splits.random(
        position,
        timestamp,
        hash_terms(activities.user_terms)[activities.user],
        hash_terms(as_text(activities.item_terms))[activities.item],
        task.train_fraction,
        task.seed,
    )


def _cost(plan: Plan, position: Ints, with_seen: bool) -> Ints:
    """About how many values each example has."""
    fixed = plan.max_context_length + sum(spec.length for spec in plan.specs)
    return fixed + (position if with_seen else np.zeros_like(position))


def _report(
    task: ShardTask,
    activities: Activities,
    user_row: Ints,
    split: splits.Splits,
    left_out: dict[str, int],
) -> ShardReport:
    first = activities.position == 0
    users = activities.user[first]
    unknown = user_row[users] == len(task.users.keys)
    counts, labels = {}, {}
    for index, name in enumerate(splits.LABELLED_SPLITS):
        rows = np.flatnonzero(split == index)
        times = activities.timestamp[rows]
        counts[name] = SplitCount(
            examples=len(rows),
            users=len(np.unique(activities.user[rows])),
            first_timestamp=int(times.min()) if len(rows) else 0,
            last_timestamp=int(times.max(initial=0)),
        )
        labels[name] = np.bincount(
            activities.item[rows], minlength=len(activities.item_terms)
        )
    used = np.bincount(activities.item, minlength=len(activities.item_terms)) > 0
    items = pa.table(
        {
            "item": activities.item_terms,
            "in_train": pa.array(_in_train(task, activities, split)),
            "train": pa.array(labels["train"]),
            "eval": pa.array(labels["eval"]),
            "test": pa.array(labels["test"]),
        }
    ).filter(pa.array(used))
    return ShardReport(
        users=len(users),
        activities=len(activities.user),
        left_out=left_out,
        users_trained_later=_trained_later(activities, split),
        users_without_row=int(unknown.sum()),
        first_timestamp=int(activities.timestamp.min(initial=_LATEST)),
        last_timestamp=int(activities.timestamp.max(initial=0)),
        splits=counts,
        items=items,
    )


def _trained_later(activities: Activities, split: splits.Splits) -> int:
    """Users with a train label that is later than one of theirs in eval or test.

    By place in the timeline, since times may be equal: days, for instance.
    """
    number = len(activities.user_terms)
    trained = np.full(number, -1, np.int64)
    held_out = np.full(number, _LATEST, np.int64)
    train = split == splits.TRAIN
    held = (split == splits.EVAL) | (split == splits.TEST)
    np.maximum.at(trained, activities.user[train], activities.position[train])
    np.minimum.at(held_out, activities.user[held], activities.position[held])
    return int((trained > held_out).sum())


def _in_train(
    task: ShardTask, activities: Activities, split: splits.Splits
) -> npt.NDArray[np.bool_]:
    """Which items a train example holds, in its context or as its label."""
    rows = np.flatnonzero(split == splits.TRAIN)
    back = np.minimum(activities.position[rows], task.plan.max_context_length)
    # +1 where a window begins and -1 behind its end: sums tell the rows inside one.
    depth = np.zeros(len(activities.user) + 1, np.int64)
    np.add.at(depth, rows - back, 1)
    np.add.at(depth, rows + 1, -1)
    inside = np.cumsum(depth[:-1]) > 0
    held = np.zeros(len(activities.item_terms), np.bool_)
    held[activities.item[inside]] = True
    return held


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _from_bytes(stream: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_next_batch()
