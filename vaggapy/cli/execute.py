"""Run a plan: one spawner for all of it, one loop for each stage, and what people and programs are told."""

from __future__ import annotations

import _socket
import os
import time

from vaggapy.errors import ExitCode, VaggaError, one_line, visible
from vaggapy.sandbox import operations, run
from vaggapy.supervise import messages
from vaggapy.supervise.loop import Loop
from vaggapy.supervise.output import Outlet, outlets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.cli.argv import Options
    from vaggapy.host import Host
    from vaggapy.plan import Plan
    from vaggapy.sandbox.spec import Sandbox
    from vaggapy.supervise.events import Told
    from vaggapy.supervise.signals import Signals
    from vaggapy.supervise.stage import Listen, Stage

BACKLOG = 128
DESCRIPTORS_EACH = 6  # of ours, for each child: control, pidfd, two streams, readiness, outputs
USUAL_LIMIT = 200  # children below which the usual limit of 1024 descriptors is enough


def execute(
    plan: Plan, host: Host, options: Options, signals: Signals, spawner: run.Spawner, keep: Callable[[Stage], None]
) -> int:
    """Run the stages in their order until one fails; return the exit code of the last that ran.

    The spawner, which has been told to begin, is stopped at the end. `keep(stage)` is called when a stage was good.

    Raises:
        VaggaError: the sandbox is refused, a socket cannot be bound, and the like; nothing is left running.
    """
    records, status = _status_writer(options.status_fd)
    spawner.ready()
    _raise_limit(max(len(stage.children) for stage in plan.stages))
    out, err = outlets()
    if options.verbose or host.environ.get("VAGGA_LOG"):
        err.write(_diagnostics(plan, spawner).encode("utf-8", "replace"))
    colour = _colour(options.color, host)
    code = ExitCode.OK
    try:
        if any(stage.inotify for stage in plan.stages):
            from vaggapy.cli import watching  # only for commands that watch many files

            watching.check(plan, err)
        for stage in plan.stages:
            if not stage.children and stage.rules is not None:
                # A `for-each` without values is complete before it begins.
                err.write(f"vagga: {visible(stage.name)} has no children: no for-each has a value\n".encode())
                continue
            code = _run_stage(stage, spawner, signals, (out, err), status, colour)
            if code:
                for name in stage.fills:
                    why = f"volume {name} is not kept: {stage.name}, which was to fill it, ended with {code}"
                    err.write(f"vagga: {one_line(why, 'the next run begins anew', 'volume-not-kept')}\n".encode())
                break
            keep(stage)
            if stage.epilog:
                out.write(stage.epilog.encode("utf-8", "replace"))
    finally:
        spawner.stop()
        for outlet in dict.fromkeys((out, err, records)):
            if outlet is not None:
                outlet.finish(signals, patient=outlet is not records)
    return code


def _run_stage(
    stage: Stage,
    spawner: run.Spawner,
    signals: Signals,
    places: tuple[Outlet, Outlet],
    status: Callable[[Told], str],
    colour: bool,
) -> int:
    def tell(told: Told) -> str:
        return status(told) + messages.text(told, single=stage.single)

    sockets: dict[str, int] = {}
    if stage.rules is not None:
        signals.take(stage.rules.signals)
    try:
        for child in stage.children:
            if child.listen is not None:
                sockets[child.name] = listen(child.listen)
        return Loop(stage, spawner, signals, places, sockets, tell, colour).run()
    finally:
        if stage.rules is not None:
            signals.take({})
        for fd in sockets.values():
            os.close(fd)


def listen(address: Listen) -> int:
    """Return a listening descriptor for `pass-tcp-socket`.

    Raises:
        VaggaError: the address is taken, not ours, or cannot be resolved.
    """
    what = f"{address.host}:{address.port}"
    try:
        found = _socket.getaddrinfo(address.host, address.port, 0, _socket.SOCK_STREAM, 0, 0)
        family, kind, protocol, _, place = found[0]
        server = _socket.socket(family, kind, protocol)
        server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        server.bind(place)
        server.listen(BACKLOG)
    except OSError as error:
        raise VaggaError(
            f'Error listening "{what}": {error.strerror or error}',
            "end what uses the port, or choose another in pass-tcp-socket",
            "listen",
        ) from error
    return server.detach()


def _diagnostics(plan: Plan, spawner: run.Spawner) -> str:
    """Return what `-v` shows: the ids of the run, and every operation of each distinct sandbox."""
    lines = [f"ids: {map_.inside}..{map_.inside + map_.count - 1} -> {map_.outside}" for map_ in spawner.maps.uids]
    shown: list[Sandbox] = []
    for stage in plan.stages:
        for child in stage.children:
            sandbox = child.launch.sandbox
            lines.append(f"{stage.name}: {child.name}: {' '.join(child.launch.program.words)!r}")
            if sandbox not in shown:
                shown.append(sandbox)
                lines += [f"  shared: {each.describe()}" for each in operations.template(sandbox)]
                lines += [f"  private: {each.describe()}" for each in operations.private(sandbox)]
    return "".join(f"vagga: debug: {visible(line)}\n" for line in lines)


def _status_writer(fd: int) -> tuple[Outlet | None, Callable[[Told], str]]:
    """Return what writes each report as a line of JSON to `fd`, and its outlet; nothing if there is none.

    A reader that does not keep up holds nothing up; it gets the rest when it reads again. What the writer returns is
    for people: that records are lost, once.
    """
    if fd < 0:
        return None, lambda _: ""
    import json  # 8 ms that only this needs

    from vaggapy.supervise.status_records import record_json  # the same

    os.set_inheritable(fd, False)
    outlet = Outlet(fd)
    warned = False

    def write(told: Told) -> str:
        nonlocal warned
        record = record_json(told, time.clock_gettime(time.CLOCK_REALTIME))
        outlet.write((json.dumps(record) + "\n").encode())
        if not outlet.lost or warned:
            return ""
        warned = True
        return messages.RECORDS_LOST

    return outlet, write


def _raise_limit(children: int) -> None:
    """Raise our own limit of open files for many children; they have inherited the caller's from the spawner."""
    if children < USUAL_LIMIT:
        return
    import resource  # only for hundreds of children

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = children * DESCRIPTORS_EACH + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))


def _colour(choice: str, host: Host) -> bool:
    """Return whether to colour: as asked; else on a terminal, unless NO_COLOR says no (no-color.org)."""
    if choice != "auto":
        return choice == "always"
    if host.environ.get("NO_COLOR"):
        return False
    if host.environ.get("FORCE_COLOR"):
        return True
    return host.terminals[1] and host.environ.get("TERM") != "dumb"
