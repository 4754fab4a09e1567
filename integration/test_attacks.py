"""A child that is root in its container can harm nobody else.

One run does all attacks, each in a process of its own, and reports what the kernel answered; one test looks at each
answer. The controls at the end show that what must work does: without them a broken container would pass.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from integration.runs import Project, command, has_ranges, need, supervise

ATTACK = r"""
import ctypes, errno, json, os, signal, socket, sys

libc = ctypes.CDLL(None, use_errno=True)
REMOUNT, BIND, REC, MOVE, RDONLY = 32, 4096, 16384, 8192, 1
DETACH = 2


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def mount(source, target, kind, flags, options=None):
    encode = lambda text: text if text is None else text.encode()
    check(libc.mount(encode(source), target.encode(), encode(kind), ctypes.c_ulong(flags), encode(options)))


def umount(target, flags=0):
    check(libc.umount2(target.encode(), flags))


def writable(path):
    attributes = (ctypes.c_uint64 * 4)(0, RDONLY, 0, 0)
    flags = 0x8000 if path else 0x1000
    return check(libc.syscall(442, -100, path.encode(), flags, attributes, ctypes.sizeof(attributes)))


def clear_of_tree(path):
    fd = check(libc.syscall(428, -100, path.encode(), 0x8001))
    attributes = (ctypes.c_uint64 * 4)(0, RDONLY, 0, 0)
    check(libc.syscall(442, fd, b"", 0x9000, attributes, ctypes.sizeof(attributes)))


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


def place(name):
    os.makedirs("/tmp/" + name, exist_ok=True)
    return "/tmp/" + name


def bind_and_remount(source, flags):
    target = place("bound")
    mount(source, target, None, BIND | flags)
    mount(None, target, None, REMOUNT | BIND)
    create(target + "/vagga-attack")


def move(source):
    mount(source, place("moved"), None, MOVE)


def nested(function, *arguments):
    check(libc.unshare(0x10000000 | 0x20000))
    for name in ("setgroups", "uid_map", "gid_map"):
        with open("/proc/self/" + name, "w") as file:
            file.write("deny" if name == "setgroups" else "0 0 1")
    function(*arguments)


def write(path, text="x"):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())


def trace(pid):
    check(libc.ptrace(16, pid, 0, 0))


def take_descriptor(pid):
    check(libc.syscall(438, os.pidfd_open(pid), 0, 0))


def read_memory(pid):
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.cast(buffer, ctypes.c_void_p), 8)
    check(libc.process_vm_readv(pid, vector, 1, vector, 1, 0))


def join(path):
    check(libc.setns(os.open(path, os.O_RDONLY), 0))


def raise_limit():
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        raise OSError(errno.EPERM, "")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except ValueError:
        raise OSError(errno.EPERM, "")


def keep_root_of_others():
    found = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in OWN]
    for pid in found:
        os.listdir("/proc/" + pid + "/root/")


def list_of(path):
    return lambda: os.listdir(path)


def uncover_processes():
    mount("/proc", place("proc"), None, BIND)
    if set(filter(str.isdigit, os.listdir("/tmp/proc"))) <= set(map(str, range(1, 1000))) & set(os.listdir("/proc")):
        raise OSError(errno.EINVAL, "it is our own")


OWN = {os.getpid()}
ATTACKS = {}
for path in ("/", "/usr", "/etc", "/sys", "/dev", "/var", "/home"):
    ATTACKS["remount " + path] = lambda p=path: mount(None, p, None, REMOUNT | BIND)
    ATTACKS["remount recursively " + path] = lambda p=path: mount(None, p, None, REMOUNT | BIND | REC)
    ATTACKS["clear read-only of " + path] = lambda p=path: writable(p)
    ATTACKS["clear read-only of a copy of " + path] = lambda p=path: clear_of_tree(p)
    ATTACKS["bind and remount " + path] = lambda p=path: bind_and_remount(p, 0)
    ATTACKS["bind recursively and remount " + path] = lambda p=path: bind_and_remount(p, REC)
    ATTACKS["nested remount " + path] = lambda p=path: nested(mount, None, p, None, REMOUNT | BIND)
    ATTACKS["nested clear read-only of " + path] = lambda p=path: nested(writable, p)
    ATTACKS["write below " + path] = lambda p=path: create(p.rstrip("/") + "/vagga-attack")
for path in ("/dev", "/dev/pts", "/dev/shm", "/dev/null", "/proc", "/tmp", "/run", "/usr", "/work", "/sys"):
    ATTACKS["umount " + path] = lambda p=path: umount(p)
    ATTACKS["umount lazily " + path] = lambda p=path: umount(p, DETACH)
    ATTACKS["nested umount " + path] = lambda p=path: nested(umount, p, DETACH)
    ATTACKS["move " + path] = lambda p=path: move(p)
ATTACKS["bind /proc without what covers it"] = uncover_processes
ATTACKS["bind the root without what covers it"] = lambda: mount("/", place("root"), None, BIND)
for name in ("root", "cwd", "exe", "fd/0", "fd/3", "fd/4"):
    ATTACKS["read the link of PID 1: " + name] = lambda n=name: os.readlink("/proc/1/" + n)
for name in ("root", "cwd", "map_files"):
    ATTACKS["list of PID 1: " + name] = list_of("/proc/1/" + name + "/")
for name in ("environ", "mem", "maps", "fd/0", "fd/3", "fd/4", "fdinfo/0", "ns/mnt", "ns/user", "ns/pid"):
    ATTACKS["open of PID 1: " + name] = lambda n=name: os.read(os.open("/proc/1/" + n, os.O_RDONLY), 1)
for name in ("mnt", "user", "pid"):
    ATTACKS["join PID 1: " + name] = lambda n=name: join("/proc/1/ns/" + n)
ATTACKS["ptrace of PID 1"] = lambda: trace(1)
ATTACKS["a descriptor of PID 1"] = lambda: take_descriptor(1)
ATTACKS["the memory of PID 1"] = lambda: read_memory(1)
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname",
             "/proc/irq/default_smp_affinity", "/proc/sys/vm/drop_caches", "/proc/sys/fs/file-max"):
    ATTACKS["write " + path] = lambda p=path: write(p, open(p).read().strip() if "sysrq" not in p else "")
    ATTACKS["nested write " + path] = lambda p=path: nested(write, p, "")
ATTACKS["a device file"] = lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0))
ATTACKS["more descriptors than allowed"] = raise_limit
ATTACKS["mount a new sysfs"] = lambda: mount("sysfs", place("sysfs"), "sysfs", 0)

def outcome(attack):
    read, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            attack()
            told = "allowed"
        except OSError as error:
            told = errno.errorcode.get(error.errno, str(error.errno))
        except BaseException as error:
            told = repr(error)
        os.write(answer, told.encode())
        os._exit(0)
    os.close(answer)
    told = os.read(read, 1000).decode()
    os.close(read)
    os.waitpid(pid, 0)
    return told


for number in range(1, 65):
    if number not in (32, 33):
        os.kill(1, number)
print(json.dumps({name: outcome(attack) for name, attack in ATTACKS.items()}))
"""

CONTROL = r"""
set -e
mkdir /tmp/own /tmp/bound
mount -t tmpfs none /tmp/own && echo x > /tmp/own/file && umount /tmp/own
mount --bind /work /tmp/bound && echo y > /tmp/bound/written && umount /tmp/bound
mount -t tmpfs none /usr/share && echo z > /usr/share/own && umount /usr/share
unshare -Ur sh -ec 'id -u; unshare -m sh -ec "mount -t tmpfs none /tmp/own; echo w > /tmp/own/file; cat /tmp/own/file"'
unshare -Urpf sh -c 'echo pid $$'
unshare -u sh -c 'hostname inside 2>/dev/null || echo inside > /proc/sys/kernel/hostname || true'
chroot / true
kill -0 1
echo done
"""

# Settings that each user, IPC or PID namespace has for itself.
OF_NAMESPACES = (
    "/proc/sys/fs/mqueue/",
    "/proc/sys/kernel/auto_msgmni",
    "/proc/sys/kernel/msg",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/sem",
    "/proc/sys/kernel/shm",
    "/proc/sys/user/",
)
REFUSED = {"EPERM", "EACCES", "EINVAL", "EROFS", "EBUSY", "ENOENT"}


class Answers:
    """What the kernel said to each attack of one run."""

    def __init__(self, told: dict[str, str]) -> None:
        self.told = told

    def of(self, start: str) -> dict[str, str]:
        """Return the answers to the attacks whose name starts so; there must be some."""
        found = {name: answer for name, answer in self.told.items() if name.startswith(start)}
        assert found, f"no attack starts with {start!r}"
        return found


@pytest.fixture(scope="module", params=["all ids", "single id"])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Run all attacks once; without new privileges newuidmap gives no ids, so that there is just one."""
    base = tmp_path_factory.mktemp("attacks")
    for name in ("project", "home"):
        (base / name).mkdir()
    project = Project(base / "project", base / "home")
    (project.directory / "attack.py").write_text(ATTACK)
    project.write(command("c", ["python3", "attack.py"]))
    result = project.run("c", under=() if request.param == "all ids" else ("setpriv", "--no-new-privs"))
    assert (result.code, result.err) == (0, ""), result
    return Answers(json.loads(result.out))


@pytest.mark.parametrize(
    "attack",
    [
        "remount ",
        "remount recursively ",
        "clear read-only of ",
        "clear read-only of a copy of ",
        "bind and remount ",
        "bind recursively and remount ",
        "nested remount ",
        "nested clear read-only of ",
        "write below ",
    ],
)
def test_root_of_a_container_cannot_make_the_shared_root_writable(answers: Answers, attack: str) -> None:
    assert not {name for name, answer in answers.of(attack).items() if answer not in REFUSED}
    assert not [place for place in ("/", "/usr", "/etc", "/var") if os.path.exists(f"{place}/vagga-attack")]


@pytest.mark.parametrize("attack", ["umount ", "umount lazily ", "nested umount ", "move "])
def test_root_of_a_container_cannot_uncover_what_lies_below_its_mounts(answers: Answers, attack: str) -> None:
    assert set(answers.of(attack).values()) <= {"EINVAL", "EPERM"}


def test_a_bind_takes_what_covers_a_directory_with_it(answers: Answers) -> None:
    assert set(answers.of("bind /proc without").values()) == {"EINVAL"}
    assert set(answers.of("bind the root without").values()) == {"EINVAL"}


@pytest.mark.parametrize("attack", ["read the link of PID 1", "list of PID 1", "open of PID 1", "join PID 1"])
def test_pid_1_shows_nothing_of_itself(answers: Answers, attack: str) -> None:
    assert set(answers.of(attack).values()) <= {"EPERM", "EACCES"}


@pytest.mark.parametrize("attack", ["ptrace of PID 1", "a descriptor of PID 1", "the memory of PID 1"])
def test_pid_1_cannot_be_traced_or_robbed(answers: Answers, attack: str) -> None:
    assert set(answers.of(attack).values()) == {"EPERM"}


@pytest.mark.parametrize("attack", ["write /proc/", "nested write /proc/"])
def test_the_controls_of_the_kernel_are_out_of_reach_also_for_the_real_root(answers: Answers, attack: str) -> None:
    assert set(answers.of(attack).values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}
    assert answers.told["write /proc/sys/kernel/core_pattern"] in ("EROFS", "EACCES")


@pytest.mark.parametrize("attack", ["a device file", "more descriptors than allowed", "mount a new sysfs"])
def test_a_container_gets_no_power_over_the_machine(answers: Answers, attack: str) -> None:
    assert set(answers.of(attack).values()) == {"EPERM"}


def test_no_attack_was_forgotten(answers: Answers) -> None:
    assert not {name: answer for name, answer in answers.told.items() if answer not in REFUSED}


def test_what_can_be_opened_for_writing_below_proc_concerns_the_container_alone(project: Project) -> None:
    search = (
        "find /proc -path '/proc/[0-9]*' -prune -o -type f -perm /222 -print 2>/dev/null "
        '| while read f; do (: >> "$f") 2>/dev/null && echo "$f"; done; true'
    )
    project.write(command("c", search))
    result = project.run("c")
    assert result.code == 0
    found = [line for line in result.out.split() if not line.startswith("/proc/pressure/")]
    if os.getuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]:
        assert found == [], "the real root must reach nothing"
    else:
        assert [line for line in found if not line.startswith(OF_NAMESPACES)] == []


def test_every_signal_to_pid_1_changes_nothing(project: Project) -> None:
    text = "i=1; while [ $i -le 64 ]; do kill -$i 1 2>/dev/null; i=$((i+1)); done; kill -9 1; kill -STOP 1; exit 7"
    project.write(command("c", text))
    assert project.run("c").code == 7


@pytest.mark.parametrize("uid", [0, 1000])
def test_N9_children_of_one_container_see_neither_files_nor_processes_of_each_other(project: Project, uid: int) -> None:
    if uid:
        need(has_ranges(), "the caller has one id only")
    hide = (
        "echo secret > /tmp/secret-a; echo secret > /dev/shm/secret-a; mkdir /tmp/vagga-dir-a;"
        " echo run > /run/lock/secret-a; sleep 1000 & echo $! > a-is-ready; wait"
    )
    look = (
        "while [ ! -s a-is-ready ]; do sleep 0.01; done; ls -A /tmp /dev/shm /run/lock;"
        " for p in /proc/[0-9]*; do cat $p/cmdline 2>/dev/null | tr '\\0' ' '; ls -A $p/root/tmp 2>/dev/null; done;"
        " kill -9 -1 2>/dev/null; exit 0"
    )
    project.directory.chmod(0o777)
    project.write(
        supervise("c", {"a": {"run": hide, "user-id": uid}, "b": {"run": ["sh", "-c", look], "user-id": uid}})
    )
    result = project.run("c")
    assert "secret" not in result.out.replace(look, "")
    assert "vagga-dir-a" not in result.out
    assert "sleep 1000" not in result.out
    assert "a " not in [line for line in result.err.splitlines() if "killed" in line]


def test_a_child_cannot_signal_the_supervisor_or_another_child(project: Project) -> None:
    look = (
        "while [ ! -s pids ]; do sleep 0.01; done; for p in $(cat pids); do kill -0 $p 2>/dev/null && [ $p -gt 50 ] "
        "&& echo reached $p; done; exit 5"
    )
    project.write(supervise("c", {"a": "sleep 1000", "b": look}))
    running = project.start("c")
    pids = [running.pid, running.spawner(), os.getpid(), *running.inits()]
    (project.directory / "pids.new").write_text(" ".join(map(str, pids)))
    os.rename(project.directory / "pids.new", project.directory / "pids")
    result = running.finish()
    assert (result.code, result.out) == (5, "")


def test_control_what_root_of_a_container_may_do_works(project: Project) -> None:
    project.write(command("c", CONTROL))
    result = project.run("c")
    assert (result.code, result.out.split()) == (0, ["0", "w", "pid", "1", "done"]), result
    assert (project.directory / "written").read_text() == "y\n"


def test_control_a_file_system_in_memory_that_a_child_mounts_over_the_root_stays_its_own(project: Project) -> None:
    first = "mount -t tmpfs none /usr/share && touch /usr/share/of-a mounted; sleep 1000"
    second = "while [ ! -e mounted ]; do sleep 0.01; done; test ! -e /usr/share/of-a"
    project.write(supervise("c", {"a": first, "b": second}))
    assert project.run("c").code == 0
    assert not Path("/usr/share/of-a").exists()


def test_control_setting_the_name_of_the_host_reaches_only_the_container(project: Project) -> None:
    name = os.uname().nodename
    text = "import socket; socket.sethostname('inside'); print(socket.gethostname())"
    project.write(command("c", ["python3", "-c", text]))
    assert project.run("c").out == "inside\n"
    assert os.uname().nodename == name
