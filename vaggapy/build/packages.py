"""Packages of whatever distribution the root is; what steps of several distributions share. Pure."""

from __future__ import annotations

from vaggapy.build import apk, apt
from vaggapy.build.context import ALPINE, DEBIAN, UBUNTU
from vaggapy.build.kind import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.build.actions import Action
    from vaggapy.build.context import Context

NAMES = {DEBIAN: "Debian", UBUNTU: "Ubuntu", ALPINE: "Alpine"}
APT = (DEBIAN, UBUNTU)
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.+-_")


def install(context: Context, packages: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return how packages are installed, and the context after it.

    Raises:
        StepError: there is no distribution, or one whose packages nobody here can install.
    """
    needs(context, *NAMES)
    return apk.install(context, packages) if context.distro == ALPINE else apt.install(context, packages)


def install_for_build(context: Context, packages: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return how packages are installed that are removed at the end of the build, and the context after it.

    Raises:
        StepError: as `install`.
    """
    needs(context, *NAMES)
    if context.distro == ALPINE:
        return apk.install_for_build(context, packages)
    return apt.install_for_build(context, packages)


def finished(context: Context) -> tuple[Action, ...]:
    """Return what the end of a build takes away of what belongs to packages."""
    if context.distro == ALPINE:
        return apk.finished(context)
    return apt.finished(context) if context.distro in APT else ()


def needs(context: Context, *distros: str) -> None:
    """Check that the root is one of these distributions.

    Raises:
        StepError: it is none, or another.
    """
    if context.distro in distros:
        return
    wanted = " or ".join(NAMES[distro] for distro in distros)
    if not context.distro:
        raise StepError(
            "the root has no distribution yet",
            "begin setup with !Debian, !Ubuntu, !Alpine, !Image or another step that makes a root",
            "no-distribution",
        )
    raise StepError(
        f"this step is for {wanted}, the root is {shown(context)}", "use the steps of that", "wrong-distribution"
    )


def begins(context: Context) -> None:
    """Check that no distribution was installed before.

    Raises:
        StepError: there is one already.
    """
    if context.distro:
        raise StepError(
            f"the root is already {shown(context)}",
            "one step of a container makes the root, take the others away",
            "second-distribution",
        )


def release(name: str, remedy: str) -> str:
    """Check the name of a release.

    Raises:
        StepError: it cannot be one.
    """
    if not name or not name[0].isalpha() or not set(name) <= LETTERS:
        raise StepError(f"{name!r} is not the name of a release", remedy, "bad-release")
    return name


def needs_ids(context: Context, what: str) -> None:
    """Check that files can have other owners than root.

    Raises:
        StepError: there is only one id.
    """
    if context.machine.single_id:
        raise StepError(
            f"{what} has files of several users, and you have no user ids but your own",
            "install the package uidmap, run 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
            "USER'; or unpack a root with !Image or !Tar",
            "build-needs-ids",
        )


def shown(context: Context) -> str:
    """Return distribution and release for people."""
    return f"{NAMES.get(context.distro, context.distro)} {context.release}".rstrip()
