from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

ADAGRAD: Optimizer
ADAM: Optimizer
AUTO: Quantization
BATCH_SOFTMAX: Loss
BAYESIAN_OPTIMIZATION: TuningStrategy
BINARY_CROSS_ENTROPY: Loss
BOTH: Gate
BOW: EncoderType
CNN: EncoderType
CONSTANT: LearningRateSchedule
CONTEXT: Seen
COSINE: LearningRateSchedule
DESCRIPTOR: _descriptor.FileDescriptor
DYNAMIC_RANGE: Quantization
EPOCH_MILLISECONDS: TimestampFormat
EPOCH_SECONDS: TimestampFormat
EVERY_POSITION: Targets
FLOAT: FeatureType
FLOAT16: Quantization
FLOAT32: Quantization
GAP: Derivation
GLOBAL_SOFTMAX: Loss
GRU: EncoderType
HOUR: Derivation
INT: FeatureType
INT8: Quantization
ISO_8601: TimestampFormat
KEEP_ALL: RepeatedActivities
KEEP_FIRST: RepeatedActivities
KEEP_LAST: RepeatedActivities
KEPT: Seen
LABEL: Targets
LEAVE_ONE_OUT: Split
LSTM: EncoderType
MAX_FIELD_NUMBER: _ClassVar[int]
MIN_FIELD_NUMBER: _ClassVar[int]
MIN_MAX: Scaling
NONE: Scaling
RANDOM: Split
RANDOM_SEARCH: TuningStrategy
SAMPLED_SOFTMAX: Loss
SAVED_MODEL: Gate
SGD: Optimizer
STRING: FeatureType
TEMPORAL: Split
TFLITE: Gate
TIMELINE: Seen
TRANSFORMER: EncoderType
USER_HASH: Split
WEEKDAY: Derivation
YEAR_IN_TEXT: Derivation
Z_SCORE: Scaling
max: _descriptor.FieldDescriptor
min: _descriptor.FieldDescriptor

class DataConfig(_message.Message):
    __slots__ = ["activity_types", "build_vocabs", "derived_fields", "eval_end", "files", "history_length_buckets", "max_context_length", "max_context_movie_genre_length", "max_feature_lengths", "max_rejected_fraction", "max_timeline_length", "max_windows_per_user", "min_rating", "min_timeline_length", "num_shards", "repeated_activities", "seed", "source", "span", "span_folder", "span_window", "split", "timezone", "train_data_fraction", "train_end", "vocab_dir", "window_stride"]
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    ACTIVITY_TYPES_FIELD_NUMBER: _ClassVar[int]
    AUTO: DataConfig.Source
    BUILD_VOCABS_FIELD_NUMBER: _ClassVar[int]
    CSV: DataConfig.Source
    DERIVED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    EVAL_END_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_LENGTH_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    JSON_LINES: DataConfig.Source
    MAX_CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTEXT_MOVIE_GENRE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_FEATURE_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    MAX_REJECTED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMELINE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_WINDOWS_PER_USER_FIELD_NUMBER: _ClassVar[int]
    MIN_RATING_FIELD_NUMBER: _ClassVar[int]
    MIN_TIMELINE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MOVIELENS_100K: DataConfig.Source
    MOVIELENS_CSV: DataConfig.Source
    MOVIELENS_DAT: DataConfig.Source
    NUM_SHARDS_FIELD_NUMBER: _ClassVar[int]
    PARQUET: DataConfig.Source
    REPEATED_ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    SPAN_FOLDER_FIELD_NUMBER: _ClassVar[int]
    SPAN_WINDOW_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    TRAIN_DATA_FRACTION_FIELD_NUMBER: _ClassVar[int]
    TRAIN_END_FIELD_NUMBER: _ClassVar[int]
    VOCAB_DIR_FIELD_NUMBER: _ClassVar[int]
    WINDOW_STRIDE_FIELD_NUMBER: _ClassVar[int]
    activity_types: _containers.RepeatedScalarFieldContainer[str]
    build_vocabs: bool
    derived_fields: _containers.RepeatedCompositeFieldContainer[DerivedField]
    eval_end: str
    files: FilesConfig
    history_length_buckets: _containers.RepeatedScalarFieldContainer[int]
    max_context_length: int
    max_context_movie_genre_length: int
    max_feature_lengths: _containers.RepeatedCompositeFieldContainer[FeatureLength]
    max_rejected_fraction: float
    max_timeline_length: int
    max_windows_per_user: int
    min_rating: float
    min_timeline_length: int
    num_shards: int
    repeated_activities: RepeatedActivities
    seed: int
    source: DataConfig.Source
    span: str
    span_folder: str
    span_window: int
    split: Split
    timezone: str
    train_data_fraction: float
    train_end: str
    vocab_dir: str
    window_stride: int
    def __init__(self, source: _Optional[_Union[DataConfig.Source, str]] = ..., files: _Optional[_Union[FilesConfig, _Mapping]] = ..., min_rating: _Optional[float] = ..., min_timeline_length: _Optional[int] = ..., max_context_length: _Optional[int] = ..., max_context_movie_genre_length: _Optional[int] = ..., max_feature_lengths: _Optional[_Iterable[_Union[FeatureLength, _Mapping]]] = ..., split: _Optional[_Union[Split, str]] = ..., train_data_fraction: _Optional[float] = ..., train_end: _Optional[str] = ..., eval_end: _Optional[str] = ..., build_vocabs: bool = ..., vocab_dir: _Optional[str] = ..., max_rejected_fraction: _Optional[float] = ..., num_shards: _Optional[int] = ..., seed: _Optional[int] = ..., history_length_buckets: _Optional[_Iterable[int]] = ..., max_timeline_length: _Optional[int] = ..., activity_types: _Optional[_Iterable[str]] = ..., repeated_activities: _Optional[_Union[RepeatedActivities, str]] = ..., window_stride: _Optional[int] = ..., max_windows_per_user: _Optional[int] = ..., derived_fields: _Optional[_Iterable[_Union[DerivedField, _Mapping]]] = ..., timezone: _Optional[str] = ..., span_folder: _Optional[str] = ..., span: _Optional[str] = ..., span_window: _Optional[int] = ...) -> None: ...

class DerivedField(_message.Message):
    __slots__ = ["derivation", "field", "from_field"]
    DERIVATION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_FIELD_NUMBER: _ClassVar[int]
    derivation: Derivation
    field: str
    from_field: str
    def __init__(self, field: _Optional[str] = ..., derivation: _Optional[_Union[Derivation, str]] = ..., from_field: _Optional[str] = ...) -> None: ...

class DriftGuard(_message.Message):
    __slots__ = ["action", "lower_bound", "measure", "upper_bound"]
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    SKIP: DriftGuard.Action
    STOP: DriftGuard.Action
    UPPER_BOUND_FIELD_NUMBER: _ClassVar[int]
    WARN: DriftGuard.Action
    action: DriftGuard.Action
    lower_bound: float
    measure: str
    upper_bound: float
    def __init__(self, measure: _Optional[str] = ..., lower_bound: _Optional[float] = ..., upper_bound: _Optional[float] = ..., action: _Optional[_Union[DriftGuard.Action, str]] = ...) -> None: ...

class EvalConfig(_message.Message):
    __slots__ = ["bounds", "eval_top_k", "slice_features"]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    EVAL_TOP_K_FIELD_NUMBER: _ClassVar[int]
    SLICE_FEATURES_FIELD_NUMBER: _ClassVar[int]
    bounds: _containers.RepeatedCompositeFieldContainer[MetricBound]
    eval_top_k: _containers.RepeatedScalarFieldContainer[int]
    slice_features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, eval_top_k: _Optional[_Iterable[int]] = ..., bounds: _Optional[_Iterable[_Union[MetricBound, _Mapping]]] = ..., slice_features: _Optional[_Iterable[str]] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ["bucket_boundaries", "embedding_dim", "feature_length", "feature_name", "feature_type", "num_buckets", "scaling", "values_per_step", "vocab_name", "vocab_size"]
    BUCKET_BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    FEATURE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    FEATURE_NAME_FIELD_NUMBER: _ClassVar[int]
    FEATURE_TYPE_FIELD_NUMBER: _ClassVar[int]
    NUM_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    VALUES_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    VOCAB_NAME_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    bucket_boundaries: _containers.RepeatedScalarFieldContainer[float]
    embedding_dim: int
    feature_length: int
    feature_name: str
    feature_type: FeatureType
    num_buckets: int
    scaling: Scaling
    values_per_step: int
    vocab_name: str
    vocab_size: int
    def __init__(self, feature_name: _Optional[str] = ..., feature_type: _Optional[_Union[FeatureType, str]] = ..., vocab_name: _Optional[str] = ..., vocab_size: _Optional[int] = ..., embedding_dim: _Optional[int] = ..., feature_length: _Optional[int] = ..., scaling: _Optional[_Union[Scaling, str]] = ..., values_per_step: _Optional[int] = ..., bucket_boundaries: _Optional[_Iterable[float]] = ..., num_buckets: _Optional[int] = ...) -> None: ...

class FeatureGroup(_message.Message):
    __slots__ = ["encoder_type", "features"]
    ENCODER_TYPE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    encoder_type: EncoderType
    features: _containers.RepeatedCompositeFieldContainer[Feature]
    def __init__(self, features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., encoder_type: _Optional[_Union[EncoderType, str]] = ...) -> None: ...

class FeatureLength(_message.Message):
    __slots__ = ["feature_name", "length"]
    FEATURE_NAME_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    feature_name: str
    length: int
    def __init__(self, feature_name: _Optional[str] = ..., length: _Optional[int] = ...) -> None: ...

class FileField(_message.Message):
    __slots__ = ["column", "field", "separator", "type"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SEPARATOR_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    column: str
    field: str
    separator: str
    type: FeatureType
    def __init__(self, column: _Optional[str] = ..., field: _Optional[str] = ..., type: _Optional[_Union[FeatureType, str]] = ..., separator: _Optional[str] = ...) -> None: ...

class FilesConfig(_message.Message):
    __slots__ = ["activities_files", "activity_fields", "activity_type_column", "delimiter", "encoding", "item_column", "item_fields", "item_key_column", "items_file", "timestamp_column", "timestamp_format", "title_column", "user_column", "user_fields", "user_key_column", "users_file", "value_column"]
    ACTIVITIES_FILES_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_TYPE_COLUMN_FIELD_NUMBER: _ClassVar[int]
    DELIMITER_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FILE_FIELD_NUMBER: _ClassVar[int]
    ITEM_COLUMN_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEY_COLUMN_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_COLUMN_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FORMAT_FIELD_NUMBER: _ClassVar[int]
    TITLE_COLUMN_FIELD_NUMBER: _ClassVar[int]
    USERS_FILE_FIELD_NUMBER: _ClassVar[int]
    USER_COLUMN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELDS_FIELD_NUMBER: _ClassVar[int]
    USER_KEY_COLUMN_FIELD_NUMBER: _ClassVar[int]
    VALUE_COLUMN_FIELD_NUMBER: _ClassVar[int]
    activities_files: _containers.RepeatedScalarFieldContainer[str]
    activity_fields: _containers.RepeatedCompositeFieldContainer[FileField]
    activity_type_column: str
    delimiter: str
    encoding: str
    item_column: str
    item_fields: _containers.RepeatedCompositeFieldContainer[FileField]
    item_key_column: str
    items_file: str
    timestamp_column: str
    timestamp_format: TimestampFormat
    title_column: str
    user_column: str
    user_fields: _containers.RepeatedCompositeFieldContainer[FileField]
    user_key_column: str
    users_file: str
    value_column: str
    def __init__(self, activities_files: _Optional[_Iterable[str]] = ..., user_column: _Optional[str] = ..., item_column: _Optional[str] = ..., timestamp_column: _Optional[str] = ..., value_column: _Optional[str] = ..., items_file: _Optional[str] = ..., item_key_column: _Optional[str] = ..., title_column: _Optional[str] = ..., item_fields: _Optional[_Iterable[_Union[FileField, _Mapping]]] = ..., users_file: _Optional[str] = ..., user_key_column: _Optional[str] = ..., user_fields: _Optional[_Iterable[_Union[FileField, _Mapping]]] = ..., delimiter: _Optional[str] = ..., encoding: _Optional[str] = ..., timestamp_format: _Optional[_Union[TimestampFormat, str]] = ..., activity_type_column: _Optional[str] = ..., activity_fields: _Optional[_Iterable[_Union[FileField, _Mapping]]] = ...) -> None: ...

class InputConfig(_message.Message):
    __slots__ = ["activity_feature_groups", "global_feature_groups", "label_feature", "label_id_embedding", "label_item_features", "label_value_feature", "tie_item_embeddings"]
    ACTIVITY_FEATURE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_FEATURE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FEATURE_FIELD_NUMBER: _ClassVar[int]
    LABEL_ID_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    LABEL_ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    LABEL_VALUE_FEATURE_FIELD_NUMBER: _ClassVar[int]
    TIE_ITEM_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    activity_feature_groups: _containers.RepeatedCompositeFieldContainer[FeatureGroup]
    global_feature_groups: _containers.RepeatedCompositeFieldContainer[FeatureGroup]
    label_feature: Feature
    label_id_embedding: bool
    label_item_features: _containers.RepeatedCompositeFieldContainer[Feature]
    label_value_feature: Feature
    tie_item_embeddings: bool
    def __init__(self, global_feature_groups: _Optional[_Iterable[_Union[FeatureGroup, _Mapping]]] = ..., activity_feature_groups: _Optional[_Iterable[_Union[FeatureGroup, _Mapping]]] = ..., label_feature: _Optional[_Union[Feature, _Mapping]] = ..., label_item_features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., label_id_embedding: bool = ..., tie_item_embeddings: bool = ..., label_value_feature: _Optional[_Union[Feature, _Mapping]] = ...) -> None: ...

class MetricBound(_message.Message):
    __slots__ = ["gate", "lower_bound", "max_regression", "metric", "min_slice_examples", "slice_feature", "slice_value", "upper_bound"]
    GATE_FIELD_NUMBER: _ClassVar[int]
    LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    MAX_REGRESSION_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    MIN_SLICE_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SLICE_FEATURE_FIELD_NUMBER: _ClassVar[int]
    SLICE_VALUE_FIELD_NUMBER: _ClassVar[int]
    UPPER_BOUND_FIELD_NUMBER: _ClassVar[int]
    gate: Gate
    lower_bound: float
    max_regression: float
    metric: str
    min_slice_examples: int
    slice_feature: str
    slice_value: str
    upper_bound: float
    def __init__(self, metric: _Optional[str] = ..., lower_bound: _Optional[float] = ..., upper_bound: _Optional[float] = ..., max_regression: _Optional[float] = ..., gate: _Optional[_Union[Gate, str]] = ..., slice_feature: _Optional[str] = ..., slice_value: _Optional[str] = ..., min_slice_examples: _Optional[int] = ...) -> None: ...

class ModelConfig(_message.Message):
    __slots__ = ["bow_layer_dims", "conv_kernel_size", "conv_num_filter_ratios", "cross_num_layers", "cross_rank", "dropout", "gru_num_layers", "gru_num_units", "hidden_layer_dims", "layer_norm", "lstm_num_layers", "lstm_num_units", "max_seen_length", "num_predictions", "ranking_layer_dims", "ranking_num_candidates", "seen", "transformer_num_heads", "transformer_num_layers", "transformer_num_units"]
    BOW_LAYER_DIMS_FIELD_NUMBER: _ClassVar[int]
    CONV_KERNEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONV_NUM_FILTER_RATIOS_FIELD_NUMBER: _ClassVar[int]
    CROSS_NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    CROSS_RANK_FIELD_NUMBER: _ClassVar[int]
    DROPOUT_FIELD_NUMBER: _ClassVar[int]
    GRU_NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    GRU_NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_LAYER_DIMS_FIELD_NUMBER: _ClassVar[int]
    LAYER_NORM_FIELD_NUMBER: _ClassVar[int]
    LSTM_NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    LSTM_NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAX_SEEN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    NUM_PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    RANKING_LAYER_DIMS_FIELD_NUMBER: _ClassVar[int]
    RANKING_NUM_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_NUM_HEADS_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_NUM_LAYERS_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMER_NUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    bow_layer_dims: _containers.RepeatedScalarFieldContainer[int]
    conv_kernel_size: int
    conv_num_filter_ratios: _containers.RepeatedScalarFieldContainer[int]
    cross_num_layers: int
    cross_rank: int
    dropout: float
    gru_num_layers: int
    gru_num_units: int
    hidden_layer_dims: _containers.RepeatedScalarFieldContainer[int]
    layer_norm: bool
    lstm_num_layers: int
    lstm_num_units: int
    max_seen_length: int
    num_predictions: int
    ranking_layer_dims: _containers.RepeatedScalarFieldContainer[int]
    ranking_num_candidates: int
    seen: Seen
    transformer_num_heads: int
    transformer_num_layers: int
    transformer_num_units: int
    def __init__(self, hidden_layer_dims: _Optional[_Iterable[int]] = ..., conv_num_filter_ratios: _Optional[_Iterable[int]] = ..., conv_kernel_size: _Optional[int] = ..., lstm_num_units: _Optional[int] = ..., num_predictions: _Optional[int] = ..., seen: _Optional[_Union[Seen, str]] = ..., max_seen_length: _Optional[int] = ..., gru_num_units: _Optional[int] = ..., transformer_num_units: _Optional[int] = ..., transformer_num_layers: _Optional[int] = ..., transformer_num_heads: _Optional[int] = ..., dropout: _Optional[float] = ..., layer_norm: bool = ..., lstm_num_layers: _Optional[int] = ..., gru_num_layers: _Optional[int] = ..., bow_layer_dims: _Optional[_Iterable[int]] = ..., cross_num_layers: _Optional[int] = ..., cross_rank: _Optional[int] = ..., ranking_num_candidates: _Optional[int] = ..., ranking_layer_dims: _Optional[_Iterable[int]] = ...) -> None: ...

class PushConfig(_message.Message):
    __slots__ = ["conversion_timeout_seconds", "keep_versions", "push_destination", "quantization"]
    CONVERSION_TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KEEP_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PUSH_DESTINATION_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    conversion_timeout_seconds: int
    keep_versions: int
    push_destination: str
    quantization: _containers.RepeatedScalarFieldContainer[Quantization]
    def __init__(self, push_destination: _Optional[str] = ..., quantization: _Optional[_Iterable[_Union[Quantization, str]]] = ..., conversion_timeout_seconds: _Optional[int] = ..., keep_versions: _Optional[int] = ...) -> None: ...

class RecommenderConfig(_message.Message):
    __slots__ = ["data", "eval", "input", "model", "name", "push", "retrain", "train", "tune"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EVAL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    RETRAIN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    TUNE_FIELD_NUMBER: _ClassVar[int]
    data: DataConfig
    eval: EvalConfig
    input: InputConfig
    model: ModelConfig
    name: str
    push: PushConfig
    retrain: RetrainConfig
    train: TrainConfig
    tune: TuneConfig
    def __init__(self, input: _Optional[_Union[InputConfig, _Mapping]] = ..., data: _Optional[_Union[DataConfig, _Mapping]] = ..., model: _Optional[_Union[ModelConfig, _Mapping]] = ..., train: _Optional[_Union[TrainConfig, _Mapping]] = ..., eval: _Optional[_Union[EvalConfig, _Mapping]] = ..., push: _Optional[_Union[PushConfig, _Mapping]] = ..., tune: _Optional[_Union[TuneConfig, _Mapping]] = ..., retrain: _Optional[_Union[RetrainConfig, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class RetrainConfig(_message.Message):
    __slots__ = ["guard_spans", "guards", "keep_days", "keep_runs"]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    GUARD_SPANS_FIELD_NUMBER: _ClassVar[int]
    KEEP_DAYS_FIELD_NUMBER: _ClassVar[int]
    KEEP_RUNS_FIELD_NUMBER: _ClassVar[int]
    guard_spans: int
    guards: _containers.RepeatedCompositeFieldContainer[DriftGuard]
    keep_days: int
    keep_runs: int
    def __init__(self, guards: _Optional[_Iterable[_Union[DriftGuard, _Mapping]]] = ..., keep_runs: _Optional[int] = ..., keep_days: _Optional[int] = ..., guard_spans: _Optional[int] = ...) -> None: ...

class TrainConfig(_message.Message):
    __slots__ = ["batch_size", "checkpoint_path", "early_stopping_patience", "gradient_clip_norm", "label_smoothing", "learning_rate", "learning_rate_schedule", "leave_out_seen", "loss", "max_checkpoints", "max_in_memory_bytes", "num_epochs", "num_eval_steps", "num_sampled_negatives", "optimizer", "seed", "shuffle_ties", "steps_per_epoch", "targets", "value_loss_weight", "warm_start", "weight_decay"]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_PATH_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_PATIENCE_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    LABEL_SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    LEAVE_OUT_SEEN_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    MAX_CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUM_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    NUM_EVAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    NUM_SAMPLED_NEGATIVES_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SHUFFLE_TIES_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    VALUE_LOSS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WARM_START_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    batch_size: int
    checkpoint_path: str
    early_stopping_patience: int
    gradient_clip_norm: float
    label_smoothing: float
    learning_rate: float
    learning_rate_schedule: LearningRateSchedule
    leave_out_seen: bool
    loss: Loss
    max_checkpoints: int
    max_in_memory_bytes: int
    num_epochs: int
    num_eval_steps: int
    num_sampled_negatives: int
    optimizer: Optimizer
    seed: int
    shuffle_ties: bool
    steps_per_epoch: int
    targets: Targets
    value_loss_weight: float
    warm_start: bool
    weight_decay: float
    def __init__(self, batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., learning_rate_schedule: _Optional[_Union[LearningRateSchedule, str]] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., loss: _Optional[_Union[Loss, str]] = ..., steps_per_epoch: _Optional[int] = ..., num_epochs: _Optional[int] = ..., num_eval_steps: _Optional[int] = ..., gradient_clip_norm: _Optional[float] = ..., early_stopping_patience: _Optional[int] = ..., seed: _Optional[int] = ..., checkpoint_path: _Optional[str] = ..., max_checkpoints: _Optional[int] = ..., max_in_memory_bytes: _Optional[int] = ..., targets: _Optional[_Union[Targets, str]] = ..., leave_out_seen: bool = ..., label_smoothing: _Optional[float] = ..., num_sampled_negatives: _Optional[int] = ..., weight_decay: _Optional[float] = ..., value_loss_weight: _Optional[float] = ..., shuffle_ties: bool = ..., warm_start: bool = ...) -> None: ...

class TuneConfig(_message.Message):
    __slots__ = ["fields", "num_trials", "seed", "strategy"]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    NUM_TRIALS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedCompositeFieldContainer[TunedField]
    num_trials: int
    seed: int
    strategy: TuningStrategy
    def __init__(self, num_trials: _Optional[int] = ..., strategy: _Optional[_Union[TuningStrategy, str]] = ..., fields: _Optional[_Iterable[_Union[TunedField, _Mapping]]] = ..., seed: _Optional[int] = ...) -> None: ...

class TunedField(_message.Message):
    __slots__ = ["field", "logarithmic", "max_value", "min_value", "values"]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    LOGARITHMIC_FIELD_NUMBER: _ClassVar[int]
    MAX_VALUE_FIELD_NUMBER: _ClassVar[int]
    MIN_VALUE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    field: str
    logarithmic: bool
    max_value: float
    min_value: float
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, field: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ..., min_value: _Optional[float] = ..., max_value: _Optional[float] = ..., logarithmic: bool = ...) -> None: ...

class FeatureType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class EncoderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Scaling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Split(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TimestampFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Derivation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class RepeatedActivities(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Seen(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Loss(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Targets(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Optimizer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class LearningRateSchedule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class TuningStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Gate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Quantization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
