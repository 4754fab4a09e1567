"""`!Install [..]` and `!BuildDeps [..]`: packages of the distribution.

    setup:
    - !Debian bookworm
    - !BuildDeps [gcc, libc6-dev]
    - !Install [python3, nginx=1.22.1-9]

`!BuildDeps` are removed at the end of the build, with all that was installed only for them; one that was there
before, or is named by an `!Install` too, stays. A version follows as apt (`=`) or apk (`=`, `~`, `>`) has it.
Packages that are only recommended are not installed. Lists of packages are fetched again after an hour; packages
that were fetched are kept in the cache. Debian, Ubuntu, Alpine, and roots of images and archives that are those.
"""

from __future__ import annotations

from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind, StepError
from vaggapy.build.packages import install, install_for_build
from vaggapy.config.shapes import TEXTS, Field, Shape
from vaggapy.record import Record


class Install(Record):
    """`packages`: names, in this order."""

    packages: tuple[str, ...]


class BuildDeps(Record):
    """`packages`: names, in this order."""

    packages: tuple[str, ...]


def act(step: Install, context: Context) -> Done:
    """Install packages to stay."""
    return Done(*install(context, _checked(step.packages)))


def act_build_deps(step: BuildDeps, context: Context) -> Done:
    """Install packages until the end of the build."""
    return Done(*install_for_build(context, _checked(step.packages)))


def _checked(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Check that no package would be taken for an option or for several words."""
    for name in packages:
        if not name or name.startswith("-") or name.split() != [name]:
            raise StepError(f"{name!r} is not the name of a package", "write one name an item", "bad-package")
    return packages


FIELDS = {"packages": Field("list of texts", "", needed=True)}
KIND = (
    Kind(Shape("!Install", (TEXTS,), FIELDS, "packages"), Install, act),
    Kind(Shape("!BuildDeps", (TEXTS,), FIELDS, "packages"), BuildDeps, act_build_deps),
)
