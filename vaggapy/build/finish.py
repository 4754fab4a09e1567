"""The end of a build: what is taken away and what every root must have. Pure.

Source: vagga.md 7.2, "End-of-build sequence". Differs: `/etc/resolv.conf` and `/etc/hosts` that are links, or are
missing, become empty files, so that the host's can be seen there at run time; lists of packages are not written
beside the root, because the root has them (`dpkg -l`, `apk info -vv`).
"""

from __future__ import annotations

from vaggapy.build.actions import Action, Empty, KeepOnly, MakeDirectory, Remove, WriteFile
from vaggapy.build.packages import finished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.context import Context
    from vaggapy.config.model import Container

TEMPORARY = ("/tmp", "/var/tmp")
SYSTEM = (("/dev", 0o755), ("/proc", 0o755), ("/run", 0o755), ("/sys", 0o755), ("/tmp", 0o1777), ("/work", 0o755))


def finish(context: Context, container: Container) -> tuple[Action, ...]:
    """Return what is done after the last step of a container."""
    actions = [*finished(context)]
    for path in dict.fromkeys((container.resolv_conf_path, container.hosts_file_path)):
        if path:
            actions += (Remove(path), WriteFile(path, "", parents=True))
    actions += (Remove(path) for path in context.removed)
    actions += (Empty(path) for path in dict.fromkeys((*TEMPORARY, *context.emptied)))
    actions += (MakeDirectory(path, mode) for path, mode in SYSTEM)
    actions += (MakeDirectory(path) for path in context.ensured)
    if container.data_dirs:
        actions.append(KeepOnly(container.data_dirs))
    return tuple(actions)
