"""Roots that were built, and overlays: what a child sees, what it may change, and that none of it reaches the disk.

A spawner is asked directly, as the supervisor does it. The image is a static busybox with the places that any image
has.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import pwd
import select
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.runs import need, wait_until
from integration.test_attacks import ATTACK, REFUSED
from vaggapy.record import unpack
from vaggapy.sandbox import channel, doctor, run
from vaggapy.sandbox.explain import Found, failed_child
from vaggapy.sandbox.run import Spawner
from vaggapy.sandbox.spec import (
    PIPES,
    Bind,
    Failure,
    HostRoot,
    ImageRoot,
    Launch,
    Overlay,
    Program,
    Sandbox,
    Tmpfs,
)

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PATIENCE = 60_000  # ms
NOBODY = 65533
COMMANDS = ("cat", "chmod", "chown", "df", "echo", "id", "ls", "mkdir", "rm", "rmdir", "sh", "sleep", "stat", "touch")
PLACES = ["bin", "data", "dev", "etc", "home", "proc", "run", "srv", "sys", "tmp", "usr", "var/lib/db/sub", "work"]
# Turns a listing into words: kind and permissions, owner, name.
STAT = "stat -c '%A %u:%g %n'"

ATTACKS_ON_IMAGES = r"""
IMAGE_FILE = "/etc/own"
ATTACKS["image: chmod"] = lambda: os.chmod(IMAGE_FILE, 0o777)
ATTACKS["image: chown"] = lambda: os.chown(IMAGE_FILE, 0, 0)
ATTACKS["image: write"] = lambda: write(IMAGE_FILE)
ATTACKS["image: write by the root of this process"] = lambda: write("/proc/self/root" + IMAGE_FILE)
ATTACKS["image: write by a descriptor"] = lambda: write("/proc/self/fd/%d" % os.open(IMAGE_FILE, os.O_RDONLY))
ATTACKS["image: truncate"] = lambda: os.truncate(IMAGE_FILE, 0)
ATTACKS["image: unlink"] = lambda: os.unlink(IMAGE_FILE)
ATTACKS["image: rename"] = lambda: os.rename(IMAGE_FILE, IMAGE_FILE + "2")
ATTACKS["image: link"] = lambda: os.link(IMAGE_FILE, IMAGE_FILE + "2")
ATTACKS["image: times"] = lambda: os.utime(IMAGE_FILE)
ATTACKS["image: attribute"] = lambda: os.setxattr(IMAGE_FILE, "user.x", b"x")
ATTACKS["image: device"] = lambda: os.mknod("/etc/disk", 0o60600, os.makedev(254, 0))
ATTACKS["image: whiteout"] = lambda: os.mknod("/etc/gone", 0o20000, 0)
ATTACKS["image: nested chmod"] = lambda: nested(os.chmod, IMAGE_FILE, 0o777)
ATTACKS["image: the root"] = lambda: os.chmod("/", 0o777)
ATTACKS["image: bound"] = lambda: (mount("/etc", place("etc"), None, BIND), write("/tmp/etc/own"))
ATTACKS["image: below an overlay"] = lambda: mount(
    "overlay", place("o"), "overlay", 0, "lowerdir=/etc,upperdir=/srv,workdir=/home,userxattr")
ATTACKS["image: umount the root"] = lambda: umount("/", DETACH)
ATTACKS["image: umount a snapshot"] = lambda: umount("/var/lib/db", DETACH)
ATTACKS["image: nested umount of a snapshot"] = lambda: nested(umount, "/var/lib/db", DETACH)
ATTACKS["image: umount a file"] = lambda: umount("/etc/hosts", DETACH)
ATTACKS["image: write a file that is bound"] = lambda: write("/etc/hosts")
ATTACKS["image: device that the image has"] = lambda: os.open("/etc/null", os.O_RDONLY)


"""


@dataclass
class Outcome:
    """How one child went: its output, its wait status, and why it was not started."""

    out: str = ""
    status: int = -1
    failure: Failure | None = None

    def words(self) -> list[str]:
        """Return the words of the output of a child that ended well."""
        assert (self.status, self.failure) == (0, None), self
        return self.out.split()


class Child:
    """A child that was asked for and goes on."""

    numbers = itertools.count(1)

    def __init__(self, spawner: Spawner, sandbox: Sandbox, words: tuple[str, ...], uid: int) -> None:
        program = Program(words, {"PATH": "/bin:/usr/bin"}, "/", uid=uid, streams=PIPES)
        self._ours, theirs = channel.pair()
        self._read, write = os.pipe2(os.O_CLOEXEC)
        spawner.request(next(self.numbers), Launch(sandbox, program), (theirs.fileno(), write, write))
        theirs.close()
        os.close(write)
        answer = spawner.receive()
        assert answer is not None, "the spawner is gone"
        self._pidfd, self._outcome = answer.pidfd, Outcome(failure=answer.failure)

    def finish(self) -> Outcome:
        """Wait for the end."""
        outcome = self._outcome
        if self._pidfd >= 0:
            with open(self._read, "rb", closefd=False) as file:
                outcome.out = file.read().decode()
            watch = select.poll()
            watch.register(self._pidfd, select.POLLIN)
            assert watch.poll(PATIENCE), "the child does not end"
            os.close(self._pidfd)
            while (received := self._ours.receive()) is not None:
                match received[0]:
                    case ("failed", packed):
                        outcome.failure = unpack(packed, run.SPEC_CLASSES)
                    case ("status", status):
                        outcome.status = status
                    case _:
                        pass
        os.close(self._read)
        self._ours.close()
        return outcome


class World:
    """A spawner, an image and a project, below one directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.image = base / "image"
        self.project = base / "project"
        self.root = ImageRoot("c", str(self.image))
        self._spawner: Spawner | None = None
        self.project.mkdir()
        make_image(self.image)

    def start(self, root: HostRoot | ImageRoot | Overlay, script: str, *mounts: Bind | Tmpfs | Overlay) -> Child:
        """Start a shell in a sandbox and return while it runs."""
        return self.program(root, ("sh", "-c", script), *mounts)

    def run(self, root: HostRoot | ImageRoot | Overlay, script: str, *mounts: Bind | Tmpfs | Overlay) -> Outcome:
        """Run a shell in a sandbox to its end."""
        return self.start(root, script, *mounts).finish()

    def program(
        self,
        root: HostRoot | ImageRoot | Overlay,
        words: tuple[str, ...],
        *mounts: Bind | Tmpfs | Overlay,
        uid: int = 0,
    ) -> Child:
        """Start a program in a sandbox."""
        sandbox = Sandbox(root, str(self.project), tuple(sorted(mounts, key=lambda each: each.target)))
        return Child(self.spawner(), sandbox, words, uid)

    def spawner(self) -> Spawner:
        if self._spawner is None:
            uid = os.getuid()
            names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid == uid]
            self._spawner = run.start(uid, os.getgid(), names[0] if names else "")
        return self._spawner

    def has_ids(self) -> bool:
        """Return whether the run really has more than one id."""
        return sum(extent.count for extent in self.spawner().maps.uids) > 1

    def layers(self, name: str, *, has_disk: bool = True) -> Overlay:
        """Return an overlay of the image, with new directories that take what is written."""
        directory = self.base / name
        for part in ("upper", "work"):
            (directory / part).mkdir(parents=True)
        upper, work = (str(directory / part) for part in ("upper", "work"))
        return Overlay("/", (str(self.image),), upper if has_disk else "", work if has_disk else "")

    def close(self) -> None:
        """Stop the spawner."""
        if self._spawner is not None:
            self._spawner.stop()


def make_image(path: Path) -> None:
    """Make a small image."""
    need(os.path.exists("/bin/busybox"), "busybox is not installed")
    for place in PLACES:
        (path / place).mkdir(parents=True)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for name in COMMANDS:
        (path / "bin" / name).symlink_to("busybox")
    for name in ("lib", "lib64"):
        if os.path.isdir(f"/usr/{name}"):
            (path / name).symlink_to(f"usr/{name}")
    (path / "var/run").symlink_to("/run")
    (path / "var/lib/db/file").write_text("lower\n")
    (path / "etc/own").write_text("of the image\n")
    (path / "etc/hosts").write_text("of the image\n")
    path.chmod(0o755)
    (path / "etc/own").chmod(0o644)


def listing(path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return mode, owner and size of everything below a directory."""
    found = {}
    for directory, directories, files in os.walk(path):
        for name in (*directories, *files, "."):
            state = os.lstat(os.path.join(directory, name))
            size = state.st_size if stat.S_ISREG(state.st_mode) else 0
            found[os.path.join(directory, name)] = (state.st_mode, state.st_uid, state.st_gid, size)
    return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a world whose image must not have changed when the test is over."""
    (tmp_path / "tmp").mkdir()
    made = World(tmp_path)
    before = listing(made.image)
    yield made
    made.close()
    assert listing(made.image) == before, "the image was changed"


def told(outcome: Outcome, root: ImageRoot | Overlay) -> str:
    assert outcome.failure is not None, outcome
    return str(failed_child(outcome.failure, root, Found()))


# --- an image that is read-only ---------------------------------------------------------------------------------


def test_a_child_sees_the_image_with_its_own_dev_proc_sys_tmp_run_and_the_project(world: World) -> None:
    (world.project / "mine").write_text("")
    script = (
        "ls /bin/busybox /work/mine; ls /tmp /run; ls -d /dev/null /dev/pts/ptmx /dev/shm /dev/fd /proc/1 /sys/kernel;"
        f" echo x > /dev/null; echo x > /tmp/x; echo x > /dev/shm/x; echo x > /work/made; ls -d {world.project} 2>&1"
        " || echo $$; ls -A /dev/.vagga /home 2>/dev/null; echo end"
    )
    outcome = world.run(world.root, script)
    assert outcome.out.splitlines() == [
        *("/bin/busybox", "/work/mine", "/run:", "lock", "shm", "", "/tmp:"),
        *("/dev/fd", "/dev/null", "/dev/pts/ptmx", "/dev/shm", "/proc/1", "/sys/kernel"),
        f"ls: {world.project}: No such file or directory",
        "2",
        "/home:",
        "end",
    ]
    assert (world.project / "made").read_text() == "x\n"


@pytest.mark.parametrize("place", ["dev", "proc", "run", "tmp", "work"])
def test_an_image_without_a_place_that_every_child_needs_is_refused(world: World, place: str) -> None:
    (world.image / place).rmdir()
    line = told(world.run(world.root, "true"), world.root)
    assert line.startswith(f"container c: its image lacks /{place} (add `!EnsureDir /{place}` to its setup")
    assert not (world.image / place).exists()
    (world.image / place).mkdir()


def test_a_volume_without_a_mount_point_in_the_image_is_refused_and_none_is_made(world: World) -> None:
    source = str(world.project)
    mounts: tuple[Bind | Tmpfs | Overlay, ...] = (
        *(Bind(source, "/missing"), Bind(source, "/missing/deeper"), Tmpfs("/missing", 4096, 0o755)),
        *(Overlay("/missing", (source,)), Overlay("/data", ("inside:/missing",))),
    )
    for mount in mounts:
        line = told(world.run(world.root, "true", mount), world.root)
        assert line.startswith("container c: its image lacks /missing"), mount
        assert line.endswith("[image-mount-point]")


def test_a_directory_does_not_fit_on_a_file_nor_a_file_on_a_directory(world: World) -> None:
    (world.project / "file").write_text("")
    for mount in (Bind(str(world.project), "/etc/own"), Bind(str(world.project / "file"), "/data")):
        assert "does not fit its mount point" in told(world.run(world.root, "true", mount), world.root)
    for volume in (Tmpfs("/etc/own", 4096, 0o755), Overlay("/etc/own", (str(world.project),))):
        assert "does not fit its mount point" in told(world.run(world.root, "true", volume), world.root)


def test_an_image_that_is_gone_is_named(world: World) -> None:
    root = ImageRoot("c", str(world.base / "gone"))
    assert told(world.run(root, "true"), root).startswith("container c: its image cannot be entered: ")


def test_a_directory_is_mounted_where_a_link_of_the_image_leads(world: World) -> None:
    (world.image / "linked").symlink_to("/data")
    (world.project / "seen").write_text("")
    for mount in (Bind(str(world.project), "/linked"), Overlay("/linked", (str(world.project),))):
        assert world.run(world.root, "ls /data", mount).words() == ["seen"]
    (world.image / "linked").unlink()


def test_volumes_below_a_link_to_run_are_in_the_childs_own_run(world: World) -> None:
    outcome = world.run(
        world.root,
        "echo x > /var/run/b/made; ls -d /run/b/made /run/t /run/o/deeper",
        Bind(str(world.project), "/var/run/b", read_only=False),
        Tmpfs("/var/run/t", 4096, 0o700),
        Overlay("/var/run/o", ("inside:/var/lib",), size=1 << 20),
        Tmpfs("/var/run/o/deeper", 4096, 0o700),
    )
    assert outcome.words() == ["/run/b/made", "/run/o/deeper", "/run/t"]
    assert (world.project / "made").exists()


def test_optional_files_cover_files_and_links_of_the_image_and_are_left_out_where_there_is_nothing(
    world: World,
) -> None:
    (world.image / "etc/real").write_text("of the image\n")
    (world.image / "etc/linked").symlink_to("/etc/real")
    (world.image / "etc/dangling").symlink_to("/run/resolve/stub")
    (world.project / "file").write_text("of the host\n")
    source = str(world.project / "file")
    mounts = [Bind(source, f"/etc/{name}", optional=True) for name in ("linked", "dangling", "missing")]
    mounts += [Bind(source, "/data", optional=True), Bind(source, "/run/x", optional=True)]
    mounts += [Bind(str(world.base / "nothing"), "/etc/hosts", optional=True)]
    mounts += [Bind(str(world.project), "/etc/own", optional=True)]
    before = listing(world.image)
    script = "cd /etc; cat linked dangling real own hosts; cat missing /run/x 2>/dev/null; ls /data; echo end"
    assert world.run(world.root, script, *mounts).out.splitlines() == [
        *("of the host", "of the host", "of the image", "of the image", "of the image", "end")
    ]
    assert world.run(world.root, "echo x > /etc/linked", *mounts).status != 0
    assert listing(world.image) == before
    for name in ("real", "linked", "dangling"):
        (world.image / "etc" / name).unlink()


@pytest.mark.parametrize("ids", ["all ids", "single id"])
def test_root_of_a_container_can_change_nothing_of_its_image(world: World, ids: str) -> None:
    need(os.path.exists("/usr/bin/python3"), "there is no Python below /usr")
    if os.getuid() == 0:
        os.mknod(world.image / "etc/null", 0o20666, os.makedev(1, 3))
    attack = ATTACK.replace("def outcome(", ATTACKS_ON_IMAGES + "def outcome(", 1)
    (world.project / "attack.py").write_text(attack)
    (world.project / "hosts").write_text("of the host\n")
    before = listing(world.image)
    mounts = (
        Bind("/usr", "/usr"),
        Bind(str(world.project / "hosts"), "/etc/hosts", optional=True),
        Overlay("/var/lib/db", ("inside:/var/lib/db",), size=1 << 20),
    )

    def attacked() -> str:
        if ids == "single id":
            ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        outcome = world.program(world.root, ("/usr/bin/python3", "/work/attack.py"), *mounts).finish()
        world.close()
        return outcome.out or repr(outcome)

    answers = json.loads(apart(attacked))
    assert len([name for name in answers if name.startswith("image: ")]) > 20
    assert not {name: answer for name, answer in answers.items() if answer not in REFUSED}
    assert listing(world.image) == before
    assert (world.project / "hosts").read_text() == "of the host\n"
    (world.image / "etc/null").unlink(missing_ok=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file of somebody else")
def test_an_image_of_another_user_whose_ids_are_not_mapped_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        world = World(Path(directory))
        os.chown(world.project, NOBODY, NOBODY)

        def seen() -> str:
            os.setgroups(())
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            snapshot = Overlay("/var/lib/db", ("inside:/var/lib/db",), size=1 << 20)
            script = f"{STAT} /etc/own; cat /etc/own; echo x > /work/made; cat /var/lib/db/file; touch /var/lib/db/new"
            outcome = world.run(world.root, f"{script}; ls /var/lib/db", snapshot)
            world.close()
            return " ".join(outcome.words())

        assert apart(seen) == "-rw-r--r-- 65534:65534 /etc/own of the image lower file new sub"
        assert (world.project / "made").read_text() == "x\n"


def apart(function: Callable[[], str]) -> str:
    """Call a function in a process of its own, which may give up its rights."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = function()
        except BaseException as error:
            answer = repr(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        answer = file.read().decode()
    os.waitpid(pid, 0)
    return answer


# --- a root that is written -------------------------------------------------------------------------------------


def test_a_writable_image_keeps_what_is_written_and_gets_the_mount_points_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    world = World(tmp_path)
    (world.image / "work").rmdir()
    root = ImageRoot("c", str(world.image), writable=True)
    outcome = world.run(root, "echo x > /etc/new; ls /new/place /work", Bind(str(world.image / "srv"), "/new/place"))
    world.close()
    assert outcome.words() == ["/new/place:", "/work:"]
    assert (world.image / "etc/new").read_text() == "x\n"
    assert (world.image / "new/place").is_dir()


@pytest.mark.parametrize("name", ["plain", "a:b,c\\d e", "lowerdir=x:y", "ü" * 100])
def test_a_layer_takes_what_a_child_writes_whatever_its_name_is(world: World, name: str) -> None:
    overlay = world.layers(name)
    script = "echo x > /etc/new; rm -r /var/lib/db && mkdir /var/lib/db; rm /etc/hosts; ls /var/lib/db; id -u"
    assert world.run(overlay, script).words() == ["0"]
    upper = Path(overlay.upper)
    assert (upper / "etc/new").read_text() == "x\n"
    assert os.getxattr(upper / "var/lib/db", "user.overlay.opaque") == b"y"
    assert stat.S_ISCHR(os.lstat(upper / "etc/hosts").st_mode)
    second = world.layers("second")
    second = Overlay("/", (overlay.upper, *overlay.lowers), second.upper, second.work)
    assert world.run(second, "cat /etc/new; ls /var/lib/db /etc").out.split() == [
        *("x", "/etc:", "new", "own", "/var/lib/db:")
    ]


def test_a_layer_has_neither_dev_nor_the_project_in_it_but_what_a_step_leaves_in_tmp(world: World) -> None:
    overlay = world.layers("layer")
    assert world.run(overlay, "touch /work/x /dev/shm/x /tmp/x /run/x; ls /work").words() == ["x"]
    assert listing(Path(overlay.upper)).keys() == {f"{overlay.upper}/{name}" for name in (".", "tmp", "tmp/.", "tmp/x")}


def test_four_hundred_layers_with_long_paths_are_one_root(world: World) -> None:
    directory = world.base / ("x" * 200) / ("y" * 200)
    layers = []
    for number in range(400):
        layer = directory / str(number)
        layer.mkdir(parents=True)
        (layer / f"f{number}").write_text("")
        layers.append(str(layer))
    root = Overlay("/", (*reversed(layers), str(world.image)))
    assert world.run(root, "ls -d /f0 /f399 /bin/busybox").words() == ["/bin/busybox", "/f0", "/f399"]


def test_a_first_layer_has_nothing_below_it(world: World) -> None:
    overlay = world.layers("first")
    on_host = Overlay("/vagga/root", (), overlay.upper, overlay.work)
    assert world.run(HostRoot(), "echo x > /vagga/root/new; ls /vagga/root", on_host).words() == ["new"]
    assert (Path(overlay.upper) / "new").read_text() == "x\n"


def test_an_overlay_on_disk_can_be_a_place_of_the_hosts_root(world: World) -> None:
    overlay = world.layers("layer")
    on_host = Overlay("/vagga/root", overlay.lowers, overlay.upper, overlay.work)
    script = "echo x > /vagga/root/etc/new; rm -r /vagga/root/var; ls /vagga/root /vagga/cache; ! touch /vagga/x"
    outcome = world.run(HostRoot(), script + " 2>/dev/null", on_host, Bind(str(world.project), "/vagga/cache"))
    assert set(PLACES) - {"var/lib/db/sub"} <= set(outcome.words())
    assert (Path(overlay.upper) / "etc/new").read_text() == "x\n"


def test_a_root_in_memory_is_each_childs_own_and_gone_with_it(world: World) -> None:
    root = Overlay("/", (str(world.image),), size=1 << 20)
    script = (
        "ls -A /etc; rm -r /var && mkdir /var && echo x > /etc/new && rm /bin/cat; ls -A /etc /var;"
        " while [ ! -e /work/go ]; do sleep 0.01; done; ls /etc"
    )
    children = [world.start(root, script, Bind(str(world.project), "/made/here")) for _ in range(3)]
    (world.project / "go").write_text("")
    fresh = ["hosts", "own"]
    changed = ["hosts", "new", "own"]
    for child in children:
        assert child.finish().words() == [*fresh, "/etc:", *changed, "/var:", *changed]


def test_a_root_in_memory_is_as_large_as_it_may_be(world: World) -> None:
    root = Overlay("/", (str(world.image),), size=1 << 20)
    fill = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done"
    assert world.run(root, f"({fill}) > /etc/small").status == 0
    outcome = world.run(root, f"i=0; while [ $i -lt 12 ]; do ({fill}) > /etc/f$i || exit 3; i=$((i+1)); done")
    assert "No space left" in outcome.out


# --- snapshots --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_snapshot_is_each_childs_own_copy_with_mode_and_owner(world: World, is_inside: bool) -> None:
    lower = world.image / "var/lib/db"
    lower.chmod(0o2750)
    if world.has_ids():
        inside = "3:4"
        shown = world.run(
            ImageRoot("c", str(world.image), writable=True), "chown 3:4 /var/lib/db; chmod 2750 /var/lib/db"
        )
        assert shown.status == 0
    else:
        inside = "0:0"
    before = listing(world.image)
    volume = Overlay("/var/lib/db", ("inside:/var/lib/db" if is_inside else str(lower),), size=1 << 20)
    script = f"{STAT} /var/lib/db; cd /var/lib/db; rmdir sub && mkdir sub; ls -A; cat file; echo new > file; cat file"
    expected = ["drwxr-s---", inside, "/var/lib/db", "file", "sub", "lower", "new"]
    for child in [world.start(world.root, script, volume) for _ in range(2)]:
        assert child.finish().words() == expected
    assert listing(world.image) == before
    world.run(ImageRoot("c", str(world.image), writable=True), "chown 0:0 /var/lib/db")
    lower.chmod(0o755)


def test_a_snapshot_shows_the_image_below_another_volume(world: World) -> None:
    volumes = (Tmpfs("/var/lib", 4096, 0o755), Overlay("/var/lib/db", ("inside:/var/lib/db",)))
    assert world.run(world.root, "ls /var/lib /var/lib/db", *volumes).words() == [
        *("/var/lib:", "db", "/var/lib/db:", "file", "sub")
    ]


def test_everything_in_a_snapshot_gets_the_owner_that_was_asked_for(world: World) -> None:
    need(world.has_ids(), "the caller has one id only")
    (world.image / "var/lib/db/link").symlink_to("/etc/own")
    volume = Overlay("/var/lib/db", ("inside:/var/lib/db",), size=1 << 20, uid=7, gid=8)
    script = f"cd /var/lib/db; for f in . file sub link; do {STAT} $f; done; {STAT} /etc/own"
    assert world.run(world.root, script, volume).out.splitlines() == [
        *("drwxr-xr-x 7:8 .", "-rw-r--r-- 7:8 file", "drwxr-xr-x 7:8 sub", "lrwxrwxrwx 7:8 link"),
        "-rw-r--r-- 0:0 /etc/own",
    ]
    (world.image / "var/lib/db/link").unlink()
    words = ("sh", "-c", "touch /var/lib/db/new; ls /var/lib/db")
    assert world.program(world.root, words, volume, uid=7).finish().words() == ["file", "new", "sub"]


@pytest.mark.skipif(os.getuid() == 0, reason="root has every id")
def test_a_snapshot_with_an_owner_that_the_run_does_not_have_is_refused(world: World) -> None:
    volume = Overlay("/var/lib/db", ("inside:/var/lib/db",), uid=4_294_967_294)
    assert told(world.run(world.root, "true", volume), world.root).endswith("[ids-missing]")


def test_a_snapshot_in_the_hosts_root_and_in_the_project(world: World) -> None:
    (world.project / "data").mkdir()
    (world.project / "data/file").write_text("of the project\n")
    volumes = (
        Overlay("/etc", ("inside:/etc",)),
        Overlay("/work/data", (str(world.project / "data"),)),
    )
    script = "ls /etc/passwd; touch /etc/vagga-new; cat /work/data/file; rm /work/data/file; ls /work/data"
    assert world.run(HostRoot(), script, *volumes).words() == ["/etc/passwd", "of", "the", "project"]
    assert (world.project / "data/file").exists()
    assert not os.path.exists("/etc/vagga-new")
    missing = world.run(HostRoot(), "true", Overlay("/work/none", (str(world.project / "data"),)))
    assert told(missing, world.root).startswith("volume /work/none has no mount point in the container")
    assert not (world.project / "none").exists()


# --- what is refused --------------------------------------------------------------------------------------------


def test_layers_that_are_missing_are_named_and_are_no_fault_of_overlayfs(world: World) -> None:
    overlay = world.layers("layer")
    gone = str(world.base / "gone")
    for root in (
        Overlay("/", (gone,)),
        Overlay("/", overlay.lowers, gone, overlay.work),
        Overlay("/", overlay.lowers, overlay.upper, gone),
    ):
        failure = world.run(root, "true").failure
        assert failure is not None and (failure.step, failure.source, failure.target) == ("Source", gone, "/")


def test_an_overlay_that_the_kernel_refuses_is_a_failure_of_its_own(world: World) -> None:
    overlay = world.layers("layer")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        failure = world.run(Overlay("/", overlay.lowers, overlay.upper, elsewhere), "true").failure
    assert failure is not None and (failure.step, failure.target) == ("Overlay", "/")


def test_an_upper_directory_without_user_attributes_is_refused(world: World) -> None:
    overlay = world.layers("layer")
    proc = Overlay("/", overlay.lowers, "/proc/self", "/proc/self")
    failure = world.run(proc, "true").failure
    assert failure is not None and failure.step == "Overlay"


def test_a_run_goes_on_after_a_refusal(world: World) -> None:
    overlay = world.layers("layer")
    for _ in range(20):
        assert world.run(Overlay("/", overlay.lowers, overlay.upper, "/proc/self"), "true").failure is not None
    opened = os.listdir(f"/proc/{world.spawner().pid}/fd")
    for _ in range(20):
        assert world.run(Overlay("/", overlay.lowers, overlay.upper, "/proc/self"), "true").failure is not None
        assert world.run(Overlay("/", overlay.lowers), "true").words() == []
    now = f"/proc/{world.spawner().pid}/fd"
    wait_until(lambda: len(os.listdir(now)) <= len(opened), "what the last one needed is closed")


def test_the_doctor_tries_an_overlay() -> None:
    (found,) = (each for each in doctor.checks() if each.name == "overlay")
    assert found.state == doctor.OK
