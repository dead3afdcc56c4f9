"""``python -m pocketrec_device FOLDER``: tries a bundle on this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from pocketrec_device import BundleError, Recommender

_DESCRIPTION = """\
Try a bundle on this machine: compare its files with their hashes, load its model, and
let it answer the canary, a request whose right answer stands in the bundle."""
_EPILOG = """\
It prints one line and ends with 0 if the answer is as it should be; with 1 if not, or
if the bundle is broken or has no canary.

examples:
  python -m pocketrec_device pushed/
  python -m pocketrec_device pushed/versions/2/bundle"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
      arguments: of the command line; those of the process unless given.

    Returns:
      The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pocketrec_device",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="a bundle, or a push destination, whose current version is taken",
    )
    folder = parser.parse_args(arguments).folder
    try:
        with _native_noise_hidden():
            recommender = Recommender(folder)
            recommender.self_test()
    except BundleError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    bundle = recommender.bundle
    version = (
        "not pushed yet" if bundle.version is None else f"version {bundle.version}"
    )
    size = sum(entry.size for entry in bundle.files.values())
    print(
        f"{bundle.name}, {version}, {len(bundle.items):,} items, {size:,} bytes: "
        "answers as it should"
    )
    return 0


@contextlib.contextmanager
def _native_noise_hidden() -> Iterator[None]:
    """LiteRT tells about its delegates on file descriptor 2."""
    sys.stderr.flush()
    terminal = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


if __name__ == "__main__":
    sys.exit(main())
