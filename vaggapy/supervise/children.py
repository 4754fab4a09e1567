"""What the loop keeps of each child, and the small translations around it."""

from __future__ import annotations

import os

from vaggapy.record import replace, unpack
from vaggapy.sandbox.run import SPEC_CLASSES
from vaggapy.sandbox.spec import TERMINAL, TERMINALS, HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vaggapy.errors import SandboxError
    from vaggapy.sandbox.channel import Channel
    from vaggapy.sandbox.explain import Found
    from vaggapy.sandbox.spec import Failure, Launch
    from vaggapy.supervise.stage import ChildPlan

SIGKILL = 9


class Live:
    """One incarnation of a child that was asked for and is not over. It owns its descriptors.

    `status`: raw wait status of its command, -1 while unknown; a child that ends without one was killed with its
    PID 1.
    """

    __slots__ = (
        "control",
        "failure",
        "incarnation",
        "name",
        "number",
        "pid",
        "pidfd",
        "running",
        "status",
    )

    def __init__(self, number: int, name: str, incarnation: int) -> None:
        """Note who it is; `number` is that of the request."""
        self.number = number
        self.name = name
        self.incarnation = incarnation
        self.pid = 0
        self.pidfd = -1
        self.control: Channel | None = None
        self.running = False
        self.status = -1
        self.failure: Failure | None = None

    def note_failure(self, packed: Any) -> None:
        """Keep what the PID 1 said of its failure."""
        self.failure = unpack(packed, SPEC_CLASSES)


def exit_of(status: int) -> tuple[int, int, bool]:
    """Return (exit code, signal, whether a core was dumped) of a raw wait status; none at all means SIGKILL."""
    if status < 0:
        return 0, SIGKILL, False
    if os.WIFSIGNALED(status):
        return 0, os.WTERMSIG(status), os.WCOREDUMP(status)
    return os.WEXITSTATUS(status), 0, False


def launch_of(plan: ChildPlan, columns: int, streams: str, settings: bytes) -> Launch:
    """Return what to launch, with the width and the settings of its terminals."""
    launch = plan.launch
    if streams == TERMINALS:
        return replace(launch, program=replace(launch.program, columns=columns))
    if streams == TERMINAL:
        return replace(launch, program=replace(launch.program, settings=settings))
    return launch


def why_not_started(failure: Failure, launch: Launch) -> SandboxError:
    """Explain a failure, with a look at the host for what is missing: it may be there and only hidden."""
    from vaggapy.sandbox.explain import (
        Found,  # the same
        failed_child,  # only where something fails
    )

    root = launch.sandbox.root
    if not isinstance(root, HostRoot):
        return failed_child(failure, root, Found())  # What the host has says nothing of what an image lacks.
    missing = failure.target if failure.step in ("interpreter", "chdir") else failure.source
    found = _find_on_host(missing, launch.program.environ.get("PATH", ""))
    targets = tuple(mount.target for mount in launch.sandbox.mounts)
    return failed_child(failure, root, replace(found, visible=(launch.sandbox.project, *root.exposed, *targets)))


def _find_on_host(name: str, program_path: str) -> Found:
    """Look for an absolute path, or for a bare name in the caller's own PATH and in the program's."""
    from vaggapy.sandbox.explain import Found  # only where something fails

    if "/" in name:
        return Found(name, os.path.realpath(name)) if name.startswith("/") and os.path.exists(name) else Found()
    for place in f"{os.environ.get('PATH', '')}:{program_path}".split(":"):
        path = os.path.join(place, name)
        if name and place.startswith("/") and os.access(path, os.X_OK):
            return Found(path, os.path.realpath(path))
    return Found()
