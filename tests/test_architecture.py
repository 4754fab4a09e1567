"""The rules of docs/ARCHITECTURE.md that a program can check, read from the sources by `ast`.

Each rule is a function from modules to sentences about what breaks it. One test holds all rules against the package;
another shows for each rule a small source that breaks it, so that no rule is one that cannot fail.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = "vaggapy"

LAYERS = (
    ("__init__",),
    ("record",),
    ("errors", "spelling"),
    ("host",),
    ("config",),
    ("sandbox",),
    ("net",),
    ("build",),
    ("supervise",),
    ("volumes", "plan", "lineup", "equip"),
    ("cache",),
    ("cli", "__main__"),
)
PURE = [
    "record",
    "spelling",
    "errors",
    "config.model",
    "config.rules",
    "config.tree",
    "config.bind",
    "config.checks",
    "config.compose",
    "config.conditions",
    "config.containers",
    "config.durations",
    "config.fields",
    "config.group",
    "config.health",
    "config.lifecycle",
    "config.outputs",
    "config.reach",
    "config.restarts",
    "config.rule_fields",
    "config.syntax",
    "config.templates",
    "config.triggers",
    "config.values",
    "config.versions",
    "sandbox.spec",
    "sandbox.operations",
    "sandbox.explain",
    "config.references",
    "config.settings",
    "config.shapes",
    "config.steps",
    "config.volumes",
    "net.interfaces",
    "net.topology",
    "build.actions",
    "build.apk",
    "build.apt",
    "build.archives",
    "build.clean",
    "build.bootstrap",
    "build.context",
    "build.finish",
    "build.globs",
    "build.images.credentials",
    "build.images.manifest",
    "build.images.reference",
    "build.jobs",
    "build.kind",
    "build.names",
    "build.node",
    "build.packages",
    "build.places",
    "build.provide",
    "build.python",
    "build.recipe",
    "build.requirements",
    "build.rules",
    "build.selections",
    "build.sources",
    "supervise.catalog_forms",
    "supervise.events",
    "supervise.policy",
    "supervise.ruled.pausing",
    "supervise.lines",
    "supervise.matching",
    "supervise.probes.document",
    "supervise.probes.outcome",
    "supervise.messages",
    "supervise.story",
    "supervise.status_records",
    "supervise.scenario",
    "supervise.simulation",
    "supervise.world",
    "supervise.stage",
    "plan",
    "lineup",
    "equip",
    "volumes",
    "cli.argv",
    "cli.complete",
    "cli.dump_rules",
    "cli.listing",
    "cli.options",
]
PURE_PACKAGES = ("build.steps.",)
EFFECTS = [
    "os",
    "posix",
    "time",
    "signal",
    "_signal",
    "socket",
    "_socket",
    "select",
    "subprocess",
    "logging",
    "threading",
    "random",
    "fcntl",
    "ctypes",
    "shutil",
    "tempfile",
]
OWNERS = {
    "ruamel": ("config.tree",),
    "ctypes": ("sandbox.linux",),
    "_ctypes": ("sandbox.linux",),
    "typer": ("cli.app", "cli.builtin", "cli.console"),
    "click": ("cli.app", "cli.builtin", "cli.console"),
    "rich": ("cli.app", "cli.builtin", "cli.buildview", "cli.console"),
    "docopt": ("cli.options",),
    "httpx": ("build.fetch", "build.registry_client", "supervise.catalog_session", "supervise.probes.web"),
    "jsonpath": ("supervise.probes.document",),
    "zstandard": ("build.pack", "build.streams"),
    "pyroute2": ("net.addresses", "net.apply"),
}
FORKS = ("fork", "forkpty", "vfork", "clone", "clone3", "rawclone", "raw_clone")
FORKING_MODULES = ("os", "posix", "pty", "linux", "libc")
LONGEST_MODULE = 500
LONGEST_FUNCTION = 60
WORN_OUT = {"manager", "managers", "helper", "helpers", "util", "utils", "handler", "handlers", "base", "common"}

# What `vagga CMD` runs through when nothing changed. What these import at module level is loaded at every start.
WARM = [
    "cli.main",
    "cli.argv",
    "cache",
    "plan",
    "host",
    "supervise.loop",
    "supervise.events",
    "supervise.policy",
    "supervise.output",
    "supervise.control",
    "cli.roots",
    "build.store",
    "volumes",
    "sandbox.run",
    "sandbox.init",
    "sandbox.perform",
    "sandbox.linux",
]
WARM_STANDARD = {
    "__future__",
    "_signal",
    "_socket",
    "array",
    "atexit",
    "binascii",
    "_ctypes",
    "errno",
    "fcntl",
    "io",
    "itertools",
    "marshal",
    "operator",
    "os",
    "posix",
    "pwd",
    "resource",
    "select",
    "stat",
    "sys",
    "termios",
    "time",
    "types",
}
HEAVY = {
    "asyncio",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "re",
    "rich",
    "ruamel",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "traceback",
    "typer",
    "typing",
}


class Module(NamedTuple):
    """A parsed source; `name` is dotted, without the package's own: `sandbox.run`, `config.__init__`."""

    name: str
    source: str
    tree: ast.Module

    def lines(self) -> list[str]:
        return self.source.splitlines()


class Import(NamedTuple):
    """One imported module, by its full name, and how it is imported."""

    target: str
    line: int
    last_line: int
    for_types: bool = False
    in_function: bool = False


def parsed(name: str, source: str) -> Module:
    return Module(name, source, ast.parse(source))


def package() -> dict[str, Module]:
    """Read every module of the package, and the program itself as `cli.vagga`."""
    found = {}
    for path in [*sorted((ROOT / PACKAGE).rglob("*.py")), ROOT / PACKAGE / "cli" / "vagga"]:
        if path.exists():
            name = ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts)
            found[name] = parsed(name, path.read_text())
    return found


def imports(module: Module) -> Iterator[Import]:
    """Give every import of a module; `from vaggapy import plan` counts as one of `vaggapy.plan`."""

    def walk(node: ast.AST, for_types: bool, in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                place = child.lineno, child.end_lineno or child.lineno, for_types, in_function
                if isinstance(child, ast.Import):
                    yield from (Import(alias.name, *place) for alias in child.names)
                elif child.module == PACKAGE:
                    yield from (Import(f"{PACKAGE}.{alias.name}", *place) for alias in child.names)
                else:
                    yield Import(child.module or "", *place)
                    if (child.module or "").startswith(f"{PACKAGE}."):
                        yield from (Import(f"{child.module}.{alias.name}", *place) for alias in child.names)
            elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                for statement in child.body:
                    yield from walk(ast.Module([statement], []), True, in_function)
                for statement in child.orelse:
                    yield from walk(ast.Module([statement], []), for_types, in_function)
            else:
                inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, for_types, inside)

    return walk(module.tree, False, False)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def rank(name: str) -> int | None:
    """Return the layer of a module name without the package's own, or None."""
    first = name.partition(".")[0]
    return next((number for number, layer in enumerate(LAYERS) if first in layer), None)


def own(target: str) -> str:
    """Return a target inside the package without the package's name, or ''."""
    return target.removeprefix(f"{PACKAGE}.") if target.startswith(f"{PACKAGE}.") else ""


def explained(docstring: str | None) -> bool:
    return any(line.strip().startswith("Size:") for line in (docstring or "").splitlines())


# --- the rules ----------------------------------------------------------------------------------------------


def lower_layers_do_not_import_higher_ones(module: Module) -> Iterator[str]:
    mine = rank(module.name)
    if mine is None:
        yield f"{module.name} belongs to no layer"
        return
    for found in imports(module):
        theirs = rank(own(found.target)) if own(found.target) else None
        if theirs is not None and theirs > mine:
            yield f"{module.name}:{found.line} imports {found.target}, which is higher"


def pure_files_import_no_effects(module: Module) -> Iterator[str]:
    if module.name in PURE or module.name.startswith(PURE_PACKAGES):
        for found in imports(module):
            if not found.for_types and found.target.partition(".")[0] in EFFECTS:
                yield f"{module.name}:{found.line} is pure, but imports {found.target}"


def a_library_has_one_owner(module: Module) -> Iterator[str]:
    for found in imports(module):
        library = found.target.partition(".")[0]
        if library in OWNERS:
            if module.name not in OWNERS[library]:
                yield f"{module.name}:{found.line} imports {library}, which belongs to {', '.join(OWNERS[library])}"
        elif library not in sys.stdlib_module_names and library != PACKAGE:
            yield f"{module.name}:{found.line} imports {library}, which belongs to nobody yet"


def only_sandbox_run_forks(module: Module) -> Iterator[str]:
    if module.name == "sandbox.run":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in FORKS and node.value.id in FORKING_MODULES:
                yield f"{module.name}:{node.lineno} uses {node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in FORKS and (node.module or "").rpartition(".")[2] in FORKING_MODULES:
                    yield f"{module.name}:{node.lineno} imports {alias.name}"


def package_files_hold_a_docstring_only(module: Module) -> Iterator[str]:
    if module.name.rpartition(".")[2] == "__init__":
        for node in module.tree.body[1:]:
            version = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
            if not (version and module.name == "__init__"):
                yield f"{module.name}:{node.lineno} holds code"


def a_module_says_what_it_is(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree) and module.name != "cli.vagga":
        yield f"{module.name} has no docstring"


def annotations_are_not_evaluated(module: Module) -> Iterator[str]:
    annotated = any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in ast.walk(module.tree))
    if annotated and not any(found.target == "__future__" for found in imports(module)):
        yield f"{module.name} lacks `from __future__ import annotations`"


def modules_and_functions_are_short(module: Module) -> Iterator[str]:
    length = len(module.lines())
    if length > LONGEST_MODULE and not explained(ast.get_docstring(module.tree)):
        yield f"{module.name} has {length} lines"
    for function in functions(module):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > LONGEST_FUNCTION and not explained(ast.get_docstring(function)):
            yield f"{module.name}:{function.lineno} {function.name} has {length} lines"


def imports_are_absolute(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{module.name}:{node.lineno} imports from {'.' * node.level}{node.module or ''}"


def a_late_import_says_why(module: Module) -> Iterator[str]:
    lines = module.lines()
    late = [found for found in imports(module) if found.in_function]
    said = {0}  # lines whose imports are explained: one comment above may stand for a block of them
    for found in late:
        beside = any("#" in line for line in lines[found.line - 1 : found.last_line])
        above = lines[found.line - 2].strip().startswith("#") if found.line > 1 else False
        if above or found.line - 1 in said:
            said.add(found.last_line)
        elif not beside:
            yield f"{module.name}:{found.line} imports {found.target} in a function and does not say why"


def names_say_something(module: Module) -> Iterator[str]:
    words = set(re.split(r"[._]+", module.name)) & WORN_OUT
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            words |= {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", node.name)} & WORN_OUT
    for word in sorted(words):
        yield f"{module.name} uses the word {word!r} as a name"


RULES: list[Callable[[Module], Iterator[str]]] = [
    lower_layers_do_not_import_higher_ones,
    pure_files_import_no_effects,
    a_library_has_one_owner,
    only_sandbox_run_forks,
    package_files_hold_a_docstring_only,
    a_module_says_what_it_is,
    annotations_are_not_evaluated,
    modules_and_functions_are_short,
    imports_are_absolute,
    a_late_import_says_why,
    names_say_something,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    broken = [sentence for module in package().values() for sentence in rule(module)]
    assert not broken, "\n".join(broken)


FUTURE = '"""Doc."""\nfrom __future__ import annotations\n'
LONG_FUNCTION = "def long():\n" + "    pass\n" * LONGEST_FUNCTION
BREACHES = [
    (lower_layers_do_not_import_higher_ones, "errors", "from vaggapy.host import Host"),
    (lower_layers_do_not_import_higher_ones, "record", "from vaggapy import plan"),
    (lower_layers_do_not_import_higher_ones, "config.model", "if TYPE_CHECKING:\n    import vaggapy.sandbox.spec"),
    (lower_layers_do_not_import_higher_ones, "somewhere", "pass"),
    (pure_files_import_no_effects, "supervise.policy", "import time"),
    (pure_files_import_no_effects, "plan", "def f():\n    from os import path  # late"),
    (a_library_has_one_owner, "config.bind", "from ruamel.yaml import YAML"),
    (a_library_has_one_owner, "sandbox.run", "import ctypes.util"),
    (a_library_has_one_owner, "cli.main", "if TYPE_CHECKING:\n    import typer"),
    (a_library_has_one_owner, "cli.app", "import requests"),
    (only_sandbox_run_forks, "sandbox.init", "os.fork()"),
    (only_sandbox_run_forks, "sandbox.init", "linux.clone(0)"),
    (only_sandbox_run_forks, "supervise.loop", "from os import fork as f"),
    (only_sandbox_run_forks, "supervise.loop", "from vaggapy.sandbox.linux import clone"),
    (package_files_hold_a_docstring_only, "config.__init__", '"""Doc."""\nx = 1'),
    (package_files_hold_a_docstring_only, "config.__init__", '"""Doc."""\n__version__ = "1"'),
    (package_files_hold_a_docstring_only, "__init__", '"""Doc."""\nimport os'),
    (a_module_says_what_it_is, "plan", "x = 1"),
    (annotations_are_not_evaluated, "plan", '"""Doc."""\nx: int = 1'),
    (annotations_are_not_evaluated, "plan", "def f() -> int:\n    return 1"),
    (modules_and_functions_are_short, "plan", '"""Doc."""\n' + "x = 1\n" * LONGEST_MODULE),
    (modules_and_functions_are_short, "plan", LONG_FUNCTION),
    (modules_and_functions_are_short, "plan", "class A:\n    async " + LONG_FUNCTION.replace("\n", "\n    ")),
    (imports_are_absolute, "plan", "from .record import Record"),
    (imports_are_absolute, "plan", "from . import record"),
    (a_late_import_says_why, "plan", "def f():\n    import os"),
    (a_late_import_says_why, "plan", "def f():\n    if 1:\n        from os import (\n            path,\n        )"),
    (a_late_import_says_why, "plan", "def f():\n    import os  # slow\n    import sys"),
    (names_say_something, "config.util", "pass"),
    (names_say_something, "plan", "class BaseThing: pass"),
    (names_say_something, "plan", "class HTTPHandler: pass"),
]
KEEPS = [
    (lower_layers_do_not_import_higher_ones, "cli.main", "from vaggapy import __version__, plan"),
    (lower_layers_do_not_import_higher_ones, "config.bind", "from vaggapy.config.model import Project"),
    (pure_files_import_no_effects, "plan", "if TYPE_CHECKING:\n    import os\nelse:\n    import sys"),
    (a_library_has_one_owner, "sandbox.linux", "import ctypes, os"),
    (only_sandbox_run_forks, "sandbox.run", "os.fork(); linux.clone(0)"),
    (package_files_hold_a_docstring_only, "__init__", '"""Doc."""\n__version__ = "1"'),
    (annotations_are_not_evaluated, "plan", FUTURE + "x: int = 1"),
    (modules_and_functions_are_short, "plan", '"""Doc.\n\nSize: one table.\n"""\n' + "x = 1\n" * LONGEST_MODULE),
    (modules_and_functions_are_short, "plan", LONG_FUNCTION.replace("():\n", '():\n    """Do.\n\n    Size: x."""\n')),
    (a_late_import_says_why, "plan", "def f():\n    import os  # slow\n    # slow\n    import sys"),
    (a_late_import_says_why, "plan", "def f():\n    # both are slow\n    import os\n    import sys"),
    (names_say_something, "plan", "class Basement: pass"),
]


@pytest.mark.parametrize(("rule", "name", "source"), BREACHES)
def test_the_rule_finds_what_breaks_it(rule: Callable[[Module], Iterator[str]], name: str, source: str) -> None:
    found = list(rule(parsed(name, source)))
    assert len(found) >= 1
    assert all(sentence.startswith(name) for sentence in found)


@pytest.mark.parametrize(("rule", "name", "source"), KEEPS)
def test_the_rule_lets_pass_what_keeps_it(rule: Callable[[Module], Iterator[str]], name: str, source: str) -> None:
    assert list(rule(parsed(name, source))) == []


def test_every_rule_has_a_source_that_breaks_it() -> None:
    assert {rule.__name__ for rule in RULES} == {rule.__name__ for rule, _, _ in BREACHES}


# --- the warm start -----------------------------------------------------------------------------------------


def loaded_with(modules: dict[str, Module], roots: list[str]) -> set[str]:
    """Return what importing `roots` imports: own modules by their short names, others by their full names."""
    seen: set[str] = set()
    waiting = [root for root in roots if root in modules]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for found in imports(modules[name]) if name in modules else ():
            if found.for_types or found.in_function:
                continue
            inside = own(found.target)
            waiting += [name for name in (inside, f"{inside}.__init__") if name in modules]
            if not inside and found.target != PACKAGE:
                seen.add(found.target)
    return seen


def test_the_warm_path_imports_light_standard_modules_only() -> None:
    modules = package()
    loaded = loaded_with(modules, ["cli.vagga", *WARM])
    assert {name for name in loaded if name not in modules} - WARM_STANDARD == set()


def test_the_warm_path_walk_sees_through_modules_and_skips_types_and_functions() -> None:
    sources = {
        "cli.main": "from vaggapy import cache\nif TYPE_CHECKING:\n    import json\ndef f():\n    import re",
        "cache": "from vaggapy.sandbox.run import go",
        "sandbox.run": "import enum, os",
        "cli.app": "import typer",
    }
    modules = {name: parsed(name, source) for name, source in sources.items()}
    assert loaded_with(modules, ["cli.main"]) == {"cli.main", "cache", "sandbox.run", "enum", "os"}


def test_python_itself_loads_nothing_heavy_for_the_warm_path() -> None:
    modules = package()
    warm = [f"{PACKAGE}.{name}" for name in WARM if name in modules]
    script = "import sys\nfor name in sys.argv[1:]: __import__(name)\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", script, *warm],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ran.stdout.split())
    assert set(warm) <= loaded
    assert loaded & HEAVY == set()


def test_the_program_is_a_plain_script_that_pip_points_at_its_python() -> None:
    program = ROOT / PACKAGE / "cli" / "vagga"
    assert program.read_text().startswith("#!python\n")
    assert program.stat().st_mode & 0o111 == 0o111
