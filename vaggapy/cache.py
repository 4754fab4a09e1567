"""The bound Project, so that an unchanged vagga.yaml costs no parsing. Nothing is kept yet: every load is a miss.

A miss is read in a process of its own: the parser's memory would make every later fork dearer, and hostile
input can at worst end that process.
"""

from __future__ import annotations

import marshal

from vaggapy import errors
from vaggapy.config import model
from vaggapy.config.load import Found, find, read_project
from vaggapy.errors import ConfigError, ExitCode, VaggaError
from vaggapy.record import pack, records, unpack
from vaggapy.sandbox.run import call_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.config.model import Project

CLASSES = {**records(vars(model)), **records(vars(errors))}


def load(directory: str, file: str | None) -> Project:
    """Return the project of a directory, or the one that `-f FILE` names.

    Raises:
        VaggaError: not found, or wrong; with every mistake.
    """
    return _read(find(directory, file))


def _read(found: Found) -> Project:
    """Parse and bind in a forked process."""
    data, status = call_in_child(lambda: _compile(found))
    if status or not data:
        raise VaggaError(
            f"{found.file}: the parser gave up (wait status {status})",
            "the file is too large or too deeply nested: make it smaller",
            "config-too-large",
            ExitCode.CONFIG,
        )
    kind, packed = marshal.loads(data)
    if kind == "problems":
        raise ConfigError(unpack(packed, CLASSES))
    if kind == "error":
        what, remedy, name, code = packed
        raise VaggaError(what, remedy, name, code)
    project: Project = unpack(packed, CLASSES)
    return project


def _compile(found: Found) -> bytes:
    """Read the project; return it, or what is wrong, as bytes."""
    try:
        loaded = read_project(found)
    except ConfigError as error:
        return marshal.dumps(("problems", pack(error.problems)))
    except VaggaError as error:
        return marshal.dumps(("error", (error.what, error.remedy, error.name, error.code)))
    return marshal.dumps(("project", pack(loaded.project)))
