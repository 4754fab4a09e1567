"""Which ids a run has: arithmetic on ranges (pure), and the writing of the maps.

Inside, 0 is the caller. Further ids come from /etc/subuid and /etc/subgid through newuidmap and newgidmap;
for uid 0 from what this process itself was given. Without ranges there is just id 0: most containers need no more.
"""

from __future__ import annotations

import os

from vaggapy.record import Record
from vaggapy.sandbox.spec import Extent, IdMaps

PROGRAMS = ("newuidmap", "newgidmap")
PROGRAM_PLACES = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin")
JOB_CONTROL = (20, 21, 22)  # TSTP TTIN TTOU


class MapError(Exception):
    """The kernel did not take a map: `step` is the file, `errno` the cause."""

    def __init__(self, step: str, errno: int) -> None:
        """Keep both."""
        super().__init__(f"{step}: {os.strerror(errno)}")
        self.step = step
        self.errno = errno


class Ranges(Record):
    """Ids that the caller may use beyond its own, as extents of this namespace (`inside` is unused, 0)."""

    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]


def parse_sub_ids(text: str, user: str, uid: int) -> tuple[Extent, ...]:
    """Return the ranges of one account in the text of /etc/subuid or /etc/subgid, subuid(5).

    Lines count for the account's name or its number; those that cannot be read are passed over.
    """
    found = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (user, str(uid)) and fields[1].isdigit() and fields[2].isdigit():
            extent = Extent(0, int(fields[1]), int(fields[2]))
            if extent.count and extent not in found:
                found.append(extent)
    return tuple(found)


def parse_own_map(text: str) -> tuple[Extent, ...]:
    """Return the extents of /proc/self/uid_map or gid_map."""
    return tuple(Extent(*map(int, line.split())) for line in text.splitlines() if line.strip())


def stack(own: int, ranges: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """Return the map `0 -> own`, then the ranges from id 1 upwards."""
    extents = [Extent(0, own, 1)]
    next_inside = 1
    for extent in ranges:
        extents.append(Extent(next_inside, extent.outside, extent.count))
        next_inside += extent.count
    return tuple(extents)


def identity(extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """Return the map that keeps every id of a namespace, extent by extent, for one nested in it."""
    return tuple(Extent(extent.inside, extent.inside, extent.count) for extent in extents)


def first_missing(first: int, last: int, extents: tuple[Extent, ...]) -> int:
    """Return the lowest id of `first .. last` that a namespace does not have inside, -1 if it has all."""
    for extent in sorted(extents, key=lambda extent: extent.inside):
        if extent.inside <= first < extent.inside + extent.count:
            first = extent.inside + extent.count
    return first if first <= last else -1


def joined(extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """Return what a namespace has inside, with extents that touch as one; where they lead to is not told."""
    found: list[Extent] = []
    for extent in sorted(extents, key=lambda extent: extent.inside):
        if found and found[-1].inside + found[-1].count == extent.inside:
            found[-1] = Extent(found[-1].inside, 0, found[-1].count + extent.count)
        else:
            found.append(Extent(extent.inside, 0, extent.count))
    return tuple(found)


def map_text(extents: tuple[Extent, ...]) -> bytes:
    """Return the text that uid_map and gid_map take."""
    return b"".join(b"%d %d %d\n" % (extent.inside, extent.outside, extent.count) for extent in extents)


def nested_maps(maps: IdMaps) -> IdMaps:
    """Return the maps of a child's namespace below the run's."""
    return IdMaps(identity(maps.uids), identity(maps.gids), maps.setgroups)


def only_user(maps: IdMaps, uid: int, outside: int) -> IdMaps:
    """Return maps in which `uid` is the only user, `outside` in the parent; unchanged if `outside` is -1."""
    return maps if outside < 0 else IdMaps((Extent(uid, outside, 1),), maps.gids, maps.setgroups)


def wanted_maps(uid: int, gid: int, user: str) -> IdMaps:
    """Return the widest maps that the caller may hope for; `write_maps` finds out whether it gets them."""
    if uid == 0:
        allowed = _read("setgroups").strip() != "deny"
        return IdMaps(identity(parse_own_map(_read("uid_map"))), identity(parse_own_map(_read("gid_map"))), allowed)
    uids = parse_sub_ids(_read("/etc/subuid"), user, uid)
    gids = parse_sub_ids(_read("/etc/subgid"), user, uid)
    if not uids or not gids or not all(find_program(name) for name in PROGRAMS):
        return single_maps(uid, gid)
    return IdMaps(stack(uid, uids), stack(gid, gids))


def single_maps(uid: int, gid: int) -> IdMaps:
    """Return the maps that every caller may write: itself as 0, and nobody else."""
    return IdMaps((Extent(0, uid, 1),), (Extent(0, gid, 1),), setgroups=False)


def find_program(name: str) -> str:
    """Return the path of newuidmap or newgidmap, or "". The caller's PATH is not asked: they are setuid."""
    for place in PROGRAM_PLACES:
        path = f"{place}/{name}"
        if os.access(path, os.X_OK):
            return path
    return ""


def write_maps(pid: int, wanted: IdMaps, uid: int, gid: int) -> IdMaps:
    """Write the maps of `pid`, a child of this process in a new user namespace; return what it got.

    Falls back to single ids where ranges are refused.

    Raises:
        MapError: not even those were taken.
    """
    number = number_in_proc(pid)
    if wanted.setgroups or uid == 0:
        try:
            if uid == 0:
                write_directly(number, wanted)
            else:
                _write_by_programs(number, wanted)
            return wanted
        except MapError:
            pass
    single = single_maps(uid, gid)
    write_directly(number, single)
    return single


def number_in_proc(pid: int) -> int:
    """Return the number of a child in /proc, which may be an outer one that counts differently: fdinfo knows."""
    fd = os.pidfd_open(pid)
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            for line in file:
                if line.startswith(b"Pid:"):
                    return int(line.split()[1])
    except OSError:
        pass  # There is no /proc at all; whoever writes there will say so.
    finally:
        os.close(fd)
    return pid


def write_directly(number: int, maps: IdMaps) -> None:
    """Write the maps of the process with this number in /proc; what is already written is kept.

    Raises:
        MapError: the kernel said no, with the file and the errno.
    """
    process = f"/proc/{number}"
    if not maps.setgroups:
        _write_file(process, "setgroups", b"deny")
    for name, extents in (("gid_map", maps.gids), ("uid_map", maps.uids)):
        if not _is_written(process, name):
            _write_file(process, name, map_text(extents))


def _is_written(process: str, name: str) -> bool:
    """Return whether a map has content; a map can be written only once."""
    try:
        with open(f"{process}/{name}", "rb") as file:
            return bool(file.read(1))
    except OSError as error:
        raise MapError(name, error.errno or 0) from error


def _write_file(process: str, name: str, content: bytes) -> None:
    try:
        fd = os.open(f"{process}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)
    except OSError as error:
        if name == "setgroups" and error.errno == 1:
            return  # Already denied by an outer namespace or by an earlier try.
        raise MapError(name, error.errno or 0) from error


def _write_by_programs(number: int, maps: IdMaps) -> None:
    """Run newuidmap and newgidmap side by side: half the time of one after the other.

    Ctrl+Z does not stop them: we wait for them, and stop by ourselves afterwards.
    """
    running = []
    failed: MapError | None = None
    silence = [(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
    for name, extents in (("newuidmap", maps.uids), ("newgidmap", maps.gids)):
        words = [name, str(number)]
        for extent in extents:
            words += [str(extent.inside), str(extent.outside), str(extent.count)]
        try:
            path = find_program(name)
            running.append((name, os.posix_spawn(path, words, {}, file_actions=silence, setsigmask=JOB_CONTROL)))
        except OSError as error:
            failed = failed or MapError(name, error.errno or 0)
    statuses = [(name, os.waitpid(child, 0)[1]) for name, child in running]
    for name, status in statuses:
        if status:
            failed = failed or MapError(name, 1)
    if failed is not None:
        raise failed


def _read(path: str) -> str:
    """Return the text of a file, of /proc/self where the path is a bare name; "" if it cannot be read."""
    try:
        with open(path if path.startswith("/") else f"/proc/self/{path}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
