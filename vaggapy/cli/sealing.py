"""Make `.vagga` of the project read-only in what runs: vagga trusts what is in there, whoever's program runs.

A program could else put a link in the place of a root or a log, and the next build would write through it.
"""

from __future__ import annotations

from vaggapy.build import trust
from vaggapy.record import replace
from vaggapy.sandbox.spec import Bind, HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.plan import Plan
    from vaggapy.sandbox.spec import Sandbox
    from vaggapy.supervise.stage import ChildPlan


def sealed(plan: Plan, directory: str) -> Plan:
    """Return the plan with the project's `.vagga` read-only wherever a child sees the project; without one, as it is.

    Volumes that are kept there are mounted on their own, and stay writable.
    """
    if not trust.is_directory(f"{directory}/.vagga"):
        return plan
    stages = tuple(replace(stage, children=tuple(map(_sealed, stage.children))) for stage in plan.stages)
    return replace(plan, stages=stages)


def _sealed(child: ChildPlan) -> ChildPlan:
    sandbox = child.launch.sandbox
    mounts = tuple(sorted((*sandbox.mounts, *_seals(sandbox)), key=lambda mount: mount.target))
    return replace(child, launch=replace(child.launch, sandbox=replace(sandbox, mounts=mounts)))


def _seals(sandbox: Sandbox) -> tuple[Bind, ...]:
    """Return the mounts that are missing: where the project is seen by itself, and where a volume shows all of it."""
    found = trust.sealed(sandbox.project, isinstance(sandbox.root, HostRoot))
    volumes = [mount for mount in sandbox.mounts if isinstance(mount, Bind) and not mount.read_only]
    whole = [mount.target for mount in volumes if mount.source.rstrip("/") == sandbox.project.rstrip("/")]
    found += tuple(Bind(found[0].source, f"{target.rstrip('/')}/{trust.NAME}") for target in whole if found)
    return tuple(seal for seal in found if not any(mount.target == seal.target for mount in sandbox.mounts))
