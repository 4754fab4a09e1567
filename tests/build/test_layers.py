"""Plain trees of layers, copies of trees, and layers of images."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
from pathlib import Path

import pytest

from tests.build.archives import directory, file, hard_link, hostile, state, symlink, tar
from vaggapy.build.actions import UnpackImage
from vaggapy.build.image_layers import apply_image_layer
from vaggapy.build.images.reference import record_name
from vaggapy.build.layers import copy_tree, flatten, link_unchanged
from vaggapy.build.tree import Places, Tree, carry_out
from vaggapy.errors import CommandError


def fill(place: Path, **content: str) -> Path:
    """Make a directory with files; `a__b` is a/b."""
    place.mkdir(exist_ok=True)
    for name, text in content.items():
        path = place / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def whiteout(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))


def content(place: Path) -> dict[str, str]:
    return {str(path.relative_to(place)): path.read_text() for path in sorted(place.rglob("*")) if path.is_file()}


def opaque(path: Path, value: bytes = b"y") -> None:
    try:
        os.setxattr(path, "user.overlay.opaque", value)
    except OSError:
        pytest.skip("no extended attributes here")


# --- flatten ------------------------------------------------------------------------------------------------------


def test_upper_layers_win_and_whiteouts_hide(tmp_path: Path) -> None:
    low = fill(tmp_path / "low", a="1", b="1", d__x="1", d__y="1", e__f="1")
    high = fill(tmp_path / "high", b="2", d__z="2")
    whiteout(high / "a")
    whiteout(high / "d/x")
    whiteout(high / "e")
    flatten((str(low), str(high)), str(tmp_path / "flat"))
    assert content(tmp_path / "flat") == {"b": "2", "d/y": "1", "d/z": "2"}
    assert (tmp_path / "flat/b").samefile(high / "b")


def test_a_file_between_two_directories_ends_the_lower_one(tmp_path: Path) -> None:
    low = fill(tmp_path / "low", d__x="1")
    middle = fill(tmp_path / "middle", d="2")
    high = fill(tmp_path / "high", d__y="3")
    flatten((str(low), str(middle), str(high)), str(tmp_path / "flat"))
    assert content(tmp_path / "flat") == {"d/y": "3"}


def test_an_opaque_directory_hides_what_is_below_at_any_depth(tmp_path: Path) -> None:
    low = fill(tmp_path / "low", d__x="1", d__e__y="1")
    high = fill(tmp_path / "high", d__e__z="2")
    opaque(high / "d")
    flatten((str(low), str(high)), str(tmp_path / "flat"))
    assert content(tmp_path / "flat") == {"d/e/z": "2"}
    assert os.listxattr(tmp_path / "flat/d") == []


def test_whiteouts_by_attribute_hide(tmp_path: Path) -> None:
    low = fill(tmp_path / "low", d__x="1", d__y="1")
    high = fill(tmp_path / "high", d__x="")
    opaque(high / "d", b"x")
    os.setxattr(high / "d/x", "user.overlay.whiteout", b"y")
    flatten((str(low), str(high)), str(tmp_path / "flat"))
    assert content(tmp_path / "flat") == {"d/y": "1"}


def test_directories_have_mode_and_time_of_the_topmost(tmp_path: Path) -> None:
    low = fill(tmp_path / "low", d__x="1")
    high = fill(tmp_path / "high", d__y="1")
    (low / "d").chmod(0o700)
    (high / "d").chmod(0o1777)
    os.utime(high / "d", (5, 5))
    (high / "l").symlink_to("d/x")
    flatten((str(low), str(high)), str(tmp_path / "flat"))
    status = (tmp_path / "flat/d").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o1777, 5)
    assert os.readlink(tmp_path / "flat/l") == "d/x"


def test_many_layers_and_deep_trees_need_few_descriptors(tmp_path: Path) -> None:
    layers = tuple(str(fill(tmp_path / f"{number}", **{f"d__{number}": "x"})) for number in range(300))
    name = "/".join(["n" * 100] * 60)
    with Tree(layers[0]) as tree:
        tree.make_directory(f"/{name}")
        tree.write(f"/{name}/f", b"deep")
    before = os.listdir("/proc/self/fd")
    flatten(layers, str(tmp_path / "flat"))
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert len(os.listdir(tmp_path / "flat/d")) == 300
    with Tree(str(tmp_path / "flat")) as tree:
        assert tree.read(f"/{name}/f") == b"deep"


# --- copies -------------------------------------------------------------------------------------------------------


def test_a_copy_has_everything_but_devices(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", a="1", d__b="2")
    os.link(source / "a", source / "d/also")
    (source / "l").symlink_to("/nowhere")
    os.mkfifo(source / "p", 0o640)
    whiteout(source / "device")
    with open(source / "holes", "wb") as sparse:
        sparse.truncate(1 << 28)
        sparse.seek(1 << 20)
        sparse.write(b"x")
    (source / "d/b").chmod(0o4711)
    os.utime(source / "d", ns=(7, 1234567891))
    copy_tree(str(source), str(tmp_path / "target"))
    target = tmp_path / "target"
    assert sorted(os.listdir(target)) == ["a", "d", "holes", "l", "p"]
    assert (target / "a").samefile(target / "d/also")
    assert not (target / "a").samefile(source / "a")
    assert (target / "holes").read_bytes() == (source / "holes").read_bytes()
    assert (target / "holes").stat().st_blocks < 1000
    assert stat.S_IMODE((target / "d/b").stat().st_mode) == 0o4711
    assert (target / "d").stat().st_mtime_ns == 1234567891
    assert os.readlink(target / "l") == "/nowhere"


def test_a_snapshot_links_only_what_is_the_same(tmp_path: Path) -> None:
    tree = fill(tmp_path / "tree", same="1", content="1", mode="1", time="1", kind="1", d__same="1")
    copy_tree(str(tree), str(tmp_path / "previous"))
    previous = tmp_path / "previous"
    moment = (tree / "content").stat().st_mtime_ns
    (tree / "content").write_text("2")
    os.utime(tree / "content", ns=(moment, moment))
    (tree / "mode").chmod(0o600)
    os.utime(tree / "time", (1, 1))
    (tree / "kind").unlink()
    (tree / "kind").mkdir()
    (tree / "new").write_text("new")
    link_unchanged(str(tree), str(previous), str(tmp_path / "target"))
    target = tmp_path / "target"
    linked = {
        name for name in ("same", "content", "mode", "time", "d/same") if (target / name).samefile(previous / name)
    }
    assert linked == {"same", "d/same"}
    assert content(target) == content(tree)
    assert not any((target / name).samefile(tree / name) for name in content(tree))


def test_a_snapshot_joins_no_two_files(tmp_path: Path) -> None:
    previous = fill(tmp_path / "previous", a="1")
    os.link(previous / "a", previous / "b")
    tree = tmp_path / "tree"
    copy_tree(str(previous), str(tree))
    (tree / "b").unlink()
    (tree / "b").write_text("1")
    moment = (tree / "a").stat().st_mtime_ns
    os.utime(tree / "b", ns=(moment, moment))
    link_unchanged(str(tree), str(previous), str(tmp_path / "target"))
    assert not (tmp_path / "target/a").samefile(tmp_path / "target/b")


# --- layers of images ---------------------------------------------------------------------------------------------


def apply(root: Path, data: bytes, diff_id: str = "") -> None:
    with Tree(str(root)) as tree:
        apply_image_layer(io.BytesIO(data), tree, "image: layer", diff_id, single_id=True)


def test_whiteouts_take_away_what_is_below_only(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", a="1", d__x="1", d__y="1", e__x="1", e__old="1", f="1", g__h__i="1")
    apply(
        root,
        tar(
            file(".wh.a", b""),
            file("d/.wh.x", b""),
            file("e/new", b"2"),
            file("e/.wh..wh..opq", b""),
            file("e/last", b"2"),
            file("f", b"2"),
            file(".wh.f", b""),
            file("g/k", b"2"),
            file(".wh.g", b""),
            file("nowhere/.wh.x", b""),
            file(".wh..wh.plnk", b""),
        ),
    )
    assert content(root) == {"d/y": "1", "e/new": "2", "e/last": "2", "f": "2", "g/k": "2"}
    assert not (root / "nowhere").exists()


def test_a_layer_replaces_directories_and_links(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", d__x="1", usr__y="1", file="1")
    (root / "l").symlink_to("usr")
    apply(root, tar(file("d", b"2"), directory("l"), file("l/z", b"2"), file("file/inner", b"2")))
    assert content(root) == {"d": "2", "l/z": "2", "usr/y": "1", "file/inner": "2"}
    assert not (root / "l").is_symlink()


def test_members_below_a_link_of_a_lower_layer_go_where_it_leads(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", usr__lib__a="1")
    (root / "lib").symlink_to("/usr/lib")
    apply(root, tar(file("lib/b", b"2"), file("lib/.wh.a", b""), hard_link("lib/c", "usr/lib/b")))
    assert content(root) == {"usr/lib/b": "2", "usr/lib/c": "2"}


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_a_whiteout_of_no_name_is_refused(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "root", d__x="1")
    with pytest.raises(CommandError, match="takes away what has no name"):
        apply(root, tar(file(f"d/.wh.{name}", b"")))
    assert content(root) == {"d/x": "1"}


@pytest.mark.parametrize("name", sorted(name for name in hostile("/x") if not name.startswith("zip")))
def test_no_hostile_layer_gets_out(tmp_path: Path, name: str) -> None:
    outside = fill(tmp_path / "outside", victim="untouched")
    before = state(outside)
    root = fill(tmp_path / "root")
    try:
        apply(root, hostile(str(outside))[name])
    except CommandError:
        pass
    try:
        apply(root, tar(symlink("s", str(outside)), file("s/.wh.victim", b""), file("s/.wh..wh..opq", b"")))
    except CommandError:
        pass
    assert state(outside) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "root"]


def test_an_image_of_the_cache_is_unpacked_layer_by_layer(tmp_path: Path) -> None:
    first, second = tar(file("a"), file("b")), tar(file(".wh.a", b""), file("c"))
    layers = []
    blobs = tmp_path / "images/blobs/sha256"
    blobs.mkdir(parents=True)
    for data in (first, second):
        blob = gzip.compress(data)
        digest = hashlib.sha256(blob).hexdigest()
        (blobs / digest).write_bytes(blob)
        layers.append({"digest": f"sha256:{digest}", "diff_id": f"sha256:{hashlib.sha256(data).hexdigest()}"})
    (tmp_path / "images/references").mkdir()
    reference = "docker.io/library/base:1"
    (tmp_path / "images/references" / record_name(reference)).write_text(json.dumps({"layers": layers}))
    root = fill(tmp_path / "root")
    with Tree(str(root)) as tree:
        carry_out(UnpackImage(reference), tree, True, Places({"/vagga/cache": str(tmp_path)}))
        assert sorted(content(root)) == ["b", "c"]
        with pytest.raises(CommandError) as caught:
            carry_out(UnpackImage("other"), tree, True, Places({"/vagga/cache": str(tmp_path)}))
    assert caught.value.name == "image-missing"


def test_a_layer_that_is_not_what_the_image_says_is_an_error(tmp_path: Path) -> None:
    root = fill(tmp_path / "root")
    with pytest.raises(CommandError) as caught:
        apply(root, tar(file("a")), f"sha256:{'0' * 64}")
    assert caught.value.name == "image-layer-digest"
