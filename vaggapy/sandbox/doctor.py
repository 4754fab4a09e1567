"""Find out what this machine allows by doing it, never by version numbers. For `vagga _doctor`.

Each check makes the real thing with the same code as a run, and lets go of it.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import tempfile

from vaggapy import host
from vaggapy.errors import SandboxError
from vaggapy.record import Record, unpack
from vaggapy.sandbox import channel, run
from vaggapy.sandbox.explain import APPARMOR, RANGES, Found, failed_child
from vaggapy.sandbox.facts import facts
from vaggapy.sandbox.operations import may_hide
from vaggapy.sandbox.spec import PIPES, TERMINAL, Failure, HostRoot, Launch, Overlay, Program, Sandbox

OK, MISSING, FAILED = "ok", "missing", "failed"
PATIENCE = 10_000  # ms for one child
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PROFILE = "abi <abi/4.0>, include <tunables/global> profile vagga {path} flags=(unconfined) {{ userns, }}"


class Check(Record):
    """What was tried and what came of it. Without what is `needed` nothing runs; the rest costs a feature."""

    name: str
    state: str
    result: str
    remedy: str
    needed: bool


def checks() -> tuple[Check, ...]:
    """Try everything that runs rely on, in the order in which a run needs it."""
    caller = host.probe()
    try:
        spawner = run.start(caller.uid, caller.gid, caller.user)
    except SandboxError as error:
        return (Check("user namespaces", FAILED, error.what, error.remedy, True), *_apparmor())
    found = [
        Check("user namespaces", OK, "one was made and its ids were mapped", "", True),
        *_apparmor(),
        _ids(spawner),
        *_sandbox(spawner, caller),
        _terminal(spawner, caller),
        _overlay(spawner, caller),
        _descriptors(),
        _killed_with_spawner(spawner, caller),
        _network(caller),
        _bootstrap(),
    ]
    return tuple(found)


def _apparmor() -> tuple[Check, ...]:
    """Say how to live with Ubuntu's restriction, where it is switched on."""
    if facts().get(APPARMOR) != "1":
        return ()
    profile = PROFILE.format(path=os.path.realpath(sys.argv[0]))
    remedy = f"write `{profile}` to /etc/apparmor.d/vagga and run `sudo apparmor_parser -r /etc/apparmor.d/vagga`"
    return (Check("AppArmor", MISSING, "it restricts user namespaces to programs with a profile", remedy, False),)


def _ids(spawner: run.Spawner) -> Check:
    count = sum(extent.count for extent in spawner.maps.uids)
    if count > 1:
        return Check("ids", OK, f"{count} user ids inside", "", False)
    return Check("ids", MISSING, "only user id 0 inside: `user-id` cannot be used", RANGES, False)


def _sandbox(spawner: run.Spawner, caller: host.Host) -> tuple[Check, Check]:
    """Start a program in a `!Host` container, with an own /proc."""
    outcome = _launch(spawner, caller, ("/bin/true",), PIPES)
    name = "sandbox"
    own = Check("own /proc", OK, "each child sees its own processes only", "", False)
    if outcome.failure is not None:
        error = failed_child(outcome.failure, HostRoot(), Found())
        return Check(name, FAILED, error.what, error.remedy, True), own
    if outcome.status != 0:
        remedy = "run `vagga -vv _run CONTAINER true` and report what it says"
        return Check(name, FAILED, f"`true` ended with wait status {outcome.status}", remedy, True), own
    if outcome.outer_proc:
        remedy = "run the outer container with an unmasked /proc (Podman and Docker: --security-opt unmask=ALL)"
        own = Check("own /proc", MISSING, "refused: children see the outer /proc", remedy, False)
    return Check(name, OK, "a program ran in a container of the host's root", "", True), own


def _terminal(spawner: run.Spawner, caller: host.Host) -> Check:
    outcome = _launch(spawner, caller, ("/bin/true",), TERMINAL)
    if outcome.failure is None and outcome.masters:
        return Check("terminals", OK, "a child got a terminal of its own", "", False)
    why = outcome.failure.step if outcome.failure else "no terminal came"
    remedy = "use --no-prefix, or redirect the output, until /dev/pts can be mounted"
    return Check("terminals", MISSING, f"a child got none: {why}", remedy, False)


def _overlay(spawner: run.Spawner, caller: host.Host) -> Check:
    """Remove a directory that exists below and make it again: this is what a half-working overlayfs cannot do."""
    name = "overlay"
    words = ("/bin/sh", "-c", "cd /run/overlay && rmdir below && mkdir below && : > below/file && rm -r below")
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(f"{directory}/below")
        mounts = (Overlay("/run/overlay", (directory,), size=1024 * 1024),)
        outcome = _launch(spawner, caller, words, PIPES, mounts)
    if outcome.failure is not None:
        error = failed_child(outcome.failure, HostRoot(), Found())
        return Check(name, MISSING, error.what, error.remedy, False)
    if outcome.status != 0:
        remedy = "use another kernel, or report this one with its version"
        return Check(name, MISSING, "a directory that exists below cannot be removed and made again", remedy, False)
    return Check(name, OK, "a directory that exists below was removed and made again", "", False)


def _bootstrap() -> Check:
    """Look whether the programs are there that `!Debian` and `!Ubuntu` need; other steps do without."""
    name = "mmdebstrap"
    if shutil.which(name) is None:
        return Check(name, MISSING, "!Debian and !Ubuntu cannot be built", f"install the package {name}", False)
    if not os.path.exists(DEBIAN_KEYRING):
        remedy = "install the package debian-archive-keyring"
        return Check(name, MISSING, "!Debian cannot be built: the keyring is missing", remedy, False)
    return Check(name, OK, "roots of Debian and Ubuntu can be built", "", False)


def _descriptors() -> Check:
    """Try how many descriptors a run may have; each child costs up to four."""
    import resource  # only here and for hundreds of children

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, 1_000_000)
    if most >= 1024:
        return Check("open files", OK, f"up to {most}", "", False)
    remedy = "raise the hard limit of open files: `ulimit -Hn`, /etc/security/limits.conf"
    return Check("open files", MISSING, f"only {most}: enough for {most // 5} children", remedy, False)


def _killed_with_spawner(spawner: run.Spawner, caller: host.Host) -> Check:
    """Kill the spawner by SIGKILL: the kernel must kill the child. The spawner is gone after this."""
    name = "nothing survives"
    ours, pidfd, _ = _request(spawner, caller, ("/bin/sleep", "60"), PIPES)
    if pidfd < 0:
        spawner.stop()
        return Check(name, FAILED, "the child could not be started", "see above", True)
    os.kill(spawner.pid, 9)
    ended = _wait(pidfd)
    os.close(pidfd)
    ours.close()
    spawner.stop()
    if ended:
        return Check(name, OK, "the kernel killed a child whose supervision was killed", "", True)
    remedy = "report this with your kernel's version: PR_SET_PDEATHSIG does not work here"
    return Check(name, FAILED, "a child outlived its supervision", remedy, True)


def _network(caller: host.Host) -> Check:
    try:
        run.start(caller.uid, caller.gid, caller.user, isolate_network=True).stop()
    except SandboxError as error:
        return Check("isolated network", MISSING, error.what, "do without --no-network, or: " + error.remedy, False)
    return Check("isolated network", OK, "a network with only a loopback was made", "", False)


# --- one child --------------------------------------------------------------------------------------------------


class Outcome(Record):
    """How one child went."""

    status: int = -1
    failure: Failure | None = None
    outer_proc: bool = False
    masters: bool = False


def _request(
    spawner: run.Spawner,
    caller: host.Host,
    words: tuple[str, ...],
    streams: str,
    mounts: tuple[Overlay, ...] = (),
) -> tuple[channel.Channel, int, Failure | None]:
    """Ask for a child; return its control channel, its pidfd (-1: refused) and why it was refused."""
    hidden = tuple(home for home in caller.homes if may_hide(home))
    sandbox = Sandbox(HostRoot(hidden), caller.directory, mounts)
    program = Program(words, {"PATH": PATH}, "/", streams=streams)
    ours, theirs = channel.pair()
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    passed = (theirs.fileno(), null, null) if streams == PIPES else (theirs.fileno(),)
    spawner.request(0, Launch(sandbox, program), passed)
    theirs.close()
    os.close(null)
    answer = spawner.receive()
    if answer is None:
        return ours, -1, Failure("spawner", 0)
    return ours, answer.pidfd, answer.failure


def _launch(
    spawner: run.Spawner,
    caller: host.Host,
    words: tuple[str, ...],
    streams: str,
    mounts: tuple[Overlay, ...] = (),
) -> Outcome:
    """Run a child to its end."""
    ours, pidfd, failure = _request(spawner, caller, words, streams, mounts)
    status, outer_proc, masters = -1, False, False
    if pidfd >= 0:
        _wait(pidfd)
        os.close(pidfd)
    while pidfd >= 0:
        received = ours.receive()
        if received is None:
            break
        message, descriptors = received
        for fd in descriptors:
            os.close(fd)
        match message:
            case ("failed", packed):
                failure = unpack(packed, run.SPEC_CLASSES)
            case ("status", raw):
                status = raw
            case ("outer-proc",):
                outer_proc = True
            case ("terminals",):
                masters = True
            case _:
                pass
    ours.close()
    return Outcome(status, failure, outer_proc, masters)


def _wait(pidfd: int) -> bool:
    """Wait until a process is gone; return whether it is."""
    watch = select.poll()
    watch.register(pidfd, select.POLLIN)
    return bool(watch.poll(PATIENCE))
