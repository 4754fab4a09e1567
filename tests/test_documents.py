"""The documents agree with each other and with the code: links, anchors, names of errors, exit codes."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from vaggapy.errors import ExitCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SKIPPED = {"node_modules", "dist", "build"}
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def documents() -> dict[Path, str]:
    """Read every document of the project, without what stands in code blocks."""
    found = {}
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part in SKIPPED for part in parts[:-1]):
            found[path] = FENCE.sub("", path.read_text())
    return found


def anchors(text: str) -> set[str]:
    """Return the anchors that a page gets from its headings, as forges make them."""
    found: dict[str, int] = {}
    result = set()
    for heading in HEADING.findall(text):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).lower().replace(" ", "-")
        result.add(f"{plain}-{found[plain]}" if plain in found else plain)
        found[plain] = found.get(plain, 0) + 1
    return result


def broken_links(pages: dict[Path, str]) -> Iterator[str]:
    for page, text in pages.items():
        for target in LINK.findall(text):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            goal = (page.parent / path).resolve() if path else page
            if not goal.exists():
                yield f"{page.name}: {target} is not there"
            elif anchor and anchor not in anchors(pages.get(goal, "")):
                yield f"{page.name}: {target} has no such heading"


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    assert list(broken_links(documents())) == []


def test_the_link_check_finds_a_missing_file_and_a_missing_heading(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One\n## A `b-c` of *d*!\n")
    text = page.read_text() + "[x](gone.md) [y](#one) [z](a.md#a-b-c-of-d) [w](#two) [v](https://example.org/#two)"
    assert list(broken_links({page: text})) == ["a.md: gone.md is not there", "a.md: #two has no such heading"]


def test_documents_were_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in documents()}
    assert {"README.md", "CHANGELOG.md", "docs/errors.md", "examples/quickstart/README.md"} <= names


# --- the map and the decisions ------------------------------------------------------------------------------


def test_every_decision_is_in_the_table_of_decisions_and_has_its_number() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    table = re.findall(
        r"^\| \[(\d{4})\]\((\d{4}-[a-z-]+\.md)\) \| .+ \|$", (folder / "README.md").read_text(), re.MULTILINE
    )
    assert [page for _, page in table] == pages
    assert [number for number, _ in table] == [page[:4] for page in pages]
    assert [page for page in pages if not (folder / page).read_text().startswith(f"# {page[:4]}: ")] == []


def test_the_map_of_the_code_is_short_and_names_files_and_functions_that_exist() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert len(text.splitlines()) <= 200
    now, _, _ = text.partition("## Places that are kept free")
    files = {name for name in re.findall(r"`([a-z_/]+\.py)`", now) if "*" not in name}
    assert {name for name in files if not any((top / name).exists() for top in (ROOT / "vaggapy", ROOT))} == set()
    stops = re.search(r"^## Eight stops.*?(?=^## )", now, re.MULTILINE | re.DOTALL)
    assert stops is not None
    source = "\n".join(path.read_text() for path in (ROOT / "vaggapy").rglob("*.py"))
    named = re.findall(r"`[a-z_/]+\.py`,\s+`([A-Za-z_.]+)`", stops.group())
    assert len(named) >= 8
    missing = [
        name for name in named if not re.search(rf"^ *(def|class) {name.split('.')[-1]}\b", source, re.MULTILINE)
    ]
    assert missing == []


# --- names of errors ----------------------------------------------------------------------------------------

# Callable -> (where its `name` stands among the arguments, the keyword it also goes by).
FAMILY = {"VaggaError": (2, "name"), "StepError": (2, "name"), "Problem": (3, "name"), "one_line": (2, "name")}


class Source(NamedTuple):
    """A parsed module and the constants that its names stand for."""

    file: str
    tree: ast.Module
    constants: dict[str, str]


def read_sources(texts: dict[str, str]) -> list[Source]:
    trees = {file: ast.parse(text) for file, text in texts.items()}
    constants: dict[str, str] = {}  # across modules: a name in capitals means one thing in the project, or is local
    sources = []
    for file, tree in trees.items():
        mine = {}
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                mine.update({target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)})
        constants |= mine
        sources.append(Source(file, tree, mine))
    return [Source(file, tree, {**constants, **mine}) for file, tree, mine in sources]


def family(sources: list[Source]) -> dict[str, tuple[int, str]]:
    """Return FAMILY with the subclasses of its errors that take the same arguments."""
    members = dict(FAMILY)
    classes = [node for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    for _ in classes:
        for node in classes:
            parents = [ast.unparse(parent) for parent in node.bases]
            own = any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body)
            if not own and any(parent in members and parent.endswith("Error") for parent in parents):
                members[node.name] = FAMILY["VaggaError"]
    return members


class Names(NamedTuple):
    """What was found: names of errors, and the places where a name could not be told."""

    known: set[str]
    unclear: list[str]


def names_in_code(sources: list[Source]) -> Names:
    """Find the names that are given to errors, also through functions that only pass a name on."""
    members = family(sources)
    while True:
        takers = dict(members)
        known: set[str] = set()
        unclear: list[str] = []
        for source in sources:
            known |= set(re.findall(r" \[([a-z][a-z-]+)\]$", "\n".join(texts_in(source.tree)), re.MULTILINE))
            for call, function in calls(source.tree):
                callee = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
                if callee in members and (given := argument(call, *members[callee])) is not None:
                    found, passed_on = meaning(given, function, source)
                    known |= found
                    if passed_on and function is not None:
                        takers.setdefault(function.name, place(function, passed_on))
                    elif not found and callee in FAMILY and source.file != "errors.py":
                        unclear.append(f"{source.file}:{call.lineno} {ast.unparse(given)}")
        if takers == members:
            return Names(known, unclear)
        members = takers


def texts_in(tree: ast.AST) -> Iterator[str]:
    """Give every text of a module: a line that is written out whole may end in its `[name]`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.FunctionDef | None]]:
    """Give every call with the innermost function around it."""

    def walk(node: ast.AST, function: ast.FunctionDef | None) -> Iterator[tuple[ast.Call, ast.FunctionDef | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield child, function
            yield from walk(child, child if isinstance(child, ast.FunctionDef) else function)

    return walk(tree, None)


def argument(call: ast.Call, index: int, keyword: str) -> ast.expr | None:
    for given in call.keywords:
        if given.arg == keyword:
            return given.value
    if any(isinstance(given, ast.Starred) for given in call.args[: index + 1]):
        return None
    return call.args[index] if index < len(call.args) else None


def place(function: ast.FunctionDef, parameter: str) -> tuple[int, str]:
    """Return where a parameter stands in a call, which gives no `self`."""
    names = [item.arg for item in function.args.args]
    own = names[:1] in (["self"], ["cls"])
    return (names.index(parameter) - own if parameter in names else 99), parameter


def meaning(given: ast.expr, function: ast.FunctionDef | None, source: Source) -> tuple[set[str], str]:
    """Return the names that an expression may stand for, or the parameter that it is."""
    match given:
        case ast.Constant(str(text)):
            return {text}, ""
        case ast.IfExp():
            return meaning(given.body, function, source)[0] | meaning(given.orelse, function, source)[0], ""
        case ast.Attribute(attr="name"):
            return {""}, ""  # copied from another problem, which has its own place
        case ast.Name(id=name):
            if name in source.constants:
                return {source.constants[name]}, ""
            if function and any(name == item.arg for item in [*function.args.args, *function.args.kwonlyargs]):
                return set(), name
            local: set[str] = set()
            for node in ast.walk(function or source.tree):
                if isinstance(node, ast.Assign):
                    target = node.targets[0]
                    if isinstance(target, ast.Tuple) and any(ast.unparse(item) == name for item in target.elts):
                        local.add("")  # unpacked from an error that came from elsewhere, as data
                    elif ast.unparse(target) == name:
                        local |= meaning(node.value, None, source)[0]
            return local, ""
        case _:
            return set(), ""


def names_in_package() -> Names:
    package = ROOT / "vaggapy"
    texts = {path.relative_to(package).as_posix(): path.read_text() for path in sorted(package.rglob("*.py"))}
    known, unclear = names_in_code(read_sources(texts))
    return Names(known - {""}, unclear)


def test_the_search_for_names_follows_functions_constants_and_subclasses() -> None:
    text = """
NAME = "by-constant"
class UsageError(VaggaError): ...
class FileError(UsageError): ...
class Other(Exception): ...
def complain(mark, text, name): problems.append(Problem(mark, text, "do", name))
class Reader:
    def report(self, name, *, mark): complain(mark, "what", name)
    def read(self): self.report("by-method", mark=1); self.report(name="by-keyword", mark=1)
def f(x):
    complain(1, "a", "by-function")
    kind = "by-variable"
    raise FileError("what", "do", "a-choice" if x else "b-choice")
    raise UsageError("what", "do", kind, 3)
    raise VaggaError("what", "do", NAME)
    raise Other("what", "do", "not-ours")
    raise VaggaError("what", "do", f())
    print(f"vagga: {x} (do) [by-text]")
"""
    known, unclear = names_in_code(read_sources({"a.py": text}))
    by = {f"by-{how}" for how in ("constant", "method", "keyword", "function", "variable", "text")}
    assert known == by | {"a-choice", "b-choice"}
    assert unclear == ["a.py:17 f()"]


def test_every_name_of_an_error_is_a_word_that_can_be_an_anchor() -> None:
    known, unclear = names_in_package()
    assert unclear == []
    assert [name for name in sorted(known) if not SLUG.fullmatch(name)] == []


def test_docs_errors_explains_every_name_in_the_code_and_no_other() -> None:
    headings = set(re.findall(r"^### (.+)$", documents()[ROOT / "docs" / "errors.md"], re.MULTILINE))
    assert sorted(names_in_package().known) == sorted(headings)


def test_every_error_is_explained_by_a_paragraph() -> None:
    sections = re.split(r"^### .+$", documents()[ROOT / "docs" / "errors.md"], flags=re.MULTILINE)[1:]
    assert [section for section in sections if len(section.split()) < 5] == []


# --- exit codes ---------------------------------------------------------------------------------------------


def test_docs_exit_codes_has_the_table_of_the_code() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text()
    table = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| `([A-Z_]+)` \| .+ \|$", text, re.MULTILINE)}
    assert table == {name: code for name, code in vars(ExitCode).items() if name.isupper()}
