"""Archives: what comes out of good ones, and that nothing comes out of the target of bad ones."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.build.archives import (
    COMPRESSIONS,
    MOMENT,
    device,
    directory,
    file,
    hard_link,
    hostile,
    state,
    symlink,
    tar,
    zipped,
)
from vaggapy.build.actions import Unpack
from vaggapy.build.entries import LATEST, nanoseconds
from vaggapy.build.tree import Places, Tree, carry_out
from vaggapy.errors import CommandError

REGULAR = stat.S_IFREG | 0o644
SOURCE = "/vagga/cache/a"


class Bench:
    """A tree, and archives that are unpacked into it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "root"
        self.root.mkdir()

    def unpack(
        self,
        data: bytes,
        path: str = "/",
        form: str = "tar",
        subdir: str = "",
        without: tuple[str, ...] = (),
        keep_owners: bool = False,
        single_id: bool = False,
    ) -> Path:
        (self.place / "a").write_bytes(data)
        action = Unpack(SOURCE, path, form, subdir, keep_owners, without)
        with Tree(str(self.root)) as tree:
            carry_out(action, tree, single_id, Places({"/vagga/cache": str(self.place)}))
        return self.root / path.strip("/")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def refusal(bench: Bench, data: bytes, slug: str, **how: object) -> str:
    with pytest.raises(CommandError) as caught:
        bench.unpack(data, **how)  # type: ignore[arg-type]  # passed on as they come
    assert caught.value.name == slug, str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


# --- hostile ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/opt/deep"])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", sorted(hostile("/x")))
def test_nothing_of_a_hostile_archive_gets_out(tmp_path: Path, name: str, path: str, keep: bool) -> None:
    bench = Bench(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    (bench.root / "opt").mkdir()
    (bench.root / "etc").mkdir()
    before = state(outside)
    siblings = sorted(os.listdir(tmp_path))
    (tmp_path / "a").touch()
    data = hostile(str(outside))[name]
    try:
        bench.unpack(data, path, "zip" if name.startswith("zip") else "tar", keep_owners=keep, single_id=True)
    except CommandError as error:
        assert error.name in ("archive-refused", "archive-damaged", "archive-write")  # noqa: PT017
    assert state(outside) == before
    assert sorted(set(os.listdir(tmp_path)) - {"a"}) == siblings
    if path != "/":
        assert sorted(os.listdir(bench.root)) == ["etc", "opt"]
        assert set(os.listdir(bench.root / "opt")) <= {"deep"}
        assert not os.listdir(bench.root / "etc")


def test_every_hostile_archive_below_a_path_stays_below_it(bench: Bench) -> None:
    (bench.root / "etc").mkdir()
    for form, data in {
        "tar": tar(symlink("a", "/etc"), file("a/passwd")),
        "zip": zipped(("a", b"/etc", stat.S_IFLNK | 0o777), ("a/passwd", b"x", REGULAR)),
    }.items():
        line = refusal(bench, data, "archive-refused", path="/opt", form=form)
        assert "a/passwd: goes through the link a, which leads out of the target" in line
    assert not os.listdir(bench.root / "etc")


def test_the_errors_name_archive_member_and_cause(bench: Bench) -> None:
    assert refusal(bench, tar(file("../x")), "archive-refused").startswith(
        "/vagga/cache/a: ../x: leads out of the target by `..` ("
    )
    assert "\\xe9" in refusal(bench, tar(file("\udce9/../x")), "archive-refused")


def test_devices_fifos_and_hard_links_to_them_are_left_out(bench: Bench) -> None:
    data = tar(device("null"), hard_link("zero", "null"), device("p", tarfile.FIFOTYPE), file("f"))
    assert os.listdir(bench.unpack(data)) == ["f"]


def test_a_hard_link_to_what_is_not_there_is_refused(bench: Bench) -> None:
    assert "which is not there" in refusal(bench, tar(hard_link("a", "b")), "archive-refused")


def test_set_user_id_is_dropped_unless_owners_are_kept(bench: Bench) -> None:
    own: dict[str, object] = {"uid": os.getuid(), "gid": os.getgid()}
    data = tar(file("f", b"x", mode=0o4755, **own), directory("d", mode=0o3777, **own))
    root = bench.unpack(data, "/a")
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1777
    root = bench.unpack(data, "/b", keep_owners=True)
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o4755
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o3777


def test_an_owner_beyond_all_ids_is_an_error(bench: Bench) -> None:
    line = refusal(bench, tar(file("f", uid=2**33)), "archive-refused", keep_owners=True)
    assert "belongs to an impossible id" in line


@pytest.mark.skipif(os.getuid() == 0, reason="root may give files away")
def test_owners_that_cannot_be_are_left_out_with_a_single_id_only(bench: Bench) -> None:
    data = tar(file("f", uid=12, gid=34))
    assert "does not have" in refusal(bench, data, "archive-refused", keep_owners=True)
    assert (bench.unpack(data, keep_owners=True, single_id=True) / "f").stat().st_uid == os.getuid()


def test_thousands_of_nested_directories_are_unpacked(bench: Bench) -> None:
    depth = 3000
    name = "/".join(["d"] * depth)
    bench.unpack(tar(file(f"{name}/f", b"deep"), directory(name, mode=0o700)))
    with Tree(str(bench.root)) as tree:
        assert tree.read(f"/{name}/f") == b"deep"
        status = tree.lstat(f"/{name}")
        assert status is not None and stat.S_IMODE(status.st_mode) == 0o700
        tree.remove("/d")
    assert not os.listdir(bench.root)


def test_a_name_too_long_for_the_file_system_is_an_error(bench: Bench) -> None:
    assert "too long" in refusal(bench, tar(file("x" * 300)), "archive-write").lower()


@pytest.mark.parametrize("size", [-1, -4096, 1 << 62])
def test_a_size_that_lies_is_an_error(bench: Bench, size: int) -> None:
    info, _ = file("f")
    info.size = size
    data = info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048
    with pytest.raises(CommandError):
        bench.unpack(data)


def test_a_header_that_wants_all_memory_is_an_error(bench: Bench) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = 1 << 40
    refusal(bench, info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048, "archive-damaged")


def test_a_member_larger_than_the_disk_is_refused_before_it_is_written(bench: Bench) -> None:
    info, _ = file("f")
    info.size = 1 << 55
    line = refusal(bench, info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048, "archive-refused")
    assert "more than there is space" in line
    assert not os.listdir(bench.root)


# --- damaged ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", COMPRESSIONS)
def test_a_truncated_archive_is_an_error(bench: Bench, form: str) -> None:
    data = COMPRESSIONS[form](tar(file("a", os.urandom(5000)), file("b", os.urandom(5000))))
    for length in (len(data) // 3, len(data) // 2, 6000):
        refusal(bench, data[:length], "archive-damaged")


def test_the_end_and_the_last_padding_may_be_missing(bench: Bench) -> None:
    data = tar(file("a"), file("b", b"last"))
    whole = data[: 512 * 3 + 4]
    assert (bench.unpack(whole) / "b").read_bytes() == b"last"


@pytest.mark.parametrize("data", [b"", b"\0" * 5, b"PK\3\4" + b"x" * 600, b"x" * 1024, b"\x1f\x8b" + b"x" * 600])
def test_what_is_no_archive_is_an_error(bench: Bench, data: bytes) -> None:
    refusal(bench, data, "archive-damaged")


def test_a_damaged_header_is_not_taken_for_the_end(bench: Bench) -> None:
    data = bytearray(tar(file("a"), file("b")))
    data[1024 + 3] ^= 0xFF
    refusal(bench, bytes(data), "archive-damaged")


def test_an_archive_that_is_not_there_is_an_error(bench: Bench) -> None:
    with Tree(str(bench.root)) as tree, pytest.raises(CommandError) as caught:
        carry_out(Unpack("/nowhere/a.tar", "/"), tree)
    assert caught.value.name == "archive-missing"


# --- good ones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", COMPRESSIONS)
def test_every_compression_is_found_out(bench: Bench, form: str) -> None:
    content = os.urandom(700_000)
    root = bench.unpack(COMPRESSIONS[form](tar(directory("d"), file("d/f", content, mode=0o751), symlink("l", "d/f"))))
    assert (root / "l").read_bytes() == content
    assert stat.S_IMODE((root / "d/f").stat().st_mode) == 0o751


@pytest.mark.parametrize("form", ["gz", "bz2", "xz", "zst"])
def test_streams_one_after_the_other_are_one_archive(bench: Bench, form: str) -> None:
    data = tar(file("a", os.urandom(3000)), file("b", b"last"))
    compress = COMPRESSIONS[form]
    assert (bench.unpack(compress(data[:2000]) + compress(data[2000:])) / "b").read_bytes() == b"last"


def test_times_are_those_of_the_archive_directories_too(bench: Bench) -> None:
    root = bench.unpack(tar(directory("d"), file("d/f"), symlink("l", "x")))
    assert {int(path.lstat().st_mtime) for path in (root / "d", root / "d/f", root / "l")} == {MOMENT}


def test_times_that_no_clock_shows_become_the_nearest() -> None:
    assert nanoseconds(float("nan")) == 0
    assert nanoseconds(float("inf")) == LATEST * 1_000_000_000
    assert nanoseconds(-1e300) < 0


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("1795335603.655382394", 1795335603_655382394),
        ("1795335603.65538239499", 1795335603_655382394),
        ("1795335603.5", 1795335603_500000000),
        ("1795335603", 1795335603_000000000),
        ("-1.000000001", -1_000000001),
        ("-0.5", -500000000),
    ],
)
def test_times_keep_all_their_digits(bench: Bench, text: str, exact: int) -> None:
    """A float of today has a quarter of a microsecond: a root that was packed and unpacked was not the same again."""
    member = file("f", mtime=0)
    member[0].pax_headers = {"mtime": text}
    assert (bench.unpack(tar(member)) / "f").stat().st_mtime_ns == exact


def test_a_time_that_is_no_decimal_number_is_taken_as_tarfile_reads_it() -> None:
    assert nanoseconds(1.5e3, "1.5e3") == 1_500_000_000_000
    assert nanoseconds(7, "0" * 5000 + "7") == 7_000_000_000


def test_a_directory_without_rights_is_filled_before_it_gets_them(bench: Bench) -> None:
    root = bench.unpack(tar(directory("d", mode=0o555), file("d/f")))
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o555
    assert (root / "d/f").read_bytes() == b"content"


def test_missing_directories_get_0755_whatever_the_umask_is(bench: Bench) -> None:
    old = os.umask(0o077)
    try:
        root = bench.unpack(tar(file("a/b/f")), "/x/y")
    finally:
        os.umask(old)
    for path in (root, root.parent, root / "a", root / "a/b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_hard_links_are_one_file(bench: Bench) -> None:
    root = bench.unpack(tar(file("./d/a"), hard_link("./b", "./d/a"), hard_link("c", "/b")))
    assert (root / "c").samefile(root / "d/a")


def test_a_member_below_a_link_goes_where_the_link_leads_inside(bench: Bench) -> None:
    root = bench.unpack(tar(directory("usr/lib"), symlink("lib", "usr/lib"), directory("lib"), file("lib/x")))
    assert (root / "lib").is_symlink()
    assert (root / "usr/lib/x").is_file()


def test_an_absolute_link_is_followed_in_a_whole_root(bench: Bench) -> None:
    root = bench.unpack(tar(directory("usr/lib"), symlink("lib", "/usr/lib"), file("lib/x")))
    assert (root / "usr/lib/x").is_file()


def test_the_last_of_equal_names_wins_and_types_may_change(bench: Bench) -> None:
    root = bench.unpack(tar(file("a", b"1"), file("a", b"2"), symlink("b", "a"), file("b", b"3"), symlink("c", "x")))
    assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"2", b"3")
    assert not (root / "b").is_symlink()
    root = bench.unpack(tar(file("d"), directory("d"), file("d/f")), "/second")
    assert (root / "d/f").is_file()


def test_a_file_in_place_of_a_directory_is_refused(bench: Bench) -> None:
    line = refusal(bench, tar(directory("d"), file("d/f"), file("d")), "archive-refused")
    assert "d: is not a directory, but a directory is there" in line


def test_replacing_a_hard_link_leaves_the_other_name_alone(bench: Bench) -> None:
    (bench.root / "old").write_text("old")
    os.link(bench.root / "old", bench.root / "new")
    bench.unpack(tar(file("new", b"new")))
    assert (bench.root / "old").read_text() == "old"


def test_subdir_takes_what_is_below_and_its_name_away(bench: Bench) -> None:
    data = tar(directory("./p-1"), file("./p-1/bin/x"), hard_link("./p-1/y", "./p-1/bin/x"), file("./other"))
    root = bench.unpack(data, "/opt", subdir="p-1/")
    assert sorted(os.listdir(root)) == ["bin", "y"]


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_subdir_that_is_not_there_is_an_error(bench: Bench, form: str) -> None:
    data = tar(file("a/b")) if form == "tar" else zipped(("a/b", b"x", REGULAR))
    refusal(bench, data, "archive-no-subdir", subdir="c", form=form)


def test_without_leaves_out_names_and_what_is_below(bench: Bench) -> None:
    data = tar(directory("./dev"), file("./dev/x"), file("./devices"), file("./etc/hosts"), file("./etc/passwd"))
    root = bench.unpack(data, without=("dev", "etc/hosts"))
    assert sorted(os.listdir(root)) == ["devices", "etc"]
    assert os.listdir(root / "etc") == ["passwd"]


def test_names_may_have_any_bytes_and_any_length(bench: Bench) -> None:
    names = ["a\nb", "caf\udce9", "x" * 250, "/".join(["y" * 200] * 30)]
    root = bench.unpack(tar(*[file(name) for name in names]))
    assert os.path.exists(root / "a\nb")
    assert os.path.exists(os.fsencode(root) + b"/caf\xe9")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(bench: Bench, form: int) -> None:
    name = "/".join(["z" * 60] * 3)
    assert (bench.unpack(tar(file(name), form=form)) / name).is_file()


def sparse() -> bytes:
    """Make a file of 1 GiB with one piece of data, as GNU tar writes it with --sparse --format=posix."""
    real = 1 << 30
    table = f"1\n{real - 512}\n512\n".encode().ljust(512, b"\0")
    headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "holes",
        "GNU.sparse.realsize": str(real),
    }
    return tar(file("GNUSparseFile.0/holes", table + b"x" * 512, pax_headers=headers), file("after"))


def test_a_sparse_file_has_holes(bench: Bench) -> None:
    root = bench.unpack(sparse())
    status = (root / "holes").stat()
    assert status.st_size == 1 << 30
    assert status.st_blocks * 512 < 1 << 20
    with open(root / "holes", "rb") as content:
        content.seek(-513, os.SEEK_END)
        assert content.read() == b"\0" + b"x" * 512
    assert (root / "after").read_bytes() == b"content"


# --- zip ----------------------------------------------------------------------------------------------------------


def test_a_zip_keeps_modes_links_and_times(bench: Bench) -> None:
    data = zipped(
        ("d/", b"", stat.S_IFDIR | 0o750),
        ("d/run", b"#!", stat.S_IFREG | 0o4755),
        ("l", b"d/run", stat.S_IFLNK | 0o777),
    )
    root = bench.unpack(data, form="zip")
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "d/run").stat().st_mode) == 0o755
    assert os.readlink(root / "l") == "d/run"
    assert int((root / "d/run").stat().st_mtime) == MOMENT


def test_a_zip_without_unix_modes_gets_usual_ones(bench: Bench) -> None:
    root = bench.unpack(zipped(("plain", b"x", 0o700), ("d/", b"", 0o700), create_system=0), form="zip")
    assert stat.S_IMODE((root / "plain").stat().st_mode) == 0o644
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o755


def test_an_encrypted_zip_is_refused(bench: Bench) -> None:
    data = bytearray(zipped(("a", b"secret", REGULAR)))
    for place in (data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8):
        data[place] |= 1
    assert "a: is encrypted" in refusal(bench, bytes(data), "archive-refused", form="zip")


def test_a_zip_never_gives_more_than_its_sizes_say(bench: Bench) -> None:
    data = bytearray(zipped(("bomb", b"\0" * 1_000_000, REGULAR)))
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = (1000).to_bytes(4, "little")
    refusal(bench, bytes(data), "archive-damaged", form="zip")
    assert (bench.root / "bomb").stat().st_size <= 1000


def test_a_zip_that_claims_more_than_the_disk_is_refused(bench: Bench) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}", b"x")
            archive.infolist()[-1].file_size = 1 << 50
    assert "space" in refusal(bench, target.getvalue(), "archive-refused", form="zip")


def test_a_truncated_zip_is_an_error(bench: Bench) -> None:
    data = zipped(("a", os.urandom(3000), REGULAR))
    refusal(bench, data[:2000], "archive-damaged", form="zip")
