"""Which files make up a project, and which of them is to blame for a problem. Pure; `others` reads them.

Source: vagga.md 2.3. Differs: the files that are not committed (`vagga.local.yaml` and so on) win over the main file,
which the documentation of vagga says, though its code does otherwise; a file that is named twice counts once, where it
is stronger.
"""

from __future__ import annotations

from vaggapy.config.tree import Mapping, Tree
from vaggapy.config.values import Reader
from vaggapy.errors import Problem
from vaggapy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vaggapy.config.tree import Node
    from vaggapy.errors import Mark

KEY = "mixins"
SKIPPED = "mixin-skipped"
TOO_OLD = "vagga-too-old"


class Part(Record):
    """One file of a project. `via`: the files through which it was mixed in."""

    file: str
    tree: Tree
    via: tuple[str, ...] = ()


class Parts(Record):
    """All files of a project, `over` and `under` the main one; the strongest of each first.

    `absent`: problems of files that are named and not there.
    """

    main: Part
    over: tuple[Part, ...] = ()
    under: tuple[Part, ...] = ()
    absent: tuple[Problem, ...] = ()

    def without(self, files: Iterable[str]) -> Parts:
        """Return the parts but for some files, and what only those have mixed in."""
        gone = frozenset(files)

        def kept(parts: tuple[Part, ...]) -> tuple[Part, ...]:
            return tuple(part for part in parts if not gone.intersection((part.file, *part.via)))

        return Parts(self.main, kept(self.over), kept(self.under), self.absent)


def paths(reader: Reader, node: Node | None) -> tuple[tuple[str, Mark], ...]:
    """Return the files that a list of mixins names, relative to the directory of the file with the list."""
    found = reader.texts(node, f"'{KEY}'") if node is not None else ()
    checked = ((reader.path(item, text, "mixin", absolute=False), item.mark) for text, item in found if text)
    return tuple((path, mark) for path, mark in checked if path)


def named(tree: Tree, file: str) -> tuple[tuple[str, Mark], ...]:
    """Return the files that a file mixes in; what is wrong in the list is reported by `bind`."""
    entries = tree.root.entries if isinstance(tree.root, Mapping) else ()
    return paths(Reader(file), next((node for key, node in entries if key.text == KEY), None))


def blamed(parts: Parts, problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Return the problems of each mixin, by its file; of the main file and what is its own, under ""."""
    own = {parts.main.file, *parts.main.tree.included}
    owners: dict[str, str] = {}
    for part in (*parts.over, *parts.under):
        for file in (part.file, *part.tree.included):
            if file not in own:
                owners.setdefault(file, part.file)
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(owners.get(problem.mark.file, ""), []).append(problem)
    return found


def left_out(part: Part, problems: list[Problem]) -> Problem:
    """Return the warning for a mixin that is not used; a vagga that is too old for it explains all the rest."""
    first = next((problem for problem in problems if problem.name == TOO_OLD), problems[0])
    more = f", and {len(problems) - 1} more" if first.name != TOO_OLD and len(problems) > 1 else ""
    remedy = f"{first.remedy}; vagga _check shows all problems" if more and first.remedy else first.remedy
    what = f"mixin '{part.file.rpartition('/')[2]}' is left out: {first.what}{more}"
    return Problem(first.mark, what, remedy or "vagga _check shows all problems", SKIPPED)
