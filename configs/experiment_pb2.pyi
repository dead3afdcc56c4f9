from configs import recommender_pb2 as _recommender_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Axis(_message.Message):
    __slots__ = ["name", "values"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedCompositeFieldContainer[AxisValue]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[_Union[AxisValue, _Mapping]]] = ...) -> None: ...

class AxisValue(_message.Message):
    __slots__ = ["label", "set"]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    label: str
    set: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, label: _Optional[str] = ..., set: _Optional[_Iterable[str]] = ...) -> None: ...

class Experiment(_message.Message):
    __slots__ = ["axes", "config", "learning_rates", "metric", "name", "seeds", "set", "x_axis"]
    AXES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATES_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    X_AXIS_FIELD_NUMBER: _ClassVar[int]
    axes: _containers.RepeatedCompositeFieldContainer[Axis]
    config: str
    learning_rates: _containers.RepeatedScalarFieldContainer[float]
    metric: str
    name: str
    seeds: _containers.RepeatedScalarFieldContainer[int]
    set: _containers.RepeatedScalarFieldContainer[str]
    x_axis: str
    def __init__(self, name: _Optional[str] = ..., config: _Optional[str] = ..., set: _Optional[_Iterable[str]] = ..., axes: _Optional[_Iterable[_Union[Axis, _Mapping]]] = ..., seeds: _Optional[_Iterable[int]] = ..., learning_rates: _Optional[_Iterable[float]] = ..., metric: _Optional[str] = ..., x_axis: _Optional[str] = ...) -> None: ...
