"""Every mistake is one exact line; all of a file's mistakes come at once, in its order."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.fields import CHILD, CONTAINER, LATER, LATER_STEPS, SUPERVISE
from vaggapy.config.tree import parse
from vaggapy.config.versions import older
from vaggapy.errors import ConfigError


def lines(text: str) -> list[str]:
    """Return the lines that a user reads for a file with this text."""
    try:
        bind(parse(text, "v.yaml"), "/project", "v.yaml")
    except ConfigError as error:
        found = error
    else:
        return []
    assert found.code == 126
    return list(found.lines())


CONTAINERS = "containers:\n  py: {setup: [!Host]}\n"


def in_command(field: str) -> str:
    """Return a file whose line 4 is a key of a command, behind four spaces."""
    return f"{CONTAINERS}commands: {{c: !Command {{container: py, run: x,\n    {field}}}}}\n"


SEED = """\
commands:
  run_full_app: !Supervise
    mode: stop-on-failure
      web: !Command
        container: python
        run: "python runserver"
      celery: !Command
        container: python
        run: "python celery worker"
"""


def test_the_example_of_the_seed_document_is_told_where_children_belong() -> None:
    assert lines(SEED) == [
        "v.yaml:4:7: child 'web' is written below 'mode' "
        "(put a line 'children:' above it, indented like 'mode') [children-place]"
    ]


@pytest.mark.parametrize(
    "mode", ["stop-on-failure # default", "'stop-on-failure'", "stop-on-failure\n", "x\n\n      # note"]
)
def test_other_spellings_of_the_seed_example_are_told_the_same(mode: str) -> None:
    [line] = lines(SEED.replace("stop-on-failure", mode))
    assert line.endswith("(put a line 'children:' above it, indented like 'mode') [children-place]")


def test_children_beside_mode_are_told_where_they_belong() -> None:
    text = CONTAINERS + "commands:\n  r: !Supervise\n    web: !Command {container: py, run: x}\n"
    assert lines(text) == [
        "v.yaml:4:3: !Supervise 'r' needs 'children' (add 'children:') [missing-key]",
        "v.yaml:5:5: child 'web' is written beside the keys of !Supervise 'r' "
        "(put it below 'children:') [children-place]",
    ]


def test_N7_all_mistakes_of_a_file_come_in_one_run_in_its_order() -> None:
    text = """\
contaners: {}
containers:
  py: {setup: [!Host], enviorn: {}}
commands:
  a: !Comand {}
  b: !Command {run: x, container: pi, work_dir: x, work-dir: y}
  c: !Supervise
    mode: stop-on-failur
    children:
      web: !Command {container: py, run: x, kil: 3}
"""
    assert lines(text) == [
        "v.yaml:1:1: unknown key 'contaners' in the top of the file (did you mean 'containers'?) [unknown-key]",
        "v.yaml:3:24: unknown key 'enviorn' in container 'py' (did you mean 'environ'?) [unknown-key]",
        "v.yaml:5:6: unknown tag '!Comand' of command 'a' (did you mean '!Command'?) [unknown-tag]",
        "v.yaml:6:35: unknown container 'pi' (did you mean 'py'?) [unknown-container]",
        "v.yaml:6:52: 'work_dir' and 'work-dir' are the same key (keep one of them) [duplicate-key]",
        "v.yaml:8:11: unknown value 'stop-on-failur' of 'mode' (did you mean 'stop-on-failure'?) [bad-value]",
        "v.yaml:10:45: unknown key 'kil' in child 'web' (the keys are listed in docs/config.md) [unknown-key]",
    ]


SYNTAX = [
    ("a:\n\tb: c\n", "2:1: a tab cannot indent (indent with spaces)"),
    ("a: @b\n", "1:4: unquoted text cannot begin with this character (put the text in quotes)"),
    ("a: b: c\n", "1:5: a ':' has no place here (put text that holds ': ' in quotes)"),
    ("a:\n  b\n  c: d\n", "2:3: this line has no ':' (write 'key: value', or quote text that goes on)"),
    ("a: b\nfoo\nc: d\n", "2:1: this line has no ':' (write 'key: value', or quote text that goes on)"),
    (
        "a:\n  b: c\n    d: e\n",
        "3:5: 'd' is indented below 'b', which already has a value "
        "(indent it like 'b', or put the value of 'b' in quotes)",
    ),
    (
        "a:\n    b: c\n  d: e\n",
        "3:3: this line does not fit the lines before it "
        "(indent it like its neighbours, and close quotes and brackets in the lines before it)",
    ),
    ("a:\n- b\nc: d\n- e\n", "4:1: a list item stands among keys (indent the '-' below the key that it belongs to)"),
    ('a: "b\nc: d\n', "1:4: the quote that opens here is not closed (add the closing quote)"),
    (
        "a: 'it's'\n",
        "1:8: text after the end of the value (put the whole value in quotes, and double quotes inside it)",
    ),
    ("a: [b, c\nd: e\n", "1:4: the '[' here is not closed (add ']', or ',' between the items)"),
    ("a: {b: c\nd: e\n", "1:4: the '{' here is not closed (add '}', or ',' between the entries)"),
    ("a: [b,, c]\n", "1:7: a value is missing here (write it, or take the sign before it away)"),
    ("a: *\n", "1:5: '*' or '&' without a name (put text that begins with '*' or '&' in quotes)"),
    ('a: "\\q"\n', "1:6: unknown escape in double quotes (double the backslash, or use single quotes)"),
    ("a: |x\n  b\n", "1:5: text after '|' or '>' (begin the text on the next line)"),
    ("_a: b\n---\n_c: d\n", "2:1: a second document begins here (take the '---' away)"),
]


@pytest.mark.parametrize(("text", "expected"), SYNTAX)
def test_mistakes_of_yaml_are_told_in_plain_words(text: str, expected: str) -> None:
    assert lines(text) == [f"v.yaml:{expected} [yaml-syntax]"]


TREE = [
    (
        "_a: *b\n",
        "1:5: unknown alias '*b' (define '&b' before, or put text that begins with '*' in quotes) [yaml-alias]",
    ),
    ("_a: &b [*b]\n", "1:9: alias '*b' stands inside its own value [yaml-alias]"),
    ("_a: 1\n_a: 2\n", "2:1: key '_a' is written twice, first in line 1 (keep one of them) [duplicate-key]"),
    ("? [x]\n: y\n", "1:3: a key must be plain text (write 'key: value', quotes are fine) [bad-key]"),
    (
        "_a: {<<: x}\n",
        "1:10: '<<' needs a mapping or a list of mappings (write '<<: *name' or '<<: [*one, *two]') [bad-merge]",
    ),
    ("_a: !*Include x\n", "1:5: '!*Include' has no place in this file (write what the other file holds) [bad-include]"),
    ("_a: [!*Unpack [x]]\n",
     "1:16: each item of '!*Unpack' must be a list (write '!*Unpack [*name]' or '!*Unpack [[one, two]]') [bad-unpack]"),
    ('_a: "\\0"\n', "1:5: text with a NUL or half a character (take the escape away) [not-text]"),
    ('_a: "\\ud800"\n', "1:5: text with a NUL or half a character (take the escape away) [not-text]"),
    (
        "_a: b\x1bc\n",
        "1:6: control character '\\x1b' in the file (delete it, or write it as an escape in double quotes) [not-text]",
    ),
    ("- a\n", "1:1: the top of the file must be keys and values (write 'key: value' lines below it) [wrong-type]"),
    ("mixins: a\n", "1:9: 'mixins' must be a list (write '[one, two]') [wrong-type]"),
    (
        "minimum-vagga: 0.9\n",
        "1:16: the file needs vagga 0.9, this one understands files of 0.8.1 "
        "(upgrade vaggapy, or lower 'minimum-vagga') [vagga-too-old]",
    ),
    ("run: x\n", "1:1: unknown key 'run' in the top of the file (it belongs to !Command) [unknown-key]"),
    ("services: {}\n", "1:1: unknown key 'services' in the top of the file (did you mean 'commands'?) [unknown-key]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TREE)
def test_mistakes_of_the_whole_file(text: str, expected: str) -> None:
    assert lines(text) == [f"v.yaml:{expected}"]


SETUPS = [
    ("setup: ~", "3:12: 'setup' must be a list of steps (write '[!Host]') [wrong-type]"),
    (
        "setup: [!Host , !GemInstall x]",
        "3:13: !Host is not the only step (the host's root cannot be built on) [container-setup]",
        "3:21: tag '!GemInstall' of a step is known but not available in this version [not-available]",
    ),
    ("environ: {}", "2:3: container 'c' needs 'setup' (add 'setup:') [missing-key]"),
    ("setup: !Host", "3:12: 'setup' must be a list of steps (write '[!Host]') [wrong-type]"),
    ("setup: [Host]", "3:13: a step has no tag (write '!Host') [missing-tag]"),
    ("setup: [!Hosts]", "3:13: unknown tag '!Hosts' of a step (did you mean '!Host'?) [unknown-tag]"),
    ("setup: [!Host {home: seen}]", "3:26: unknown value 'seen' of 'home' (one of hidden, read-only) [bad-value]"),
    ("setup: [!Host {expose: /a}]", "3:28: 'expose' must be a list (write '[one, two]') [wrong-type]"),
    ("setup: [!Host {expose: [a]}]", "3:29: exposed path 'a' is not absolute (begin it with '/') [bad-path]"),
    (
        "setup: [!Host {expose: [/]}]",
        "3:29: exposed path '/' names the root itself (name something below it) [bad-path]",
    ),
    ("setup: [!Host], uids: [5-1]", "3:28: '5-1' of 'uids' is not a range (write ID or FIRST-LAST) [bad-value]"),
    (
        "setup: [], gids: [0-4294967296]",
        "3:23: '0-4294967296' of 'gids' is not a range (write ID or FIRST-LAST) [bad-value]",
    ),
    (
        "setup: [], data-dirs: [/a/b, /a/b/, /a, c]",
        "3:34: data directory '/a/b' is written twice (keep the shorter one) [bad-path]",
        "3:41: data directory '/a' is one with '/a/b' (keep the shorter one) [bad-path]",
        "3:45: data directory 'c' is not absolute (begin it with '/') [bad-path]",
    ),
    (
        "setup: [], resolv-conf-path: etc/resolv.conf",
        "3:34: 'resolv-conf-path' 'etc/resolv.conf' is not absolute (begin it with '/') [bad-path]",
    ),
    (
        "setup: [], environ-file: ../x",
        "3:30: 'environ-file' '../x' holds '..' (write the path without it) [bad-path]",
    ),
    ("setup: [], auto-clean: yes", "3:28: 'auto-clean' must be true or false, not 'yes' (write true) [wrong-type]"),
]  # fmt: skip


@pytest.mark.parametrize("case", SETUPS, ids=lambda case: case[0])
def test_mistakes_of_containers(case: tuple[str, ...]) -> None:
    field, *expected = case
    assert lines(f"containers:\n  c: {{\n    {field}}}\n") == [f"v.yaml:{line}" for line in expected]


COMMANDS = [
    ("env: {}", "5: unknown key 'env' in !Command 'c' (did you mean 'environ'?) [unknown-key]"),
    ("children: {}", "5: unknown key 'children' in !Command 'c' (it belongs to !Supervise) [unknown-key]"),
    (
        "restart: x",
        "5: unknown key 'restart' in !Command 'c' (it belongs to a child of !Supervise) [unknown-key]",
    ),
    (
        "user-id: 0755",
        "14: 'user-id' must be a whole number, not '0755' (write 0o755 for an octal number) [wrong-type]",
    ),
    ("user-id: 1.5", "14: 'user-id' must be a whole number, not '1.5' (as in 10, 0o755 or 100Mi) [wrong-type]"),
    ("user-id: 2G", "14: 'user-id' is 2000000000 (from 0 to 1073741824) [out-of-range]"),
    ("group-id: -1", "15: 'group-id' is -1 (from 0 to 1073741824) [out-of-range]"),
    ("group-id: [1]", "15: 'group-id' must be text [wrong-type]"),
    (
        "supplementary-gids: [x]",
        "26: each item of 'supplementary-gids' must be a whole number, not 'x' (as in 10, 0o755 or 100Mi) [wrong-type]",
    ),
    ("isolate-network: 1", "22: 'isolate-network' must be true or false, not '1' [wrong-type]"),
    ("aliases: x", "14: 'aliases' must be a list (write '[one, two]') [wrong-type]"),
    ("aliases: ~", "14: 'aliases' must be a list (write '[one, two]') [wrong-type]"),
    ("description: !X y", "18: tag '!X' has no place at 'description' (take it away) [unknown-tag]"),
    ("prerequisites: [cc]", "21: unknown command 'cc' (did you mean 'c'?) [unknown-command]"),
    ("prerequisites: [zzz]", "21: unknown command 'zzz' (add it below 'commands:') [unknown-command]"),
    ("environ: [A]", "14: 'environ' must be keys and values (write 'key: value' lines below it) [wrong-type]"),
    ("environ: {A: ~}", "18: variable 'A' must be text [wrong-type]"),
    ("pass-tcp-socket: 65536", "22: '65536' is no address to listen on (PORT, *:PORT or HOST:PORT) [bad-value]"),
    ("pass-tcp-socket: ':80'", "22: ':80' is no address to listen on (PORT, *:PORT or HOST:PORT) [bad-value]"),
    (
        "write-mode: writable",
        "17: unknown value 'writable' of 'write-mode' "
        "(one of read-only, transient, transient-hard-link-copy) [bad-value]",
    ),
    ("volumes: {tmp: !Empty}", "15: mount point 'tmp' is not absolute (begin it with '/') [bad-path]"),
    ("volumes: {/a/../b: !Empty}", "15: mount point '/a/../b' holds '..' (write the path without it) [bad-path]"),
    ("volumes: {/: !Empty}", "15: mount point '/' names the root itself (name something below it) [bad-path]"),
    (
        "volumes: {/a: !Empty , /a/: !Empty }",
        "28: mount point '/a' is written twice (keep one of them) [duplicate-key]",
    ),
    ("volumes: {/a: !Empty x}", "19: !Empty must be without a value [wrong-type]"),
    (
        "volumes: {/a: x}",
        "19: volume '/a' has no tag (write one of those in docs/config.md before its value) [missing-tag]",
    ),
    ("volumes: {/a: !BindRO }", "19: !BindRO must be followed by a path (write '!BindRO /work/PATH') [wrong-type]"),
    (
        "volumes: {/a: !BindRW /etc}",
        "19: source '/etc' is neither below /work nor /volumes "
        "(the project is at /work, 'external-volumes' of the settings at /volumes/NAME) [bad-path]",
    ),
    (
        "volumes: {/a: !BindRW /volumes}",
        "19: source '/volumes' is neither below /work nor /volumes "
        "(the project is at /work, 'external-volumes' of the settings at /volumes/NAME) [bad-path]",
    ),
    ("volumes: {/a: !Tmpfs {size: 0}}", "33: 'size' is 0 (from 1 to 1152921504606846976) [out-of-range]"),
    (
        "volumes: {/a: !Tmpfs {mode: 1777}}",
        "33: 'mode' 1777 has no base (octal modes begin with 0o: write 0o1777) [bad-value]",
    ),
    (
        "volumes: {/a: !Tmpfs {mode: 755}}",
        "33: 'mode' 755 has no base (octal modes begin with 0o: write 0o755) [bad-value]",
    ),
    ("volumes: {/a: !Tmpfs {mode: 9999}}", "33: 'mode' is more than 0o1777 (octal modes begin with 0o) [out-of-range]"),
    ("volumes: {/a: !Tmpfs {files: {/x: y}}}", "35: file '/x' is absolute (take the first '/' away) [bad-path]"),
    (
        "volumes: {/a: !Tmpfs {files: {x: y, x/z: y}}}",
        "35: 'x' is a file and a directory (keep one of them) [bad-path]",
    ),
]


@pytest.mark.parametrize(("field", "expected"), COMMANDS)
def test_mistakes_of_commands(field: str, expected: str) -> None:
    assert lines(in_command(field)) == [f"v.yaml:4:{expected}"]


@pytest.mark.parametrize(
    ("value", "remedy"), [("yes", " (write true)"), ("off", " (write false)"), ("NO", " (write false)"), ("y", "")]
)
def test_N6_words_that_other_yaml_takes_for_booleans_are_refused_with_the_right_word(value: str, remedy: str) -> None:
    expected = f"v.yaml:4:24: 'accepts-arguments' must be true or false, not '{value}'{remedy} [wrong-type]"
    assert lines(in_command(f"accepts-arguments: {value}")) == [expected]


@pytest.mark.parametrize("name", ["A=B", "''"])
def test_N1_invalid_names_of_variables_are_refused(name: str) -> None:
    [line] = lines(in_command(f"environ: {{{name}: x}}"))
    assert line.endswith(" of an environment variable (a name is not empty and holds no '=') [bad-name]")


def test_N1_values_of_variables_may_hold_anything_but_nul() -> None:
    text = in_command('environ: {A: "b=c\\nd", B: "", C: ü, D: }')
    project = bind(parse(text, "v.yaml"), "/project", "v.yaml")
    assert dict(project.commands["c"].program.environ) == {"A": "b=c\nd", "B": "", "C": "ü", "D": ""}  # type: ignore[union-attr] # c is a !Command


@pytest.mark.parametrize("children", ["children:", "children: {}"])
def test_G13_a_supervise_without_children_is_an_error_of_the_file(children: str) -> None:
    assert lines(f"commands:\n  r: !Supervise\n    {children}\n") == [
        "v.yaml:3:5: !Supervise 'r' has no children (write 'name: !Command' below it) [empty-children]"
    ]


def test_missing_keys_and_tags_are_reported_at_the_name() -> None:
    assert lines("commands:\n  a: !Command\n  b: {run: x}\n  c: !Supervise\n") == [
        "v.yaml:2:3: !Command 'a' needs 'container' (add 'container:') [missing-key]",
        "v.yaml:2:3: !Command 'a' needs 'run' (add 'run:') [missing-key]",
        "v.yaml:3:6: command 'b' has no tag (write !Command or !Supervise before its value) [missing-tag]",
        "v.yaml:4:3: !Supervise 'c' needs 'children' (add 'children:') [missing-key]",
    ]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("''", "'run' is empty (write a command line) [bad-value]"),
        ("[]", "'run' names no program (as in [ls, -l]) [bad-value]"),
        ("['', x]", "'run' names no program (as in [ls, -l]) [bad-value]"),
        ("{a: b}", "'run' must be text or a list of texts [wrong-type]"),
    ],
)
def test_run_must_name_something_to_run(run: str, message: str) -> None:
    text = f"{CONTAINERS}commands:\n  c: !Command {{container: py, run: {run}}}\n"
    assert lines(text) == [f"v.yaml:4:36: {message}"]


def test_aliases_that_mean_two_things_are_reported() -> None:
    text = CONTAINERS + "commands:\n"
    for name, aliases in (("a", "b"), ("b", "x"), ("c", "x"), ("d", "d")):
        text += f"  {name}: !Command {{container: py, run: x, aliases: [{aliases}]}}\n"
    assert lines(text) == [
        "v.yaml:4:3: alias 'b' of 'a' is also a command (keep one of them) [alias-collision]",
        "v.yaml:6:3: alias 'x' of 'c' is also an alias of 'b' (keep one of them) [alias-collision]",
        "v.yaml:7:3: alias 'd' of 'd' is also a command (keep one of them) [alias-collision]",
    ]


def test_a_prerequisite_that_is_an_alias_is_told_the_name_of_the_command() -> None:
    text = CONTAINERS + "commands:\n  a: !Command {container: py, run: x, aliases: [mig]}\n"
    text += "  b: !Command {container: py, run: x, prerequisites: [mig]}\n"
    assert lines(text) == [
        "v.yaml:5:55: unknown command 'mig' (write 'a', 'mig' is its alias) [unknown-command]"
    ]  # fmt: skip


def test_prerequisites_may_form_a_circle() -> None:
    text = CONTAINERS + "commands:\n  a: !Command {container: py, run: x, prerequisites: [b]}\n"
    assert lines(text + "  b: !Command {container: py, run: x, prerequisites: [a]}\n") == []


@pytest.mark.parametrize("name", ["-a", "a b", "a/b", "..", "''", '"a\\nb"'])
def test_names_that_cannot_be_typed_or_are_paths_are_refused(name: str) -> None:
    [line] = lines(f"containers:\n  {name}: {{setup: [!Host]}}\n")
    assert line.startswith("v.yaml:2:3: bad name '") and line.endswith("[bad-name]")


def test_a_value_used_twice_by_an_alias_is_reported_once() -> None:
    text = CONTAINERS + "_e: &e {A=: x}\ncommands:\n"
    text += "".join(f"  {name}: !Command {{container: py, run: x, environ: *e}}\n" for name in "ab")
    assert [line[:12] for line in lines(text)] == ["v.yaml:3:9: "]


def test_a_hundred_problems_are_shown_and_the_rest_counted() -> None:
    found = lines("".join(f"k{number}: x\n" for number in range(150)))
    assert len(found) == 101
    assert found[-1] == "v.yaml: 50 more problems (mend the first ones) [more-problems]"


@pytest.mark.parametrize(
    ("table", "start"),
    [
        (CONTAINER, "containers: {c: {setup: [!Host],\n %s: x}}"),
        (
            SUPERVISE,
            CONTAINERS + "commands: {c: !Supervise {children: {w: !Command {container: py, run: x}},\n %s: x}}",
        ),
        (CHILD, CONTAINERS + "commands: {c: !Supervise {children: {w: !Command {container: py, run: x,\n %s: x}}}}"),
    ],
)
def test_every_key_of_a_later_version_is_one_clear_problem(table: dict[str, object], start: str) -> None:
    later = [key for key, field in table.items() if getattr(field, "state", "") == LATER]
    assert later
    for key in later:
        [line] = lines(start % key)
        assert f": key '{key}' of " in line
        assert line.endswith(" is known but not available in this version [not-available]")


def test_every_step_of_a_later_version_is_one_clear_problem() -> None:
    assert LATER_STEPS
    for tag in LATER_STEPS:
        [line] = lines(f"containers: {{c: {{setup: [{tag} x]}}}}")
        assert f": tag '{tag}' of " in line
        assert line.endswith(" is known but not available in this version [not-available]")


def test_capsule_and_bridge_commands_are_known_but_not_available() -> None:
    text = (
        "commands:\n  a: !CapsuleCommand {run: x}\n  b: !Supervise\n    children:\n      c: !BridgeCommand {run: x}\n"
    )
    assert lines(text) == [
        "v.yaml:2:6: tag '!CapsuleCommand' of command 'a' is known but not available in this version [not-available]",
        "v.yaml:5:10: tag '!BridgeCommand' of child 'c' is known but not available in this version [not-available]",
    ]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("0.8.1", "0.9"),
        ("0.8.1", "v0.8.2"),
        ("0.8.1", "0.8.1.1"),
        ("0.8.1-rc1", "0.8.1"),
        ("0.8.1-3-gabcdef", "0.8.2"),
        ("0.8.1-dirty", "0.8.1"),
        ("0.8.1", "0.8.1-zeta"),
        ("0.8", "0.10"),
    ],
)
def test_versions_are_ordered_as_vagga_orders_them(left: str, right: str) -> None:
    assert older(left, right)
    assert not older(right, left)


@pytest.mark.parametrize("version", ["0.8.1", "v0.8.1", "0.8.0", "0.1", "0.8.1-dirty"])
def test_files_for_this_version_and_older_ones_are_read(version: str) -> None:
    assert lines(f"minimum-vagga: {version}\n") == []


def test_a_too_old_vagga_is_the_first_line_whatever_its_place() -> None:
    found = lines("comands: {}\nminimum-vagga: 1.0\n")
    assert [line.rpartition(" ")[2] for line in found] == ["[vagga-too-old]", "[unknown-key]"]
