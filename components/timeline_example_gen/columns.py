"""Which columns the examples have: names, types and lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from components.timeline_example_gen.sources.source import Field, Role, Source
from configs import features
from configs import recommender_pb2 as pb
from configs.errors import UserError

USER_ID = features.USER_ID
LABEL_POSITION = features.LABEL_POSITION
CONTEXT_LENGTH = features.CONTEXT_LENGTH
CONTEXT_TIMESTAMP = features.CONTEXT_TIMESTAMP
LABEL_TIMESTAMP = "label_timestamp"
HISTORY_LENGTH = features.HISTORY_LENGTH
ITEM_TITLE = "item_title"
BOOKKEEPING = (
    USER_ID,
    LABEL_POSITION,
    CONTEXT_LENGTH,
    CONTEXT_TIMESTAMP,
    LABEL_TIMESTAMP,
    HISTORY_LENGTH,
    ITEM_TITLE,
)

# Values of a multi-valued column per activity, unless a length is configured.
_VALUES_PER_STEP = 3
# A field in no column unless a feature names it: `item_title` has it already.
_TITLE = "title"


@dataclass(frozen=True)
class ColumnSpec:
    """A column that holds a field.

    Attributes:
      name: ``context_<field>``, ``label_<field>`` or ``user_<field>``.
      prefix: the role in the name.
      field: where its values come from.
      type: ``pb.FeatureType`` of the column.
      length: values per example.
      values_per_step: values that each step has of its own, where the field's context
        column is aligned: a context column has so many slots for each, and a label
        column, which is one step, keeps the first values. 0: the newest survive.
    """

    name: str
    prefix: str
    field: Field
    type: int
    length: int
    values_per_step: int = 0

    @property
    def is_aligned(self) -> bool:
        """Whether every step has slots of its own."""
        return self.prefix == features.CONTEXT and self.values_per_step > 0

    @property
    def steps(self) -> int:
        """Steps of an aligned column; values of another."""
        return self.length // self.values_per_step if self.is_aligned else self.length


@dataclass(frozen=True)
class Plan:
    """The columns of the examples.

    Attributes:
      specs: those that hold fields, by name.
      max_context_length: the most activities before a label.
      item: the field that identifies items.
      item_type: ``pb.INT`` or ``pb.STRING``.
      seen: name of the column of all earlier items.
      buckets: first history length of each bucket after the first.
      timezone: of weekdays and hours.
    """

    specs: tuple[ColumnSpec, ...]
    max_context_length: int
    item: Field
    item_type: int
    seen: str
    buckets: tuple[int, ...]
    timezone: str

    def type_of(self, field: Field) -> int:
        """The type of a field's columns."""
        return next(spec.type for spec in self.specs if spec.field == field)

    def fields(self, *roles: Role) -> list[Field]:
        """Fields of some roles that a column holds, in the order of the columns."""
        found = (spec.field for spec in self.specs if spec.field.role in roles)
        return list(dict.fromkeys(found))

    def with_prefix(self, prefix: str) -> list[ColumnSpec]:
        """The columns of one role."""
        return [spec for spec in self.specs if spec.prefix == prefix]


def plan_columns(config: pb.RecommenderConfig, source: Source) -> Plan:
    """Fits the configuration's features to what the source has.

    All fields get columns, also those that no feature names, so that another choice of
    features needs no other examples; a field's type is its features', else its own.

    Raises:
      UserError: if a feature's field is not in the data or of another kind, a length
        does not fit, or two columns have one name.
    """
    types = _configured_types(config, source)
    item = next(field for field in source.fields if field.role == Role.ITEM_ID)
    item_type = types.get((False, item.name), item.natural)
    specs = sorted(_specs(config, source, types), key=lambda spec: spec.name)
    _check_lengths(config, specs)
    plan = Plan(
        specs=tuple(specs),
        max_context_length=features.max_context_length(config),
        item=item,
        item_type=item_type,
        seen=features.seen_feature_name(config),
        buckets=features.history_length_buckets(config),
        timezone=config.data.timezone,
    )
    _check_names(plan)
    return plan


def _configured_types(
    config: pb.RecommenderConfig, source: Source
) -> dict[tuple[bool, str], int]:
    """Types by whether a field is the user's, and its name; checks each feature."""
    by_prefix = {
        features.CONTEXT: (Role.ITEM_ID, Role.ITEM, Role.VALUE, Role.ACTIVITY),
        features.LABEL: (Role.ITEM_ID, Role.ITEM),
        features.USER: (Role.USER,),
    }
    types = {}
    for feature in features.all_features(config):
        prefix = features.role_of(feature.feature_name)
        name = features.field_of(feature.feature_name)
        allowed = [f.name for f in source.fields if f.role in by_prefix[prefix]]
        is_label = feature.feature_name == config.input.label_feature.feature_name
        if is_label:
            allowed = [f.name for f in source.fields if f.role == Role.ITEM_ID]
        if feature == config.input.label_value_feature:
            allowed = [f.name for f in source.fields if f.role == Role.VALUE]
        if name not in allowed:
            there = ", ".join(prefix + other for other in allowed) or "none"
            raise UserError(
                f"feature {feature.feature_name}: the data ({source.kind}) has no such "
                f"field. Expected one of: {there}"
            )
        several = [
            f.name
            for f in source.fields
            if f.role in by_prefix[prefix] and f.multi_valued
        ]
        if feature.values_per_step and name not in several:
            raise UserError(
                f"feature {feature.feature_name}: values_per_step "
                f"{feature.values_per_step} is not allowed. Expected 0, since an "
                "activity has one value in this field"
            )
        types[prefix == features.USER, name] = int(feature.feature_type)
    return types


def _specs(
    config: pb.RecommenderConfig,
    source: Source,
    types: dict[tuple[bool, str], int],
) -> list[ColumnSpec]:
    lengths = features.column_lengths(config)
    steps = features.max_context_length(config)
    aligned = {
        f.feature_name: int(f.values_per_step)
        for f in features.context_features(config)
        if f.values_per_step
    }
    specs = []
    for field in source.fields:
        is_user = field.role == Role.USER
        kind = types.get((is_user, field.name), field.natural)
        default = _VALUES_PER_STEP * steps if field.multi_valued else steps
        context = lengths.get(features.CONTEXT + field.name, default)
        # What the context holds of one activity, its label holds too.
        per_step = 0 if is_user else aligned.get(features.CONTEXT + field.name, 0)
        several = (per_step or context) if field.multi_valued else 1
        for prefix, length in (
            [(features.USER, several)]
            if is_user
            else [(features.CONTEXT, context), (features.LABEL, several)]
        ):
            name = prefix + field.name
            if field.name == _TITLE and field.role == Role.ITEM and name not in lengths:
                continue
            length = lengths.get(name, length)
            specs.append(ColumnSpec(name, prefix, field, kind, length, per_step))
    return specs


def _check_lengths(config: pb.RecommenderConfig, specs: Sequence[ColumnSpec]) -> None:
    steps = features.max_context_length(config)
    names = {spec.name for spec in specs}
    for name in features.column_lengths(config):
        if name not in names:
            raise UserError(
                f"data.max_feature_lengths: there is no column {name}. Expected one of "
                f"{', '.join(sorted(names))}"
            )
    for spec in specs:
        if spec.field.multi_valued and not spec.is_aligned:
            continue
        most = steps if spec.prefix == features.CONTEXT else 1
        if spec.steps > most:
            expected = (
                f"at most {most}, the max_context_length"
                if spec.prefix == features.CONTEXT
                else "1: there is one value"
            )
            raise UserError(
                f"feature {spec.name}: length {spec.steps} is not allowed. "
                f"Expected {expected}"
            )


def _check_names(plan: Plan) -> None:
    names = [*BOOKKEEPING, plan.seen]
    for spec in plan.specs:
        names.append(spec.name)
        if spec.is_aligned:
            names.append(features.step_lengths_column(spec.name))
        elif spec.field.multi_valued:
            names.append(features.length_column(spec.name))
    for name, times in Counter(names).items():
        if times > 1:
            raise UserError(
                f"column {name} is there {times} times: a field of the data has the "
                "name of another, or of a column that all examples have. Rename it "
                "with `field` in data.files"
            )
