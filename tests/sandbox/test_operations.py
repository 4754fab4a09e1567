"""From a sandbox to ordered operations: what is shared, what is each child's own, and what never comes before what."""

from __future__ import annotations

import pytest

from vaggapy.sandbox import operations as ops
from vaggapy.sandbox.spec import Bind, HostRoot, Sandbox, Tmpfs

PLAIN = Sandbox(HostRoot(("/home", "/root")), "/srv/project")


def kinds(found: tuple[ops.Operation, ...]) -> list[str]:
    return [type(operation).__name__ for operation in found]


def targets(found: tuple[ops.Operation, ...], kind: type[object]) -> list[str]:
    return [str(getattr(operation, "target", "")) for operation in found if isinstance(operation, kind)]


def test_the_template_of_a_plain_sandbox() -> None:
    found = ops.template(PLAIN)
    assert found[0] == ops.NewRoot()
    assert ops.MirrorRoot(ops.OWN_NAMES) in found
    assert found[-3:] == (
        ops.Tree("/srv/project", "/work"),
        ops.Tree("/srv/project", "/srv/project"),
        ops.Tree("/proc", "/proc"),
    )


def test_what_is_written_into_the_root_comes_before_the_read_only_and_what_stays_writable_after() -> None:
    volumes = (Bind("/srv/project/data", "/opt"), Tmpfs("/data", 1, 0o755), Bind("/srv/project", "/new", False))
    found = ops.template(Sandbox(HostRoot(("/home", "/root", "/srv/u"), ("/opt/x",)), "/srv/project", volumes))
    names = kinds(found)
    turn = names.index("ReadOnly")
    assert names.count("ReadOnly") == 1
    making = {"NewRoot", "Directory", "MirrorRoot", "Memory", "Devices", "Symlink", "MountPoint"}
    assert making & set(names[turn:]) == set()
    writable = [each for each in found if isinstance(each, ops.Tree) and not each.read_only]
    assert [each.target for each in writable] == ["/sys", "/work", "/new", "/srv/project", "/proc"]
    assert found.index(writable[0]) < turn < found.index(writable[1])


def test_proc_is_bound_last_or_no_child_could_mount_its_own() -> None:
    assert ops.template(PLAIN)[-1] == ops.Tree("/proc", "/proc")


def test_every_child_gets_its_own_private_places() -> None:
    assert kinds(ops.private(PLAIN)) == ["Processes", "LockControls", "Terminals", "Memory", "Memory", "Memory"]
    assert targets(ops.private(PLAIN), ops.Memory) == ["/tmp", "/run", "/dev/shm"]


@pytest.mark.parametrize("place", ops.PRIVATE_PLACES)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_volume_replaces_a_private_place(place: str, read_only: bool) -> None:
    memory = Tmpfs(place, 5, 0o700, read_only=read_only)
    found = ops.private(Sandbox(PLAIN.root, PLAIN.project, (memory,)))
    assert [each for each in found if isinstance(each, ops.Memory) and each.target == place] == [
        ops.Memory(place, 5, 0o700)
    ]
    assert targets(found, ops.Seal) == ([place] if read_only else [])
    bound = Sandbox(PLAIN.root, PLAIN.project, (Bind("/srv/project/x", place),))
    assert place not in targets(ops.private(bound), ops.Memory)
    assert ops.Tree("/srv/project/x", place, True) in ops.template(bound)


def test_a_project_at_a_private_place_is_staged_and_bound_by_each_child() -> None:
    sandbox = Sandbox(PLAIN.root, "/tmp/p")
    assert ops.Tree("/tmp/p", f"{ops.STAGING}/0", place="/tmp/p") in ops.template(sandbox)
    assert ops.Tree("/tmp/p", "/work") in ops.template(sandbox)
    assert ops.private(sandbox)[-1] == ops.Rebind(f"{ops.STAGING}/0", "/tmp/p")


def test_a_project_below_work_is_not_bound_to_its_own_path() -> None:
    sandbox = Sandbox(PLAIN.root, "/work/inner")
    trees = targets(ops.template(sandbox), ops.Tree)
    assert trees == ["/sys", "/work", "/proc"]


@pytest.mark.parametrize(
    ("volume", "visible"),
    [
        (Tmpfs("/srv", 1, 0o755), True),
        (Tmpfs("/srv", 1, 0, read_only=True), False),
        (Bind("/srv/project/x", "/srv"), False),
        (Bind("/srv/project/x", "/srv/project"), False),
        (Bind("/srv/project/x", "/srv/project/deeper"), True),
        (Bind("/srv/project/x", "/srv/pro"), True),
    ],
)
def test_a_bind_or_empty_volume_around_the_projects_own_path_hides_it(volume: Bind | Tmpfs, visible: bool) -> None:
    sandbox = Sandbox(PLAIN.root, "/srv/project", (volume,))
    own = [
        each
        for each in ops.template(sandbox)
        if isinstance(each, ops.Tree) and each.source == "/srv/project" and each.target != "/work"
    ]
    assert bool(own) == visible


def test_volumes_in_volumes_are_made_from_the_outside_in_and_sealed_at_the_end() -> None:
    volumes = (Tmpfs("/a", 1, 0, read_only=True), Bind("/srv/project/x", "/a/b"), Tmpfs("/a/b/c", 2, 0o700))
    found = ops.private(Sandbox(PLAIN.root, "/srv/project", volumes))
    assert found[-5:] == (
        ops.Memory("/a", 1, 0),
        ops.Rebind(f"{ops.STAGING}/0", "/a/b"),
        ops.Directory("/a/b/c"),
        ops.Memory("/a/b/c", 2, 0o700),
        ops.Seal("/a"),
    )


def test_mount_points_are_made_in_the_template_unless_they_are_the_childs_own_or_the_projects() -> None:
    volumes: tuple[Bind | Tmpfs, ...] = (
        *(Bind("/srv/project/x", place) for place in ("/new/b", "/tmp/b", "/work/b")),
        *(Tmpfs(place, 1, 0o755) for place in ("/new/t", "/run/t", "/work/t")),
    )
    sandbox = Sandbox(PLAIN.root, "/srv/project", volumes)
    made = targets(ops.template(sandbox), ops.MountPoint) + targets(ops.template(sandbox), ops.Directory)
    assert {place for place in made if place.count("/") > 1 and not place.startswith(("/dev/", "/srv"))} == {
        "/new/b",
        "/new/t",
    }
    assert targets(ops.private(sandbox), ops.Directory) == ["/run/t"]


def test_with_visible_homes_the_root_takes_them_over_from_the_host() -> None:
    found = ops.template(Sandbox(HostRoot(), "/srv/project"))
    (mirror,) = (each for each in found if isinstance(each, ops.MirrorRoot))
    assert not {"home", "root"} & set(mirror.skipped)
    assert not {"/home", "/root"} & set(targets(found, ops.Directory))


def test_a_home_elsewhere_is_covered_by_an_empty_place() -> None:
    root = HostRoot(("/home", "/root", "/srv/u", "/tmp/u", "/home/v"))
    assert targets(ops.template(Sandbox(root, "/opt/p")), ops.Memory) == ["/srv/u", "/dev"]


@pytest.mark.parametrize(
    ("directory", "hidden"),
    [
        ("/home", True),
        ("/root", True),
        ("/home/u", True),
        ("/srv/u", True),
        ("/var/lib/home/u", True),
        ("/opt/home/u", True),
        ("/", False),
        ("//", False),
        ("", False),
        ("relative", False),
        ("/usr", False),
        ("/usr/lib", False),
        ("/var", False),
        ("/var/www", False),
        ("/etc", False),
        ("/nix", True),
        ("/bin/x", False),
        ("/proc/1", False),
        ("/opt", False),
        ("/opt/home", False),
    ],
)
def test_a_home_is_hidden_unless_the_system_lives_there(directory: str, hidden: bool) -> None:
    assert ops.may_hide(directory) == hidden


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [("/a", "/a", True), ("/a/b", "/a", True), ("/ab", "/a", False), ("/a", "/", True), ("/", "/a", False)],
)
def test_inside_compares_whole_names(path: str, directory: str, expected: bool) -> None:
    assert ops.inside(path, directory) == expected


def test_every_operation_says_what_it_does() -> None:
    volumes = (Bind("/srv/project/x", "/tmp/b"), Tmpfs("/run/t", 1, 0o755, read_only=True))
    sandbox = Sandbox(HostRoot(("/home", "/srv/u")), "/srv/project", volumes)
    texts = [operation.describe() for operation in ops.template(sandbox) + ops.private(sandbox)]
    assert all(texts) and len(set(texts)) == len(texts)
