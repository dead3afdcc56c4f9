"""The entry that Beam's --setup_file needs; everything else is in pyproject.toml."""

from setuptools import setup

setup()
