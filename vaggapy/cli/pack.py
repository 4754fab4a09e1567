"""`vagga _pack_image`: the root of a container as a tar archive, by the worker, who sees the ids of the namespace.

The worker writes to its standard output, which is ours: nothing is copied on the way. For a file, that is a new one
beside it, which gets the name when all of the archive is in it.
"""

from __future__ import annotations

import os

from vaggapy.build import store
from vaggapy.build.jobs import STORAGE, Pack
from vaggapy.build.pack import READER_GONE
from vaggapy.build.run import Options as BuildOptions
from vaggapy.cli import argv, building, storage
from vaggapy.errors import ExitCode, UsageError, VaggaError
from vaggapy.host import probe
from vaggapy.plan import check_owner
from vaggapy.sandbox.spec import OUTPUT
from vaggapy.supervise.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.build.run import Builder
    from vaggapy.cli.argv import Options
    from vaggapy.config.model import Project

PACK = {
    **argv.HELP,
    "-f": (argv.VALUE, "file", ""),
    "--file": (argv.VALUE, "file", ""),
    "-z": (argv.FLAG, "compression", "gz"),
    "--gzip": (argv.FLAG, "compression", "gz"),
    "-j": (argv.FLAG, "compression", "bz2"),
    "--bzip2": (argv.FLAG, "compression", "bz2"),
    "-J": (argv.FLAG, "compression", "xz"),
    "--xz": (argv.FLAG, "compression", "xz"),
    "--zstd": (argv.FLAG, "compression", "zst"),
    **argv.BUILD,
}
OUT = 1


def run(words: tuple[str, ...], options: Options, load: Callable[[], Project]) -> int:
    """Pack the image that the words name and return the exit code.

    Raises:
        VaggaError: it cannot be built, or the archive not be written.
        BrokenPipeError: the reader is gone.
    """
    given, names = storage.given_words("_pack_image", words, PACK, ("container",))
    if "help" in given:
        from vaggapy.cli.app import help_text  # typer takes 40 ms

        print(help_text("_pack_image"), end="")
        return ExitCode.OK
    file = given.get("file")
    if file == "":
        raise UsageError('Bad value ""', "--file takes the path of the archive", "bad-option-value")
    if file is None and os.isatty(OUT):
        raise UsageError(
            "an archive is not written to a terminal", "write it to a file with -f FILE, or to a pipe", "pack-terminal"
        )
    signals, caller, project = Signals(), probe(), load()
    if not options.ignore_owner_check:
        check_owner(caller.uid, os.stat(project.directory).st_uid, project.directory)
    name = storage.known_container(project, names[0])
    places = store.places(project.directory, project.settings, caller.environ, create=True)
    maps = storage.id_maps(caller)
    how = given.get("build", options.build)
    directory = store.linked(places, name) if how == "no-version-check" else ""
    if not directory or store.hold(directory) < 0:
        build = how != "no-build"
        directory = building.ensure(project, name, places, caller, signals, maps, build=build)
        store.hold(directory)
    made = building.builder(project, places, caller, signals, maps, BuildOptions())
    job = Pack(f"{STORAGE}{directory.removeprefix(places.base)}/root", "", given.get("compression", ""))
    if file is None:
        _write(made, job)
    else:
        _write_file(made, job, os.path.join(caller.directory, file))
    return ExitCode.OK


def _write(made: Builder, job: Pack) -> None:
    """Let the worker write to our standard output."""
    try:
        made.work((job,), (), "", streams=OUTPUT)
    except VaggaError as error:
        if error.code == READER_GONE:
            raise BrokenPipeError from error  # as for all that vagga writes itself
        raise


def _write_file(made: Builder, job: Pack, path: str) -> None:
    """Let the worker write a new file, and give it its name."""
    path = os.path.realpath(path)  # a link stays what it is
    if os.path.exists(path) and not os.path.isfile(path):
        raise VaggaError(f"{path} is not a file", "name a new file, or write to standard output", "pack-write")
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)[:200]}.{os.getpid()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        kept = os.dup(OUT)
        try:
            os.dup2(fd, OUT)
            try:
                _write(made, job)
            finally:
                os.dup2(kept, OUT)
            os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(kept)
            os.close(fd)
    except OSError as error:
        raise VaggaError(f"{path}: {error.strerror or error}", "write it elsewhere", "pack-write") from error
