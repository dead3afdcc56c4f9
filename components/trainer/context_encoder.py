"""The context side: from the user's features and last activities to one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from components.trainer.cross_layer import CrossLayer
from components.trainer.encoders.bow import BowEncoder
from components.trainer.encoders.cnn import CnnEncoder
from components.trainer.encoders.gru import GruEncoder
from components.trainer.encoders.lstm import LstmEncoder
from components.trainer.encoders.transformer import TransformerEncoder
from components.trainer.feature_group_embedding import FeatureGroupEmbedding, Scaling
from configs import features
from configs import recommender_pb2 as pb


class ContextEncoder(keras.layers.Layer):
    """Encodes each feature group, then all of them together.

    The encodings of the groups are concatenated and go through cross layers, Dense
    layers with ReLU and a linear projection; a ReLU there would leave one corner of the
    space.

    Example:
      >>> group = pb.FeatureGroup(features=[
      ...     pb.Feature(feature_name="context_movie_id", feature_type=pb.INT,
      ...                vocab_size=50, embedding_dim=8, feature_length=10)])
      >>> encode = ContextEncoder([group], {"context_movie_id": 50}, output_dim=16)
      >>> encode({"context_movie_id": tf.ones([5, 10], tf.int32)}).shape
      TensorShape([5, 16])
    """

    def __init__(
        self,
        groups: Sequence[pb.FeatureGroup],
        rows: Mapping[str, int],
        output_dim: int,
        model: pb.ModelConfig | None = None,
        scalings: Mapping[str, Scaling] | None = None,
        boundaries: Mapping[str, np.ndarray] | None = None,
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          groups: the feature groups, at least one, the global ones first.
          rows: by feature name, ids of each STRING and INT feature, padding included.
          output_dim: width of the result.
          model: sizes of the encoders and of the hidden layers.
          scalings: by feature name, of FLOAT features.
          boundaries: by feature name, between the buckets of FLOAT features.
          **kwargs: of `keras.layers.Layer`.

        Raises:
          ValueError: if there is no group.
        """
        super().__init__(**kwargs)
        if not groups:
            raise ValueError("a context has at least one feature group. Received: []")
        model = pb.ModelConfig() if model is None else model
        self._num_global = sum(_is_global(group) for group in groups)
        self._embeddings = [
            FeatureGroupEmbedding(
                group, rows, scalings, boundaries, name=f"group_{index}_embedding"
            )
            for index, group in enumerate(groups)
        ]
        self._encoders = [
            make_encoder(group.encoder_type, embedding.width, model, f"group_{index}")
            for index, (group, embedding) in enumerate(
                zip(groups, self._embeddings, strict=True)
            )
        ]
        self._norms = [
            keras.layers.LayerNormalization(epsilon=1e-6, name=f"group_{index}_norm")
            for index in range(len(groups) if model.layer_norm else 0)
        ]
        width = sum(
            encoding_width(group.encoder_type, embedding.width, model)
            for group, embedding in zip(groups, self._embeddings, strict=True)
        )
        self._crosses = [
            CrossLayer(width, int(model.cross_rank), name=f"cross_{index}")
            for index in range(model.cross_num_layers)
        ]
        self._hidden = [
            keras.layers.Dense(
                int(units),
                "relu",
                kernel_initializer="he_uniform",
                name=f"hidden_{index}",
            )
            for index, units in enumerate(model.hidden_layer_dims)
        ]
        self._dropout = keras.layers.Dropout(model.dropout)
        self._projection = keras.layers.Dense(output_dim, name="projection")

    def table(self, feature_name: str) -> keras.Variable:
        """The embeddings of a feature's ids, float32 [rows, embedding_dim].

        Raises:
          KeyError: if there is no such feature.
        """
        for embedding in self._embeddings:
            if feature_name in embedding.tables:
                return embedding.tables[feature_name]
        raise KeyError(feature_name)

    def call(
        self,
        inputs: Mapping[str, tf.Tensor],
        training: bool = False,
        every_step: bool = False,
    ) -> tf.Tensor:
        """Encodes.

        Args:
          inputs: by feature name, ids (int32 or int64) or values (float32) of shape
            [batch, feature_length].
          training: whether dropout applies.
          every_step: whether the context up to each step is wanted; the activity groups
            then have as many steps as each other.

        Returns:
          float32 [batch, output_dim]; or [batch, steps, output_dim].
        """
        encodings = []
        for index, (embed, encode) in enumerate(
            zip(self._embeddings, self._encoders, strict=True)
        ):
            values, mask = embed(inputs)
            values = self._dropout(values, training=training)
            by_step = every_step and index >= self._num_global
            encoding = encode(values, mask, training=training, every_step=by_step)
            encodings.append(self._norms[index](encoding) if self._norms else encoding)
        if every_step:
            steps = encodings[-1].shape[1]
            encodings = [
                e if e.shape.rank == 3 else tf.repeat(e[:, tf.newaxis], steps, axis=1)
                for e in encodings
            ]
        first = encoding = tf.concat(encodings, axis=-1)
        for cross in self._crosses:
            encoding = cross(first, encoding)
        for layer in self._hidden:
            encoding = layer(self._dropout(encoding, training=training))
        return self._projection(encoding)


def make_encoder(
    kind: int, width: int, model: pb.ModelConfig, name: str
) -> keras.layers.Layer:
    """The encoder of a feature group.

    Args:
      kind: an ``EncoderType``.
      width: of the group's embedded steps.
      model: sizes of the encoders.
      name: of the layer.
    """
    dropout, layer_norm = model.dropout, model.layer_norm
    if kind == pb.BOW:
        return BowEncoder(model.bow_layer_dims, dropout, name=f"{name}_bow")
    if kind == pb.CNN:
        return CnnEncoder(
            _num_filters(width, model),
            int(model.conv_kernel_size),
            dropout,
            layer_norm,
            name=f"{name}_cnn",
        )
    if kind == pb.LSTM:
        return LstmEncoder(
            int(model.lstm_num_units),
            int(model.lstm_num_layers),
            dropout,
            layer_norm,
            name=f"{name}_lstm",
        )
    if kind == pb.GRU:
        return GruEncoder(
            int(model.gru_num_units),
            int(model.gru_num_layers),
            dropout,
            layer_norm,
            name=f"{name}_gru",
        )
    if kind == pb.TRANSFORMER:
        return TransformerEncoder(
            int(model.transformer_num_units),
            int(model.transformer_num_layers),
            int(model.transformer_num_heads),
            dropout,
            name=f"{name}_transformer",
        )
    raise ValueError(f"no encoder for this EncoderType. Received: {kind}")


def encoding_width(kind: int, width: int, model: pb.ModelConfig) -> int:
    """Width of the encoding that `make_encoder`'s encoder gives."""
    widths: dict[int, int] = {
        pb.BOW: [width, *model.bow_layer_dims][-1],
        pb.CNN: _num_filters(width, model)[-1],
        pb.LSTM: model.lstm_num_units,
        pb.GRU: model.gru_num_units,
        pb.TRANSFORMER: model.transformer_num_units,
    }
    return widths[kind]


def _num_filters(width: int, model: pb.ModelConfig) -> list[int]:
    return [int(ratio) * width for ratio in features.conv_num_filter_ratios(model)]


def _is_global(group: pb.FeatureGroup) -> bool:
    return features.role_of(group.features[0].feature_name) == features.USER
