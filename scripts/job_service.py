"""Beam's own job service, with as many workers as a job's --direct_num_workers says.

What comes with Beam takes one worker for a job, whatever its options. Needs Beam alone:

    python scripts/job_service.py --port=8099
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability import local_job_service_main
from apache_beam.runners.portability.fn_api_runner import fn_runner


class _Runner(fn_runner.FnApiRunner):
    """What the service runs each job with."""

    def run_via_runner_api(self, pipeline_proto: Any, options: PipelineOptions) -> Any:
        # Numbers have come as text.
        workers = int(options.view_as(DirectOptions).direct_num_workers)
        self._num_workers = max(workers, 1)
        return super().run_via_runner_api(pipeline_proto, options)


def main() -> None:
    """Serves until it is told to end; the options are those of Beam's own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO)
    # A class is no variable to the type checker; Beam offers no other way in.
    fn_runner.FnApiRunner = _Runner  # type: ignore[misc]
    local_job_service_main.run([local_job_service_main.__file__, *sys.argv[1:]])


if __name__ == "__main__":
    main()
