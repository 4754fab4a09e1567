"""What an image says about the programs in it: its configuration, with its user looked up in its own files."""

from __future__ import annotations

import os
import stat

from vaggapy.build.image_cache import read_image
from vaggapy.build.images.manifest import defaults, platform
from vaggapy.build.images.reference import parse
from vaggapy.errors import CommandError
from vaggapy.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.context import Machine
    from vaggapy.config.model import Step


VARIABLE = "environ "
INSIDE = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS
LARGEST = 4 << 20


def settings(step: Step, cache: str, machine: Machine) -> dict[str, str]:
    """Return `environ NAME`, `directory` and `user` of the image of a step, those that the step lets through."""
    image = read_image(cache, str(parse(str(step.values["image"]))), platform(machine.architecture))
    if image is None:
        return {}
    offered = defaults(image.config)
    found: dict[str, str] = {}
    if step.values.get("env", True):
        found.update((f"{VARIABLE}{name}", value) for name, value in offered.environ.items())
    if step.values.get("work_dir") and offered.work_dir:
        found["directory"] = offered.work_dir
    if step.values.get("user") and offered.user:
        found["user"] = offered.user
    return found


def with_ids(settings: dict[str, str], root: str, container: str) -> dict[str, str]:
    """Return the settings with `uid` and `gid` for `user`, looked up in the finished root, a host path.

    Raises:
        CommandError: the image wants a user that it does not have.
    """
    if not settings.get("user"):
        return settings
    user, _, group = settings["user"].partition(":")
    uid, own = _entry(user, root, "etc/passwd", container)
    gid = _entry(group, root, "etc/group", container)[0] if group else own
    return {**settings, "uid": uid, "gid": gid}


def _entry(name: str, root: str, path: str, container: str) -> tuple[str, str]:
    """Return the id of a user or group, and the fourth field of its line: a user's group."""
    for line in _lines(root, path):
        fields = line.split(":")
        if len(fields) > 3 and name in (fields[0], fields[2]) and fields[2].isdigit():
            return fields[2], fields[3] if fields[3].isdigit() else "0"
    if name.isdigit():
        return name, "0"
    raise CommandError(
        f"container {container}: the image wants '{name}', which {os.path.basename(path)} in it does not have",
        "take `user: true` away and write user-id in the commands",
        "image-user",
    )


def _lines(root: str, path: str) -> list[str]:
    """Return the lines of a file of the image, none where it is not a plain file; links stay in the image."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = linux.openat2(top, path, os.O_RDONLY | os.O_NONBLOCK, resolve=INSIDE)
    except OSError:
        return []
    finally:
        os.close(top)
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read(LARGEST).splitlines() if stat.S_ISREG(os.fstat(fd).st_mode) else []
