"""Globs and regular expressions: which entries of a tree count."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.build.actions import Selection
from vaggapy.build.rules import DEFAULT_IGNORE, DEFAULT_RULES, ENTER, SKIP, TAKE, selector
from vaggapy.errors import CommandError

TREE = ("dir/", "dir/subdir/", "dir/subdir/test.ini", "dir/test.py", "dir/test.rs", "test.py", "test.rs")


def chosen(selection: Selection, tree: tuple[str, ...] = TREE) -> list[str]:
    """Return what a walk over a tree takes: files, and directories that are taken or hold something that is."""
    decide = selector(selection)
    entered, found = {""}, []
    for entry in sorted(tree):
        path, is_directory = entry.rstrip("/"), entry.endswith("/")
        if path.rpartition("/")[0] not in entered:
            continue
        said = decide.verdict(path, is_directory)
        if is_directory and said != SKIP:
            entered.add(path)
        if said == TAKE:
            found.append(entry)
    return found


def files(*rules: str, tree: tuple[str, ...] = TREE) -> list[str]:
    return [path for path in chosen(Selection(rules), tree) if not path.endswith("/")]


ALL = [path for path in TREE if not path.endswith("/")]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (("/",), ALL),
        (("/*.rs",), ["test.rs"]),
        (("/dir",), ["dir/subdir/test.ini", "dir/test.py", "dir/test.rs"]),
        (("/dir/",), ["dir/subdir/test.ini", "dir/test.py", "dir/test.rs"]),
        (("/**/*.rs",), ["dir/test.rs", "test.rs"]),
        (("!*.rs", "/dir"), ["dir/subdir/test.ini", "dir/test.py"]),
        (("!dir/", "dir/"), ["dir/subdir/test.ini", "dir/test.py", "dir/test.rs"]),
        (("dir/", "!dir/"), []),
        (("!*.py", "/dir"), ["dir/subdir/test.ini", "dir/test.rs"]),
        (("!dir", "/dir/*.py"), ["dir/test.py"]),
        (("/dir/*.py", "!dir"), []),
        (("!*.py",), []),
        ((), []),
        (("/dir/subdir/test.ini",), ["dir/subdir/test.ini"]),
        (("/dir/**",), ["dir/subdir/test.ini", "dir/test.py", "dir/test.rs"]),
        (("/dir/**/test.*",), ["dir/subdir/test.ini", "dir/test.py", "dir/test.rs"]),
        (("/", "!dir", "/dir/subdir"), ["dir/subdir/test.ini", "test.py", "test.rs"]),
        (("/test.p?",), ["test.py"]),
        (("/test.[pq]y",), ["test.py"]),
        (("/test.[!p]*",), ["test.rs"]),
        (("/test.[a-p]y",), ["test.py"]),
    ],
)
def test_the_rules_take_these_files(rules: tuple[str, ...], expected: list[str]) -> None:
    assert files(*rules) == expected


def test_a_directory_that_a_rule_names_with_a_slash_counts_even_if_it_is_empty() -> None:
    tree = ("a/", "a/b/", "c/")
    assert chosen(Selection(("/a/",)), tree) == ["a/"]
    assert chosen(Selection(("/a",)), tree) == []
    assert chosen(Selection(("/*/",)), tree) == ["a/", "c/"]


def test_a_directory_on_the_way_is_entered_but_does_not_count_by_itself() -> None:
    decide = selector(Selection(("/a/b/c",)))
    assert [decide.verdict(path, True) for path in ("a", "a/b", "a/x", "x")] == [ENTER, ENTER, SKIP, SKIP]
    assert decide.verdict("a", False) == SKIP


def test_a_rule_for_directories_does_not_mean_files() -> None:
    assert files("/", "!x/", tree=("x", "y/", "y/x/", "y/x/z")) == ["x"]


def test_a_star_stays_within_a_name_only_where_the_rule_has_a_slash() -> None:
    tree = ("a/", "a/x/", "a/x/b")
    assert files("/a*b", tree=tree) == []
    assert files("/", "!a*b", tree=tree) == []


def test_a_backslash_takes_the_next_character_as_it_is() -> None:
    assert files("/\\*", tree=("*", "a")) == ["*"]
    assert files("/", "!\\!a", tree=("!a", "a")) == ["a"]
    assert files("\\!a", tree=("!a", "a")) == ["!a"]


@pytest.mark.parametrize("rule", ["/a[", "!", "", "/a\\", "!a[b"])
def test_a_rule_that_cannot_be_read_is_an_error(rule: str) -> None:
    with pytest.raises(CommandError, match=r"\[bad-rule\]"):
        selector(Selection((rule,)))


def test_a_regular_expression_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(CommandError, match=r"\[bad-regex\]"):
        selector(Selection(None, "("))


LEFT = (
    *(".git/", ".git/HEAD", "a/", "a/.hg/", "a/.hg/x", "a~", "a/b~", "b.bak", "c.orig", "#d#", "a/#e#"),
    *("good", "a/good", "a/git", "a.bak.txt", "#f"),
)


def test_the_usual_rules_leave_out_what_tools_leave_behind() -> None:
    expected = ["#f", "a.bak.txt", "a/git", "a/good", "good"]
    assert files(*DEFAULT_RULES, "/", tree=LEFT) == expected
    both = chosen(Selection(None, DEFAULT_IGNORE), LEFT)
    assert [path for path in both if not path.endswith("/")] == expected


def test_an_expression_includes_entries_and_enters_all_directories() -> None:
    assert chosen(Selection(None, "", r"\.py$")) == ["dir/test.py", "test.py"]
    assert chosen(Selection(None, "^dir/s", r"\.ini$|^dir$")) == ["dir/"]


def test_a_name_that_is_not_utf8_or_has_a_line_end_matches_too() -> None:
    odd = b"a\xff\nb".decode("utf-8", "surrogateescape")
    assert files("/a*b", tree=(odd,)) == [odd]
    assert chosen(Selection(None, "", "^a"), (odd,)) == [odd]


# --- against a slow and simple one --------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "ab", "c.x"])
PATHS = st.lists(NAMES, min_size=1, max_size=4)
GLOBS = st.sampled_from(["a", "b", "*", "?", "a*", "*.x", "[ab]", "**"])
RULES = st.builds(
    lambda exclude, names, only: ("!" if exclude else "") + "/" + "/".join(names) + ("/" if only else ""),
    st.booleans(),
    st.lists(GLOBS, min_size=1, max_size=3),
    st.booleans(),
)


def names(globs: list[str], path: list[str]) -> bool:
    """Return whether globs, one for each name, match a whole path."""
    if not globs:
        return not path
    if globs[0] == "**":
        if len(globs) == 1:
            return bool(path)
        return any(names(globs[1:], path[count:]) for count in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], globs[0]) and names(globs[1:], path[1:])


def slow(rules: list[str], path: list[str]) -> bool:
    """Return whether a file counts, were all directories entered."""
    exact: bool | None = None
    below: bool | None = None
    for rule in rules:
        includes = not rule.startswith("!")
        globs = rule.lstrip("!").strip("/").split("/")
        if names(globs, path) and not rule.endswith("/"):
            exact = includes
        if any(names(globs, path[:count]) for count in range(1, len(path))):
            below = includes
    return bool(below if exact is None else exact)


@given(st.lists(RULES, max_size=5), PATHS)
def test_a_simple_matcher_says_the_same_of_a_file(rules: list[str], path: list[str]) -> None:
    said = selector(Selection(tuple(rules))).verdict("/".join(path), is_directory=False)
    assert (said == TAKE) == slow(rules, path)


@given(st.lists(RULES.filter(lambda rule: not rule.startswith("!")), max_size=5), PATHS)
def test_without_exclusions_every_file_that_counts_is_reached(rules: list[str], path: list[str]) -> None:
    decide = selector(Selection(tuple(rules)))
    if decide.verdict("/".join(path), is_directory=False) == TAKE:
        above = ["/".join(path[:count]) for count in range(1, len(path))]
        assert all(decide.verdict(directory, is_directory=True) != SKIP for directory in above)


def test_fifty_thousand_paths_take_less_than_two_seconds() -> None:
    decide = selector(Selection((*DEFAULT_RULES, "/", "!/doc/**/*.html")))
    paths = [
        f"package{one}/module{two}/file_{three}.py" for one in range(50) for two in range(50) for three in range(20)
    ]
    begin = time.process_time()
    assert all(decide.verdict(path, is_directory=False) == TAKE for path in paths)
    assert time.process_time() - begin < 2
