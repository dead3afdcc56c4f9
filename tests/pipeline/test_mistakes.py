"""A user's mistake is found whatever it was wrapped in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from configs.errors import UserError
from pipeline.mistakes import user_error


def raised(*errors: Exception) -> Exception:
    """The last error, caused by the one before it, and so on."""
    for cause, error in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


def test_the_mistake_itself_and_one_that_was_wrapped() -> None:
    mistake = UserError("ratings.dat, line 3: no number")
    assert user_error(mistake) is mistake
    assert user_error(raised(mistake, ValueError("a"), RuntimeError("b"))) is mistake


def test_what_is_no_mistake_of_the_user() -> None:
    assert user_error(None) is None
    assert user_error(raised(KeyError("a"), RuntimeError("UserError: b"))) is None
    assert user_error(RuntimeError("my.configs.errors.UserError: b")) is None


def test_a_mistake_in_a_worker_that_arrives_as_text() -> None:
    text = """Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1495, in process
configs.errors.UserError: no column 'd': e

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
configs.errors.UserError: no column 'd': e [while running '[b]'] [while running 'a']
"""
    assert str(user_error(RuntimeError(text))) == "no column 'd': e"


@pytest.mark.parametrize("method", ["setup", "process"])
def test_a_mistake_in_a_real_worker(method: str) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from components.timeline_example_gen.generate import DEFAULT_BEAM_ARGS

    message = "the .tflite gate, a [b] 'c': no column d: e"

    class Fails(beam.DoFn):
        def setup(self) -> None:
            if method == "setup":
                raise UserError(message)

        def process(self, element: int) -> Iterator[int]:
            raise UserError(message)
            yield

    options = PipelineOptions(list(DEFAULT_BEAM_ARGS))
    with pytest.raises(Exception) as error, beam.Pipeline(options=options) as pipeline:
        _ = pipeline | beam.Create([1]) | "Do [this]" >> beam.ParDo(Fails())
    assert "Do [this]" in str(error.value)
    assert str(user_error(error.value)) == message
