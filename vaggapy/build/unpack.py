"""Unpacking tar and zip archives into a tree. What may be where is said in `entries`; this module reads.

Compression is found by the first bytes. A tar archive is read as a stream, each byte once. Whatever the headers say,
no more is read into memory than a bounded piece, and no more is written than a member's header says. An archive that
ends too early or is damaged is an error; what was unpacked until then is in the target and nowhere else.
"""

from __future__ import annotations

import calendar
import contextlib
import errno
import os
import stat
import tarfile
import zipfile

from vaggapy.build.entries import CAPABILITY, Entries, Meta, Refused, clean, nanoseconds, write_all
from vaggapy.build.streams import BLOCK, DAMAGED, PIECE, Damaged, Stream, decompressed
from vaggapy.build.tree import Places, Tree, reason
from vaggapy.errors import CommandError, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Self

    from vaggapy.build.actions import Unpack

ENDS = ("EmptyHeaderError", "EOFHeaderError")
"""What tarfile raises at the end of the file and at a block of zeros; it does not export the names."""
ORDINARY = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
NUL = b"\0"
XATTR = "SCHILY.xattr."
DIRECTORY, REGULAR = 0o755, 0o644
UNIX = 3
ENCRYPTED = 1
LONGEST_LINK = 4096


def unpack(action: Unpack, tree: Tree, single_id: bool = False, places: Places | None = None) -> None:
    """Unpack an archive below a directory of the tree, which is made if it is not there.

    Raises:
        CommandError: with the archive, the member if it is about one, and what to do.
    """
    source = (places or Places()).real(action.source)
    with (
        open_archive(source, action.source) as file,
        tree.directory(action.path, create=True) as target,
        Entries(target, whole=_is_top(tree, target), keep_owners=action.keep_owners, single_id=single_id) as entries,
        failures(action.source) as about,
    ):
        names = Names(clean(action.subdir), tuple(clean(name) for name in action.without))
        if action.form == "zip":
            _unzip(file, entries, names, about)
        else:
            stream = decompressed(file)
            for member in members(stream):
                about.member = member.name
                path = names.target(clean(member.name))
                if path is not None:
                    place(member, path, entries, names, stream)
        about.member = ""
        entries.finish()
        if names.subdir and not names.found:
            raise CommandError(
                f"{shown(action.source)}: there is no directory {names.subdir} in it",
                "look into the archive, and correct `subdir`",
                "archive-no-subdir",
            )


def _is_top(tree: Tree, target: int) -> bool:
    return os.path.samestat(os.fstat(tree.fd), os.fstat(target))


class Names:
    """Which names of an archive come to which path: `subdir` is taken away, `without` is left out."""

    def __init__(self, subdir: str = "", without: tuple[str, ...] = ()) -> None:
        """Take names as `clean` returns them."""
        self.subdir = subdir
        self.found = False
        self._without = without
        self._below = tuple(f"{name}/" for name in without)

    def target(self, name: str) -> str | None:
        """Return the path below the target of a clean name, None if it is not wanted."""
        if self._without and (name in self._without or name.startswith(self._below)):
            return None
        if not self.subdir:
            return name
        if name == self.subdir:
            self.found = True
            return ""
        if name.startswith(f"{self.subdir}/"):
            self.found = True
            return name[len(self.subdir) + 1 :]
        return None


# --- errors ---------------------------------------------------------------------------------------------------------


class About:
    """Which archive and which member an error is about."""

    def __init__(self, archive: str) -> None:
        """Begin with no member."""
        self.archive = archive
        self.member = ""

    def __str__(self) -> str:
        """Show both, with what cannot be printed made visible."""
        return shown(self.archive) + (f": {shown(self.member)}" if self.member else "")


def shown(name: str) -> str:
    """Return a name for people, whatever bytes it has; a long one is cut."""
    text = visible(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return text if len(text) <= 200 else f"{text[:100]}...{text[-90:]}"


@contextlib.contextmanager
def failures(archive: str) -> Iterator[About]:
    """Turn whatever goes wrong with an archive into a `CommandError`. The member is set in what is given."""
    about = About(archive)
    try:
        yield about
    except Refused as error:
        raise CommandError(f"{about}: {error}", error.remedy, "archive-refused") from error
    except (
        *DAMAGED,
        Damaged,
        tarfile.TarError,
        zipfile.BadZipFile,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:
        what = str(error) or "it ends too early"
        raise CommandError(
            f"{about}: damaged: {what}", "download or make the archive anew", "archive-damaged"
        ) from error
    except OSError as error:
        if error.errno is None:  # of bz2
            what = f"{about}: damaged: {error}"
            raise CommandError(what, "download or make the archive anew", "archive-damaged") from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room on the disk" if full else "see who owns the path, and what the step before left there"
        raise CommandError(f"{about}: {reason(error)}", remedy, "archive-write") from error


@contextlib.contextmanager
def open_archive(path: str, name: str) -> Iterator[BinaryIO]:
    """Give an archive as a file that is closed afterwards. `name`: what people call it."""
    try:
        file: BinaryIO = open(path, "rb", 0, opener=_open_plain)  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(
            f"{shown(name)}: cannot be read: {reason(error)}", "check the path of the archive", "archive-missing"
        ) from error
    with file:
        yield file


def _open_plain(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a fifo."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return fd


# --- tar ------------------------------------------------------------------------------------------------------------


class Header(tarfile.TarInfo):
    """A header that is read as by tarfile, an ordinary one in a third of the time: it is half of all the work."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return a header of 512 bytes; names of users and numbers of devices are not read from ordinary ones."""
        if len(buf) == BLOCK and buf[156:157] in ORDINARY and buf[257:262] == b"ustar":
            try:
                stored = int(buf[148:156].rstrip(b" \0"), 8)
                if stored == sum(buf) - sum(buf[148:156]) + 256:
                    return cls._ordinary(buf, encoding, errors)
            except ValueError:
                pass  # large numbers are written otherwise, and mistakes get their words there
        return super().frombuf(buf, encoding, errors)

    @classmethod
    def _ordinary(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = cls(buf[:100].split(b"\0", 1)[0].decode(encoding, errors))
        header.mode = int(buf[100:108].rstrip(b" \0") or b"0", 8)
        header.uid = int(buf[108:116].rstrip(b" \0") or b"0", 8)
        header.gid = int(buf[116:124].rstrip(b" \0") or b"0", 8)
        header.size = int(buf[124:136].rstrip(b" \0") or b"0", 8)
        header.mtime = int(buf[136:148].rstrip(b" \0") or b"0", 8)
        header.type = bytes(buf[156:157])
        if buf[157]:
            header.linkname = buf[157:257].split(b"\0", 1)[0].decode(encoding, errors)
        if buf[345]:
            header.name = f"{buf[345:500].split(NUL, 1)[0].decode(encoding, errors)}/{header.name}"
        if header.type == tarfile.DIRTYPE:
            header.name = header.name.rstrip("/")
        return header


def members(stream: Stream) -> Iterator[tarfile.TarInfo]:
    """Give the members of a tar archive; the data of one must be read, if at all, before the next is asked for.

    `TarFile.next` takes a damaged header for the end and remembers every member, so headers are read one by one here.

    Raises:
        Damaged, tarfile.ReadError: it is no tar archive, or not in one piece.
    """
    archive = tarfile.TarFile(
        fileobj=stream,  # type: ignore[arg-type]  # reading headers takes no more than it has
        tarinfo=Header,
        encoding="utf-8",
        errors="surrogateescape",
    )
    member = archive.firstmember  # type: ignore[attr-defined]  # read by the constructor
    while member is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it collects them
        yield member
        stream.seek(archive.offset)
        try:
            member = Header.fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ENDS:
                return
            raise Damaged(f"a header is damaged: {error}") from error


def place(member: tarfile.TarInfo, path: str, entries: Entries, names: Names, stream: Stream) -> None:
    """Put a member of a tar archive at `path`, which is clean.

    Raises:
        Refused, Damaged, OSError: see `Entries`.
    """
    if member.isreg():
        if member.size < 0:
            raise Damaged("its size is negative")
        if member.sparse is not None:
            _place_sparse(member, path, entries, stream)
        else:
            entries.add_file(path, meta(member), member.size, stream.data(member.size))
    elif member.isdir():
        entries.add_directory(path, meta(member))
    elif member.issym():
        entries.add_symlink(path, member.linkname, meta(member))
    elif member.islnk():
        other = names.target(clean(member.linkname))
        if other is None:
            raise Refused(f"is a hard link to {shown(member.linkname)}, which is left out", "unpack that too")
        entries.add_hard_link(path, other)
    else:
        entries.leave_out(path)


def meta(member: tarfile.TarInfo) -> Meta:
    """Return what a header says of a member."""
    headers = member.pax_headers
    attributes = {}
    if headers:
        value = headers.get(XATTR + CAPABILITY)
        if value is not None:
            attributes[CAPABILITY] = value.encode("utf-8", "surrogateescape")
    moment = nanoseconds(member.mtime, headers.get("mtime"))
    return Meta(member.mode & 0o7777, member.uid, member.gid, moment, attributes)


def _place_sparse(member: tarfile.TarInfo, path: str, entries: Entries, stream: Stream) -> None:
    """Put a file with holes: what the archive leaves out is not written."""
    pieces: list[tuple[int, int]] = member.sparse  # type: ignore[assignment]  # typeshed takes it for bytes
    end = 0
    for offset, size in pieces:
        if offset < end or size < 0 or offset + size > member.size:
            raise Damaged("the map of its holes makes no sense")
        end = offset + size
    fd = entries.open_file(path, sum(size for _, size in pieces))
    try:
        stream.seek(member.offset_data)
        for offset, size in pieces:
            os.lseek(fd, offset, os.SEEK_SET)
            for view in stream.data(size):
                write_all(fd, view)
        os.ftruncate(fd, member.size)
        entries.set_file(fd, meta(member))
    finally:
        os.close(fd)


# --- zip ------------------------------------------------------------------------------------------------------------


def _unzip(file: BinaryIO, entries: Entries, names: Names, about: About) -> None:
    """Put every member of a zip archive. Modes are those of Unix, where it has them; times are taken as UTC."""
    with zipfile.ZipFile(file) as archive:
        entries.need_space(sum(member.file_size for member in archive.infolist()))
        for member in archive.infolist():
            about.member = member.filename
            path = names.target(clean(member.filename))
            if path is not None:
                _place_zipped(archive, member, path, entries)


def _place_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, entries: Entries) -> None:
    if member.flag_bits & ENCRYPTED:
        raise Refused("is encrypted", "use an archive without a password")
    mode = member.external_attr >> 16 if member.create_system == UNIX else 0
    kind = stat.S_IFMT(mode)
    mtime = nanoseconds(_zip_time(member))
    if member.is_dir() or kind == stat.S_IFDIR:
        entries.add_directory(path, Meta(stat.S_IMODE(mode) or DIRECTORY, mtime=mtime))
    elif kind == stat.S_IFLNK:
        if member.file_size > LONGEST_LINK:
            raise Refused(f"is a link with {member.file_size} bytes")
        text = b"".join(_zipped_data(archive, member))
        entries.add_symlink(path, text.decode("utf-8", "surrogateescape"), Meta(0, mtime=mtime))
    elif kind in (0, stat.S_IFREG):
        permissions = Meta(stat.S_IMODE(mode) or REGULAR, mtime=mtime)
        entries.add_file(path, permissions, member.file_size, _zipped_data(archive, member))
    else:
        entries.leave_out(path)


def _zipped_data(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Give the content of a member, never more than its size says, with its checksum compared.

    Raises:
        Damaged: there is less, or it is compressed in an unknown way.
    """
    left = member.file_size
    try:
        with archive.open(member) as content:
            while data := content.read(PIECE):
                left -= len(data)
                if left < 0:
                    raise Damaged("it has more data than its size says")
                yield data
    except NotImplementedError as error:
        raise Damaged(f"it is compressed in an unknown way: {error}") from error
    if left:
        raise Damaged("it has less data than its size says")


def _zip_time(member: zipfile.ZipInfo) -> int:
    """Return the time of a member as if it were UTC, 1980 where it makes no sense."""
    try:
        return calendar.timegm((*member.date_time, 0, 0, 0))
    except ValueError:
        return calendar.timegm((1980, 1, 1, 0, 0, 0, 0, 0, 0))
