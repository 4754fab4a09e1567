"""What overlayfs shows of layers and what the plain tree of them has are the same, whatever was done to them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integration.runs import can_nest, has_ranges, need

ROUNDS = 3
LAYERS = 5
CHANGES = 60

# Runs as root of a user namespace with mounts of its own. Each layer is made by changes to what is mounted over the
# layers before; then it says what overlayfs shows of all, and what `flatten` makes of them.
SCRIPT = """
import json, os, random, shutil, stat, subprocess, sys

base, seed, count, changes = sys.argv[1], *map(int, sys.argv[2:5])
dice = random.Random(seed)
from vaggapy.build.layers import copy_tree, flatten, link_unchanged

def mount(layers, upper, work, target):
    lower = ":".join(reversed(layers))
    options = f"userxattr,lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, target], check=True)

def paths(root):
    return [os.path.join(here, name) for here, names, files in os.walk(root) for name in names + files]

def is_directory(path):
    return os.path.isdir(path) and not os.path.islink(path)

def change(root):
    found = paths(root)
    some = dice.choice(found) if found else root
    place = dice.choice([root] + [path for path in found if is_directory(path)])
    new = os.path.join(place, dice.choice("abcdefgh"))
    match dice.choice(["write", "write", "make", "make", "delete", "anew", "rename", "mode", "link", "hard", "fifo",
                       "append", "times", "attribute"]):
        case "write" if not os.path.lexists(new):
            with open(new, "w") as file:
                file.write(str(dice.random()))
        case "make" if not os.path.lexists(new):
            os.mkdir(new)
        case "delete":
            remove(some, root)
        case "anew" if is_directory(some) and some != root:
            shutil.rmtree(some)
            os.mkdir(some)
        case "rename" if not os.path.lexists(new) and some != root and not new.startswith(some + "/"):
            subprocess.run(["mv", "-T", some, new], check=True)
        case "mode" if not os.path.islink(some):
            os.chmod(some, dice.choice([0o700, 0o755, 0o4755, 0o1777]))
        case "link" if not os.path.lexists(new):
            os.symlink(dice.choice("abc"), new)
        case "hard" if not os.path.lexists(new) and not is_directory(some) and some != root:
            os.link(some, new, follow_symlinks=False)
        case "fifo" if not os.path.lexists(new):
            os.mkfifo(new)
        case "append" if os.path.isfile(some) and not os.path.islink(some):
            with open(some, "a") as file:
                file.write("more")
        case "times" if some != root:
            os.utime(some, (dice.randrange(10**9), dice.randrange(10**9)), follow_symlinks=False)
        case "attribute" if os.path.isfile(some) and not os.path.islink(some):
            os.setxattr(some, "user.mine", b"x")

def remove(path, root):
    if path == root:
        return
    if is_directory(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)

def seen(root):
    found = {}
    for path in [root, *paths(root)]:
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        content = ""
        if stat.S_ISREG(kind):
            with open(path) as file:
                content = file.read()
        elif stat.S_ISLNK(kind):
            content = os.readlink(path)
        mine = []
        if not stat.S_ISLNK(kind) and not stat.S_ISFIFO(kind):
            mine = [name for name in os.listxattr(path) if not name.startswith("user.overlay.")]
        entry = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content, mine]
        found[os.path.relpath(path, root)] = entry
    return found

def down(path):
    subprocess.run(["umount", path], check=True)

layers = []
target = f"{base}/shown"
os.mkdir(target)
os.mkdir(f"{base}/empty")
for number in range(count):
    upper, work = f"{base}/{number}", f"{base}/{number}.work"
    os.mkdir(upper)
    os.mkdir(work)
    mount([f"{base}/empty", *layers], upper, work, target)
    for _ in range(changes):
        change(target)
    layers.append(upper)
    shown = seen(target)
    down(target)
    flat = f"{base}/{number}.flat"
    flatten(tuple(layers), flat)
    other = seen(flat)
    if shown != other:
        names = [name for name in sorted(set(shown) | set(other)) if shown.get(name) != other.get(name)]
        print("layer", number, [(name, shown.get(name), other.get(name)) for name in names])
        sys.exit(1)
    copy_tree(flat, f"{base}/{number}.copy")
    link_unchanged(flat, f"{base}/{max(number - 1, 0)}.flat", f"{base}/{number}.linked")
    for again in ("copy", "linked"):
        if seen(f"{base}/{number}.{again}") != shown:
            print("layer", number, again)
            sys.exit(1)
print(len(shown))
"""


def in_namespace(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script as root of a user namespace with mounts of its own."""
    command = ["unshare", "-Urm", sys.executable, "-c", script, *words]
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environ)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_plain_tree_is_what_overlayfs_shows(tmp_path: Path, seed: int) -> None:
    need(can_nest(), "user namespaces cannot be made by unshare(1)")
    base = tmp_path / "layers"
    base.mkdir()
    ran = in_namespace(SCRIPT, str(base), str(seed), str(LAYERS), str(CHANGES))
    if "wrong fs type" in ran.stderr or "permission denied" in ran.stderr:
        need(False, "overlayfs cannot be mounted in a user namespace here")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout) > 1


def test_a_mount_below_a_path_is_not_removed(tmp_path: Path) -> None:
    need(can_nest(), "user namespaces cannot be made by unshare(1)")
    script = """
import os, subprocess, sys
from vaggapy.build.actions import Remove
from vaggapy.build.tree import Tree, carry_out
from vaggapy.errors import CommandError
base = sys.argv[1]
os.makedirs(base + "/d/mounted")
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", base + "/d/mounted"], check=True)
open(base + "/d/mounted/file", "w").close()
try:
    with Tree(base) as tree:
        carry_out(Remove("/d"), tree)
except CommandError as error:
    print(error.name, os.listdir(base + "/d/mounted"))
"""
    base = tmp_path / "tree"
    base.mkdir()
    ran = in_namespace(script, str(base))
    assert ran.stdout == "tree-other-device ['file']\n", ran.stderr


OWNERS = """
import io, os, stat, struct, sys, tarfile
from vaggapy.build.actions import Unpack
from vaggapy.build.tree import Tree, carry_out
base = sys.argv[1]
capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
with tarfile.open(base + "/a.tar", "w") as archive:
    for name, kind, mode, uid, gid in [
        ("./", tarfile.DIRTYPE, 0o755, 0, 0),
        ("tmp", tarfile.DIRTYPE, 0o1777, 0, 0),
        ("mail", tarfile.DIRTYPE, 0o2775, 0, 8),
        ("su", tarfile.REGTYPE, 0o4755, 0, 0),
        ("shadow", tarfile.REGTYPE, 0o640, 0, 42),
        ("nobody", tarfile.SYMTYPE, 0o777, 65534, 65534),
        ("ping", tarfile.REGTYPE, 0o755, 0, 0),
    ]:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, "x"
        if name == "ping":
            info.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
        archive.addfile(info)
os.mkdir(base + "/root")
with Tree(base + "/root") as tree:
    carry_out(Unpack(base + "/a.tar", "/", keep_owners=True), tree)
    for path, status in tree.walk():
        print(path, oct(stat.S_IMODE(status.st_mode)), status.st_uid, status.st_gid)
print(os.getxattr(base + "/root/ping", "security.capability")[:8] == capability[:8])
"""


def test_a_root_keeps_owners_modes_and_capabilities_where_there_are_ids(tmp_path: Path) -> None:
    need(has_ranges(), "the caller has one id only")
    base = tmp_path / "tree"
    base.mkdir()
    # Real root has all ids as it is.
    words = () if os.getuid() == 0 else ("unshare", "-Ur", "--map-auto")
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    command = [*words, sys.executable, "-c", OWNERS, str(base)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environ)
    if words:  # files of other ids are removed where they are known
        clear = [*words, "rm", "-rf", str(base)]
        subprocess.run(clear, check=True, timeout=60)
    assert ran.stdout.splitlines() == [
        "/mail 0o2775 0 8",
        "/nobody 0o777 65534 65534",
        "/ping 0o755 0 0",
        "/shadow 0o640 0 42",
        "/su 0o4755 0 0",
        "/tmp 0o1777 0 0",
        "True",
    ], ran.stderr
