"""The context side: from the user's features and last activities to one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

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

    The encodings of the groups are concatenated and go through Dense layers with ReLU
    and a linear projection; a ReLU there would leave one corner of the space.

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
        **kwargs: object,
    ) -> None:
        """Makes the layer.

        Args:
          groups: the feature groups, at least one.
          rows: by feature name, ids of each STRING and INT feature, padding included.
          output_dim: width of the result.
          model: sizes of the encoders and of the hidden layers.
          scalings: by feature name, of FLOAT features.
          **kwargs: of `keras.layers.Layer`.

        Raises:
          ValueError: if there is no group.
        """
        super().__init__(**kwargs)
        if not groups:
            raise ValueError("a context has at least one feature group. Received: []")
        model = pb.ModelConfig() if model is None else model
        self._embeddings = [
            FeatureGroupEmbedding(
                group, rows, scalings, name=f"group_{index}_embedding"
            )
            for index, group in enumerate(groups)
        ]
        self._encoders = [
            make_encoder(group.encoder_type, embedding.width, model, f"group_{index}")
            for index, (group, embedding) in enumerate(
                zip(groups, self._embeddings, strict=True)
            )
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
        self._projection = keras.layers.Dense(output_dim, name="projection")

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Encodes.

        Args:
          inputs: by feature name, ids (int32 or int64) or values (float32) of shape
            [batch, feature_length].

        Returns:
          float32 [batch, output_dim].
        """
        encodings = []
        for embed, encode in zip(self._embeddings, self._encoders, strict=True):
            values, mask = embed(inputs)
            encodings.append(encode(values, mask))
        encoding = tf.concat(encodings, axis=-1)
        for layer in self._hidden:
            encoding = layer(encoding)
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
    if kind == pb.BOW:
        return BowEncoder(name=f"{name}_bow")
    if kind == pb.CNN:
        ratios = model.conv_num_filter_ratios or features.DEFAULT_CONV_NUM_FILTER_RATIOS
        filters = [int(ratio) * width for ratio in ratios]
        return CnnEncoder(filters, int(model.conv_kernel_size), name=f"{name}_cnn")
    if kind == pb.LSTM:
        return LstmEncoder(int(model.lstm_num_units), name=f"{name}_lstm")
    if kind == pb.GRU:
        return GruEncoder(int(model.gru_num_units), name=f"{name}_gru")
    if kind == pb.TRANSFORMER:
        return TransformerEncoder(
            int(model.transformer_num_units),
            int(model.transformer_num_layers),
            int(model.transformer_num_heads),
            name=f"{name}_transformer",
        )
    raise ValueError(f"no encoder for this EncoderType. Received: {kind}")
