"""The worker: a process in a sandbox that does what needs the ids of the user namespace to be done to files.

It is started as a program of its own (`start_words`), reads an order of jobs from a file and leaves its answer
beside it. It is root there, sees the host's system read-only, and can write only to what it was given. What it
unpacks and copies goes through `tree.Tree`, which nothing in an archive can lead out of.
"""

from __future__ import annotations

import marshal
import os
import sys

from vaggapy.build import jobs
from vaggapy.build.actions import ROOT
from vaggapy.build.jobs import JOB, Apply, Condense, Delete, Duplicate, Flatten, Job, MakeVolume, Measure, Order, Pack
from vaggapy.errors import VaggaError
from vaggapy.record import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

LIBRARIES = "/vagga/python"
ORDER, ANSWER = "order", "answer"
OK, ERROR = "ok", "error"
BEGIN = "import sys; sys.path[:0] = {paths!r}; from vaggapy.build.worker import main; main()"


def libraries() -> tuple[str, ...]:
    """Return the directories that hold our modules and those we use, beside Python's own."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    standard = os.path.dirname(os.__file__)
    found = [own, *(path for path in sys.path if path != standard and not path.startswith(f"{standard}/lib-"))]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in found if os.path.isdir(path)))


def start_words() -> tuple[str, ...]:
    """Return the command line of the worker: this interpreter, with the same modules at places of their own.

    Their own, because a checkout or a virtual environment may lie where the sandbox shows something else.
    """
    paths = [f"{LIBRARIES}/{number}" for number in range(len(libraries()))]
    return (os.path.realpath(sys.executable), "-IS", "-c", BEGIN.format(paths=paths))


def write_order(directory: str, order: Order) -> None:
    """Leave an order in the job directory, as seen from the host; an answer from before is taken away."""
    try:
        os.unlink(f"{directory}/{ANSWER}")
    except FileNotFoundError:
        pass
    with open(f"{directory}/{ORDER}", "wb") as file:
        marshal.dump(pack(order), file)


def read_answer(directory: str) -> dict[str, str]:
    """Return what the worker found out; the job directory is a host path.

    Raises:
        VaggaError: what went wrong, in the words of the worker.
        EOFError, OSError, ValueError: it did not come to an answer.
    """
    with open(f"{directory}/{ANSWER}", "rb") as file:
        kind, content = marshal.load(file)
    if kind == ERROR:
        raise VaggaError(*content)
    facts: dict[str, str] = content
    return facts


def main() -> NoReturn:
    """Do what the order says; the exit status tells whether it worked."""
    os.umask(0o022)
    with open(f"{JOB}/{ORDER}", "rb") as file:
        order: Order = unpack(marshal.load(file), jobs.CLASSES)
    facts: dict[str, str] = {}
    try:
        for job in order.jobs:
            facts.update(_do(job))
        answer = (OK, facts)
    except VaggaError as error:
        answer = (ERROR, (error.what, error.remedy, error.name, error.code))  # type: ignore[assignment]
    except OSError as error:
        place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        what = f"{place}: {error.strerror}" if place else str(error.strerror or error)
        answer = (ERROR, (what, "", "build-files", 0))  # type: ignore[assignment]
    with open(f"{JOB}/{ANSWER}", "wb") as file:
        marshal.dump(answer, file)
    sys.stdout.flush()
    os._exit(answer[0] != OK)


def _do(job: Job) -> dict[str, str]:
    """Do one job; return what it found out."""
    from vaggapy.build import tree  # in the worker only

    match job:
        case Apply(wanted, single_id, find_out):
            with tree.Tree(ROOT) as root:
                for action in wanted:
                    tree.carry_out(action, root, single_id)
                return _release(root) if find_out else {}
        case Delete(paths):
            for path in paths:
                tree.delete(path)
        case Measure(paths):
            from vaggapy.build import measure  # in the worker, for cleaning only

            return {str(number): str(count) for number, count in enumerate(measure.freed(paths))}
        case MakeVolume(path, uid, gid):
            os.mkdir(path, 0o755)
            os.chown(path, uid, gid)
        case _:
            _do_with_layers(job)
    return {}


def _do_with_layers(job: Job) -> None:
    """Do a job with whole trees."""
    from vaggapy.build import layers  # in the worker only

    match job:
        case Flatten(sources, target):
            layers.flatten(sources, target)
        case Duplicate(source, target):
            layers.copy_tree(source, target)
        case Condense(made, previous, target):
            layers.link_unchanged(made, previous, target)
        case Pack(root, target, compression):
            from vaggapy.build import pack as packing  # the same

            packing.pack(root, target, compression)
        case _:
            raise AssertionError(f"{type(job).__name__} is no job with whole trees")


def _release(root: object) -> dict[str, str]:
    """Return the variables of os-release in the tree, and the users, for images that name one."""
    from vaggapy.build.tree import Tree  # in the worker only

    assert isinstance(root, Tree)
    facts: dict[str, str] = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            text = root.read(path).decode("utf-8", "replace")
        except OSError:
            continue
        for line in text.splitlines():
            name, equals, value = line.partition("=")
            if equals:
                facts[name] = value.strip().strip("\"'")
        break
    return facts
