"""Find the steps: every module of `build/steps` is one."""

from __future__ import annotations

import importlib
import os

from vaggapy.build import steps
from vaggapy.build.kind import Kind
from vaggapy.config.shapes import Shape


def kinds() -> dict[str, Kind]:
    """Return every kind of step by its tag."""
    found = {}
    files = {name for path in steps.__path__ for name in os.listdir(path)}
    for module in sorted(name.removesuffix(".py") for name in files if name.endswith(".py") and name != "__init__.py"):
        loaded = importlib.import_module(f"{steps.__name__}.{module}")
        for kind in (loaded.KIND,) if isinstance(loaded.KIND, Kind) else loaded.KIND:
            found[kind.shape.tag] = kind
    return found


def shapes() -> dict[str, Shape]:
    """Return how each step is written, by its tag."""
    return {tag: kind.shape for tag, kind in kinds().items()}
