"""Why a child could not be started, for people; imported only where that happens."""

from __future__ import annotations

import os

from vaggapy.record import replace
from vaggapy.sandbox.explain import Found, failed_child
from vaggapy.sandbox.spec import HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.errors import SandboxError
    from vaggapy.sandbox.spec import Failure, Launch


def why_not_started(failure: Failure, launch: Launch) -> SandboxError:
    """Explain a failure, with a look at the host for what is missing: it may be there and only hidden."""
    root = launch.sandbox.root
    if not isinstance(root, HostRoot):
        return failed_child(failure, root, Found())  # What the host has says nothing of what an image lacks.
    missing = failure.target if failure.step in ("interpreter", "chdir") else failure.source
    found = _find_on_host(missing, launch.program.environ.get("PATH", ""))
    targets = tuple(mount.target for mount in launch.sandbox.mounts)
    return failed_child(failure, root, replace(found, visible=(launch.sandbox.project, *root.exposed, *targets)))


def _find_on_host(name: str, program_path: str) -> Found:
    """Look for an absolute path, or for a bare name in the caller's own PATH and in the program's."""
    if "/" in name:
        return Found(name, os.path.realpath(name)) if name.startswith("/") and os.path.exists(name) else Found()
    for place in f"{os.environ.get('PATH', '')}:{program_path}".split(":"):
        path = os.path.join(place, name)
        if name and place.startswith("/") and os.access(path, os.X_OK):
            return Found(path, os.path.realpath(path))
    return Found()
