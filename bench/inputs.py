"""Row: a check that 50,000 files of a tree are the same as before, against `git status` on the same tree."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path

from measure import UNCHANGED, Bench, Line, alternate, timed

FILES, PER_DIRECTORY, PER_PACKAGE = 50_000, 20, 200
LIMIT = 1.5
CHECK = """
import os, sys
sys.path[:0] = sys.argv[2:]
from vaggapy.build import inputs
from vaggapy.build.rules import DEFAULT_IGNORE
from vaggapy.build.actions import Selection
from vaggapy.build.sources import Tree
look = inputs.looker(sys.argv[1], "", {})
assert look(Tree("/work", Selection(None, DEFAULT_IGNORE)))
os._exit(0)
"""


def input_lines(bench: Bench) -> list[Line]:
    """Interpreter start included, as one process each; both have seen the tree before and nothing has changed."""
    git = bench.program("git")
    tree = bench.directory / "inputs"
    _grow(tree)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    own = [git, "-C", str(tree), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*own, *words], **quiet)  # type: ignore[call-overload]
    caches = bench.directory / "caches"
    caches.mkdir(mode=0o700)
    environ = {**bench.environ, "XDG_CACHE_HOME": str(caches)}
    check = [bench.python, "-I", "-S", "-c", CHECK, str(tree), str(Path(__file__).parents[1])]
    time.sleep(UNCHANGED)
    status = [git, "-C", str(tree), "status", "--porcelain"]
    for words in (check, status):
        timed(words, environ)
    ours, theirs = alternate(bench.runs, partial(timed, check, environ), partial(timed, status, environ))
    return [
        Line("50,000 files of a `!Copy` looked at, nothing changed", "ms", ours, "git status", theirs, LIMIT, "ratio")
    ]


def _grow(tree: Path) -> None:
    for number in range(FILES // PER_DIRECTORY):
        directory = tree / f"package{number * PER_DIRECTORY // PER_PACKAGE}" / f"part{number}"
        os.makedirs(directory)
        for name in range(PER_DIRECTORY):
            (directory / f"module_{name}.py").write_text(f"value = {number}, {name}\n" * 10)
