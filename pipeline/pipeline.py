"""The pipeline, in the order in which data flows. It knows nothing of runners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import field_mask_pb2
from tfx import types
from tfx import v1 as tfx
from tfx.orchestration.data_types import RuntimeParameter

from components.code_digest import code_digest
from components.current_model.component import CurrentModel
from components.evaluator.component import Evaluator
from components.example_validator.component import ExampleValidator
from components.tflite_converter.component import TFLiteConverter
from components.tflite_pusher.component import TFLitePusher
from components.timeline_example_gen import TimelineExampleGen
from components.trainer.component import Trainer
from configs import features
from configs import recommender_pb2 as pb
from configs.loader import config_to_text

CATALOGUE = "catalogue"
SPLITS = ("train", "eval", "test", CATALOGUE)
PREPROCESSING_FN = "components.transform.preprocessing.preprocessing_fn"
RUN_FN = "components.trainer.run_fn.run_fn"
TUNER_FN = "components.tuner.tuner_fn.tuner_fn"


@dataclass(frozen=True)
class Binding:
    """What a runner binds: places, and what makes the cache right.

    Attributes:
      data: folder of the activities, items and users.
      pipeline_root: folder of the artifacts.
      push_destination: folder of the pushed versions.
      nonce: different in each run; the pusher is never served from the cache.
      source_revision: of the code, for the manifest.
      fingerprint: of every input file; empty where the executor resolves by itself.
      current_digest: of the currently pushed version's content.
      span: the newest span to read; None, here and below: as configured.
      span_window: how many spans.
      num_epochs: of training.
      steps_per_epoch: of training.
    """

    data: str | RuntimeParameter
    pipeline_root: str
    push_destination: str | RuntimeParameter
    nonce: str
    source_revision: str
    fingerprint: str
    current_digest: str
    span: str | RuntimeParameter | None = None
    span_window: int | RuntimeParameter | None = None
    num_epochs: int | RuntimeParameter | None = None
    steps_per_epoch: int | RuntimeParameter | None = None


def create_pipeline(
    config: pb.RecommenderConfig,
    binding: Binding,
    metadata_connection_config: Any = None,
    beam_pipeline_args: Sequence[str] = (),
    enable_cache: bool = True,
) -> tfx.dsl.Pipeline:
    """The whole pipeline: activities in, a pushed bundle out.

    Args:
      config: a valid configuration.
      binding: places and cache keys, from the runner.
      metadata_connection_config: of ML Metadata, where the runner needs it.
      beam_pipeline_args: options of the Beam runner.
      enable_cache: whether unchanged steps are served from earlier runs.
    """
    example_gen = TimelineExampleGen(
        config=columns_text(config),
        data=binding.data,
        fingerprint=binding.fingerprint,
        code_digest=code_digest("components.timeline_example_gen"),
        span=binding.span,
        span_window=binding.span_window,
    )
    statistics_gen = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"], exclude_splits=[CATALOGUE]
    )
    schema_gen = tfx.components.SchemaGen(
        statistics=statistics_gen.outputs["statistics"],
        infer_feature_shape=True,
        exclude_splits=[CATALOGUE],
    )
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        config=columns_text(config),
        code_digest=code_digest("components.example_validator"),
        exclude_splits=[CATALOGUE],
    )
    transform = tfx.components.Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        splits_config=tfx.proto.SplitsConfig(
            analyze=["train", CATALOGUE], transform=list(SPLITS)
        ),
        custom_config={
            "config": columns_text(config, for_transform=True),
            "code_digest": code_digest("components.transform"),
        },
        disable_statistics=True,
    )
    # Anomalies stop the run here, not beside the training.
    transform.add_upstream_node(example_validator)
    current_model = CurrentModel(
        push_destination=binding.push_destination,
        current_digest=binding.current_digest,
        code_digest=code_digest(
            "components.checksums",
            "components.current_model",
            "components.files",
            "components.tflite_converter.manifest",
            "components.trainer.names",
        ),
    )
    tuner = _tuner(config, transform, schema_gen) if config.tune.num_trials else None
    trainer = Trainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        hyperparameters=tuner and tuner.outputs["best_hyperparameters"],
        # Only then: every push would have it trained anew.
        base_model=current_model.outputs["training"]
        if config.train.warm_start
        else None,
        run_fn=RUN_FN,
        num_epochs=binding.num_epochs,
        steps_per_epoch=binding.steps_per_epoch,
        custom_config={
            "config": _config_text(
                config, "input", "data", "model", "train", "eval.eval_top_k", "name"
            ),
            "code_digest": code_digest("components.trainer", "components.transform"),
        },
    )
    evaluator = _evaluator(
        config,
        pb.SAVED_MODEL,
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        ingestion_report=example_gen.outputs["ingestion_report"],
        model=trainer.outputs["model"],
        baseline_model=current_model.outputs["model"],
    )
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=binding.pipeline_root,
        components=[
            example_gen,
            statistics_gen,
            schema_gen,
            example_validator,
            transform,
            current_model,
            *([tuner] if tuner else []),
            trainer,
            evaluator,
            *_convert_gate_and_push(
                config,
                binding,
                example_gen=example_gen,
                schema_gen=schema_gen,
                transform=transform,
                trainer=trainer,
                current_model=current_model,
                evaluator=evaluator,
            ),
        ],
        enable_cache=enable_cache,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=list(beam_pipeline_args),
    )


def _tuner(config: pb.RecommenderConfig, transform: Any, schema_gen: Any) -> Any:
    return tfx.components.Tuner(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        tuner_fn=TUNER_FN,
        train_args=tfx.proto.TrainArgs(splits=["train"]),
        eval_args=tfx.proto.EvalArgs(splits=["eval"]),
        custom_config={
            "config": _config_text(
                config,
                "input",
                "data",
                "model",
                "train",
                "eval.eval_top_k",
                "tune",
                "name",
            ),
            "code_digest": code_digest(
                "components.tuner", "components.trainer", "components.transform"
            ),
        },
    )


def _convert_gate_and_push(
    config: pb.RecommenderConfig,
    binding: Binding,
    *,
    example_gen: Any,
    schema_gen: Any,
    transform: Any,
    trainer: Any,
    current_model: Any,
    evaluator: Any,
) -> list[Any]:
    """The .tflite file's way: converted, gated itself, pushed if both gates bless."""
    converter = TFLiteConverter(
        model=trainer.outputs["model"],
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        ingestion_report=example_gen.outputs["ingestion_report"],
        config=_config_text(
            config,
            "input",
            "data",
            "model",
            "eval.eval_top_k",
            "push.quantization",
            "push.conversion_timeout_seconds",
            "name",
        ),
        code_digest=code_digest(
            "components.child_process",
            "components.tflite_converter",
            "components.trainer",
            "components.transform",
            "pocketrec_device",
        ),
    )
    tflite_evaluator = _evaluator(
        config,
        pb.TFLITE,
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        ingestion_report=example_gen.outputs["ingestion_report"],
        model=converter.outputs["tflite_model"],
        trained_model=trainer.outputs["model"],
        baseline_model=current_model.outputs["tflite_model"],
        stored_examples=current_model.outputs["examples"],
    ).with_id("TFLiteEvaluator")
    pusher = TFLitePusher(
        tflite_model=converter.outputs["tflite_model"],
        current_tflite_model=current_model.outputs["tflite_model"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        transform_graph=transform.outputs["transform_graph"],
        examples=example_gen.outputs["examples"],
        model_blessing=evaluator.outputs["blessing"],
        model_evaluation=evaluator.outputs["evaluation"],
        tflite_blessing=tflite_evaluator.outputs["blessing"],
        tflite_evaluation=tflite_evaluator.outputs["evaluation"],
        config=config_to_text(config),
        push_destination=binding.push_destination,
        source_revision=binding.source_revision,
        code_digest=code_digest("components.tflite_pusher"),
        nonce=binding.nonce,
    )
    return [converter, tflite_evaluator, pusher]


def _evaluator(
    config: pb.RecommenderConfig, gate: pb.Gate, **channels: types.BaseChannel
) -> Evaluator:
    return Evaluator(
        config=_config_text(config, "input", "data", "model", "eval"),
        gate=gate,
        code_digest=code_digest(
            "components.child_process",
            "components.evaluator",
            "components.tflite_converter",
            "pocketrec_device",
        ),
        **channels,
    )


def _config_text(config: pb.RecommenderConfig, *paths: str) -> str:
    """The fields that a component depends on; others must not touch its cache."""
    part = pb.RecommenderConfig()
    field_mask_pb2.FieldMask(paths=paths).MergeMessage(config, part)
    return config_to_text(part)


def columns_text(config: pb.RecommenderConfig, for_transform: bool = False) -> str:
    """What the steps before training depend on: not how features are encoded.

    Args:
      config: a valid configuration.
      for_transform: keep what Transform alone depends on, too: scaling, the number of
        buckets, and what becomes a term of a vocabulary.
    """
    part = pb.RecommenderConfig()
    part.input.CopyFrom(config.input)
    part.data.CopyFrom(config.data)
    part.input.ClearField("label_id_embedding")
    for group in features.feature_groups(part):
        group.ClearField("encoder_type")
    for feature in features.all_features(part):
        feature.ClearField("embedding_dim")
        feature.ClearField("bucket_boundaries")
        if not for_transform:
            feature.ClearField("scaling")
            feature.ClearField("num_buckets")
            if features.has_vocabulary(feature):
                feature.ClearField("vocab_size")
    if not for_transform:
        part.data.ClearField("vocab_dir")
    return config_to_text(part)
