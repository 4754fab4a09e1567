"""From a sandbox to ordered operations: what is shared, what is each child's own, and what never comes before what."""

from __future__ import annotations

import pytest

from vaggapy.sandbox import operations as ops
from vaggapy.sandbox.spec import Bind, HostRoot, ImageRoot, Overlay, Sandbox, Tmpfs

PLAIN = Sandbox(HostRoot(("/home", "/root")), "/srv/project")
IMAGE = ImageRoot("c", "/srv/image")
BUILT = ImageRoot("c", "/srv/image", writable=True)
MAKING = (ops.Directory, ops.MountPoint, ops.Symlink, ops.Memory)


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
    assert ops.Tree("/srv/project/x", place, True, within="/srv/project") in ops.template(bound)


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


# --- images -----------------------------------------------------------------------------------------------------


def test_the_template_of_an_image_enters_it_and_has_its_own_dev_proc_sys_and_work() -> None:
    found = ops.template(Sandbox(IMAGE, "/srv/project"))
    assert found[:2] == (ops.Image("/srv/image"), ops.Tree("/sys", "/sys", read_only=True, optional=True))
    assert found[-3:] == (ops.ReadOnly("/dev"), ops.Tree("/srv/project", "/work"), ops.Tree("/proc", "/proc"))
    assert ops.Devices(ops.DEVICES) in found
    assert targets(ops.private(Sandbox(IMAGE, "/srv/project")), ops.Memory) == ["/tmp", "/run", "/dev/shm"]


def test_a_projects_own_path_is_not_shown_in_an_image() -> None:
    for root in (IMAGE, BUILT, Overlay("/", ("/srv/image",))):
        assert "/srv/project" not in targets(ops.template(Sandbox(root, "/srv/project")), ops.Tree)


def test_nothing_is_made_in_an_image_that_is_read_only() -> None:
    volumes = (Bind("/srv/x", "/b"), Bind("/srv/x", "/dev/b"), Bind("/srv/x", "/tmp/b"), Tmpfs("/t", 1, 0o755))
    found = ops.template(Sandbox(IMAGE, "/srv/project", volumes))
    made = [str(getattr(each, "target", "")) for each in found if isinstance(each, MAKING)]
    assert [place for place in made if not place.startswith("/dev")] == []
    assert f"{ops.STAGING}/0" in made and "/dev/b" in made


@pytest.mark.parametrize("root", [BUILT, Overlay("/", ("/srv/image",)), Overlay("/", ("/l",), "/u", "/w")])
def test_mount_points_are_made_in_a_root_that_is_writable(root: ImageRoot | Overlay) -> None:
    volumes = (Bind("/srv/x", "/b"), Bind("/srv/x", "/work/b"))
    found = ops.template(Sandbox(root, "/srv/project", volumes))
    assert set(ops.IMAGE_PLACES) <= set(targets(found, ops.Directory))
    assert targets(found, ops.MountPoint) == ["/b"]


@pytest.mark.parametrize("place", ["/var/run/x", "/var/lock/x", "/run/x"])
def test_below_what_images_have_as_a_link_to_run_a_volume_waits_for_the_childs_own_run(place: str) -> None:
    sandbox = Sandbox(IMAGE, "/srv/project", (Bind("/srv/x", place),))
    assert ops.Tree("/srv/x", f"{ops.STAGING}/0", True, place=place) in ops.template(sandbox)
    assert ops.private(sandbox)[-1] == ops.Rebind(f"{ops.STAGING}/0", place)


def test_pid_1_asks_for_the_mount_point_of_a_memory_volume_in_an_image_but_not_in_the_project() -> None:
    volumes = (Tmpfs("/t", 1, 0o755), Tmpfs("/work/t", 1, 0o755))
    found = ops.private(Sandbox(IMAGE, "/srv/project", volumes))
    assert targets(found, ops.Directory) == ["/t"]


def test_an_optional_bind_has_no_mount_point_and_is_left_out_where_each_child_begins_with_nothing() -> None:
    volumes = (Bind("/srv/x", "/etc/x", optional=True), Bind("/srv/y", "/run/y", read_only=True, optional=True))
    for root in (IMAGE, BUILT, PLAIN.root):
        sandbox = Sandbox(root, "/srv/project", volumes)
        found = ops.template(sandbox)
        assert [each for each in found if isinstance(each, ops.OptionalFile)] == [ops.OptionalFile("/srv/x", "/etc/x")]
        assert not {"/etc/x", "/run/y"} & set(targets(found, ops.MountPoint) + targets(found, ops.Tree))
        assert not [each for each in ops.private(sandbox) if isinstance(each, ops.Rebind) and each.target == "/run/y"]


# --- overlays ---------------------------------------------------------------------------------------------------


def test_an_overlay_on_disk_is_mounted_once_for_all_children_after_the_read_only() -> None:
    overlay = Overlay("/vagga/root", ("/l/2", "/l/1"), "/u", "/w")
    sandbox = Sandbox(HostRoot(), "/srv/project", (Bind("/srv/c", "/vagga/cache"), overlay))
    found = ops.template(sandbox)
    mounted = ops.OverlayMount("/vagga/root", ("/l/2", "/l/1"), "/u", "/w")
    assert found.index(ops.Directory("/vagga/root")) < found.index(ops.ReadOnly()) < found.index(mounted)
    assert kinds(ops.private(sandbox)).count("OverlayMount") == 0
    assert not ops.is_single_use(sandbox)


def test_an_overlay_in_memory_is_each_childs_own_and_its_host_directories_are_staged() -> None:
    overlay = Overlay("/data", ("/srv/l", "inside:/var/x"), size=5, uid=1, gid=2)
    sandbox = Sandbox(IMAGE, "/srv/project", (Bind("/srv/b", "/tmp/b"), overlay))
    staged = f"{ops.STAGING}/1"
    assert ops.Tree("/srv/l", staged, read_only=True, place="/data") in ops.template(sandbox)
    assert kinds(ops.template(sandbox)).count("OverlayMount") == 0
    assert ops.private(sandbox)[-3:] == (
        ops.Directory("/data"),
        ops.OverlayMount("/data", (staged, "/var/x"), size=5, uid=1, gid=2),
        ops.Rebind(f"{ops.STAGING}/0", "/tmp/b"),
    )


def test_a_volume_in_an_overlay_in_memory_comes_after_it() -> None:
    volumes = (Overlay("/a", ("inside:/a",)), Bind("/srv/x", "/a/b"), Tmpfs("/a/c", 1, 0o755))
    found = ops.private(Sandbox(HostRoot(), "/srv/project", volumes))
    assert found[-4:] == (
        ops.OverlayMount("/a", ("/a",)),
        ops.Rebind(f"{ops.STAGING}/0", "/a/b"),
        ops.Directory("/a/c"),
        ops.Memory("/a/c", 1, 0o755),
    )


def test_a_root_in_memory_serves_one_child_only() -> None:
    sandbox = Sandbox(Overlay("/", ("/srv/image",), size=7), "/srv/project")
    assert ops.is_single_use(sandbox)
    assert ops.template(sandbox)[0] == ops.OverlayMount("/", ("/srv/image",), size=7)
    assert not ops.is_single_use(Sandbox(Overlay("/", ("/l",), "/u", "/w"), "/srv/project"))
    assert not ops.is_single_use(Sandbox(IMAGE, "/srv/project"))


def test_an_overlay_around_the_projects_own_path_hides_it() -> None:
    sandbox = Sandbox(HostRoot(), "/srv/project", (Overlay("/srv", ("inside:/srv",)),))
    assert targets(ops.template(sandbox), ops.Tree) == ["/sys", "/work", "/proc"]


def test_every_operation_of_an_image_says_what_it_does() -> None:
    volumes = (Overlay("/a", ("inside:/a",)), Overlay("/b", ("/l",), "/u", "/w"), Bind("/x", "/etc/x", optional=True))
    sandbox = Sandbox(IMAGE, "/srv/project", volumes)
    texts = [operation.describe() for operation in ops.template(sandbox) + ops.private(sandbox)]
    assert all(texts) and len(set(texts)) == len(texts)
    assert ops.Image("/i", writable=True).describe() != ops.Image("/i").describe()
