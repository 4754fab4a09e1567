"""Output where rules look at it, restart its writers or add words of their own (docs/supervision.md 6, 10.1, 13.2).

What holds in every run is in `test_output.py` and `test_terminal_many.py`.
"""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from integration.ruled import END, STAY, count, group
from integration.runs import PATIENCE, Project, command, wait_until
from integration.terminals import Terminal
from integration.test_output import assert_whole

PYTHON = "/usr/bin/python3"
NEVER: dict[str, object] = {"ready": {"line": "this is never printed"}}
"""A rule for which vagga has to read the output."""


def script(project: Project, name: str, text: str) -> list[str]:
    (project.directory / f"{name}.py").write_text(f"import os, sys, time\n{text}")
    return [PYTHON, "-u", f"{name}.py"]


def output(project: Project, *words: str, together: bool = False) -> tuple[bytes, bytes]:
    """Run `vagga WORDS` to its end with 0, and return both outputs; `together`: as one."""
    run = project.start(*words, stderr=subprocess.STDOUT if together else subprocess.PIPE)
    out, err = run.process.communicate(timeout=2 * PATIENCE)
    assert run.process.returncode == 0, (out[-2000:], err)
    return out, err or b""


@pytest.mark.parametrize(("prefix", "mark"), [((), b""), (("--prefix",), b"a | ")])
def test_O1_a_last_line_without_a_newline_is_kept_where_lines_are_looked_at(
    project: Project, prefix: tuple[str, ...], mark: bytes
) -> None:
    """Supervision 6.6: the last line of each run of a child, too."""
    run = "echo x >> runs; printf one; printf err >&2; test $(wc -l < runs) = 2"
    project.write(group({"a": {"run": run, "restart": {"limit": 1, "min-wait": "10ms"}, **NEVER}}))
    out, err = output(project, *prefix, "up")
    assert out in (mark + b"one\n" + mark + b"one", b"oneone"), out
    assert err.count(b"err") == 2


def test_O2_every_byte_passes_where_lines_are_looked_at(project: Project) -> None:
    """Supervision 6.4, 6.5: without prefixes the very bytes; a line of 1 MiB, and what is no text."""
    wanted = bytes(each for each in range(256) if each != 10) * 3 + b"\r 50%\r100%\x1b[31m\xff\xfe\n" + b"x" * 2**20
    text = f"data = {wanted!r}\nwhile data: data = data[os.write(1, data):]\n"
    project.write(group({"a": {"run": script(project, "raw", text), **NEVER}}))
    assert output(project, "up")[0] == wanted


def test_O3_lines_of_two_that_are_looked_at_are_never_mixed(project: Project) -> None:
    text = (
        "letter = os.environ['VAGGA_SUBCOMMAND'].encode()\n"
        "for number in range(150):\n"
        "    line = letter * (number * 37 % 9000 + 1) + b'.\\n'\n"
        "    while line: line = line[os.write(1, line[:701]):]\n"
    )
    child = {"run": script(project, "writer", text), **NEVER}
    project.write(group({"a": child, "b": child, "c": child}))
    out, _ = output(project, "--prefix", "up")
    assert_whole(out.split(b"\n")[:-1], b".")


def test_O4_all_that_a_run_printed_comes_before_what_vagga_says_of_its_end(project: Project) -> None:
    """10 MB of each run, before the line on its end and that on its restart."""
    text = (
        "open('runs', 'a').write('x\\n')\n"
        "line = b'y' * 99 + b'\\n'\n"
        "for _ in range(100): sys.stdout.buffer.write(line * 1000)\n"
        "sys.stdout.flush()\n"
        "sys.exit(1 if len(open('runs').readlines()) == 1 else 0)\n"
    )
    child = {"run": script(project, "fast", text), "restart": {"limit": 1, "min-wait": "10ms", "policy": "on-failure"}}
    project.write(group({"a": {**child, **NEVER}}))
    out, _ = output(project, "--prefix", "up", together=True)
    block = (b"a | " + b"y" * 99 + b"\n") * 100_000
    first, _, rest = out.partition(b"vagga: a:")
    assert first == block
    said, _, _ = rest.partition(b"a | ")
    assert b"exited with code 1" in said
    assert b"a restarts in" in said
    assert rest[len(said) :].startswith(block)
    assert rest[len(said) + len(block) :].startswith(b"vagga: all 1 exited with code 0"), rest[-300:]


def test_O5_a_slow_reader_holds_up_the_writer_and_neither_checks_nor_the_stop(project: Project) -> None:
    """Nobody reads: the writer waits, the health of the other child is looked at all the same."""
    text = (
        "n = 0\nwhile True:\n    os.write(1, b'z' * 999 + b'\\n')\n    n += 1\n    open('written', 'a').write('x\\n')\n"
    )
    children = {
        "a": {"run": script(project, "chatter", text), **NEVER},
        "b": {"run": STAY, "health": {"exec": "echo x >> /work/looks", "interval": "50ms"}},
    }
    project.write(group(children))
    run = project.start("up")
    before = -1

    def is_held() -> bool:
        nonlocal before
        written, looks = count(project, "written"), count(project, "looks")
        wait_until(lambda: count(project, "looks") >= looks + 6, "six looks")
        held = written > 0 and count(project, "written") == written == before
        before = written
        return held

    wait_until(is_held, "the writer waits while checks go on")
    assert before < 6000
    run.signal(signal.SIGTERM)
    assert run.finish().code == 143


def test_O6_what_vagga_says_of_an_end_comes_after_both_streams(project: Project) -> None:
    """With the last lines of the child that failed first (13.2)."""
    children = {"a": {"run": "printf out; printf err >&2; exit 3", **NEVER}, "b": STAY}
    project.write(group(children, mode="stop-on-failure"))
    run = project.start("--prefix", "up", stderr=subprocess.STDOUT)
    out, _ = run.process.communicate(timeout=PATIENCE)
    assert run.process.returncode == 3
    lines = out.splitlines()
    assert set(lines[:2]) == {b"a | out", b"a | err"}
    assert lines[2].startswith(b"---------- Process a:")
    assert b"vagga: the last lines of a:" in lines
    assert {b"  | out", b"  | err"} < set(lines)


def test_O7_a_child_whose_lines_are_looked_at_sees_a_terminal_where_there_is_one(project: Project) -> None:
    """Supervision 6.3: as without rules, and its line is found."""
    look = "test -t 1 && echo I see one; test -t 2 && echo err >&2; " + END
    children = {
        "web": {"run": look, "ready": {"line": "I see one"}},
        "late": {"run": "touch end", "when": {"source": "web", "once": "healthy"}},
    }
    project.write(group(children))
    with Terminal(project, environ={"NO_COLOR": "1"}) as terminal:
        terminal.run("up")
        assert terminal.end() == 0
        for line in ("web  | I see one", "web  | err", "vagga: web is healthy"):
            assert line in terminal.lines, terminal.lines


def test_O7_a_rule_changes_nothing_for_a_child_that_nobody_looks_at(project: Project) -> None:
    """Without prefixes it has the very output of vagga, whatever its rules are."""
    look = "test -t 1 && echo a terminal"
    project.write(group({"web": {"run": look, "restart": {"limit": 0}, "once": True}}))
    with Terminal(project, environ={"NO_COLOR": "1"}) as terminal:
        terminal.run("--no-prefix", "up")
        assert terminal.end() == 0
        assert "a terminal" in terminal.lines


def test_O8_the_column_is_as_wide_as_the_longest_name_of_all_that_may_run(project: Project) -> None:
    """Supervision 6.3: a hook, a dormant child and members of a `for-each` count from the first line on."""
    children = {
        "a": "echo x",
        "a-long-name-at-the-end": {"run": "echo y", "when": {"source": "a", "once": "stopped"}},
        "node": {"run": "echo $N", "for-each": {"range": "0..2", "as": "N"}},
    }
    project.write(group(children))
    out, _ = output(project, "--prefix", "up")
    width = len("a-long-name-at-the-end")
    lines = {f"{name:<{width}} | {text}" for name, text in (("a", "x"), ("a-long-name-at-the-end", "y"))}
    lines |= {f"{name:<{width}} | {text}" for name, text in (("node-0", "0"), ("node-1", "1"))}
    assert set(out.decode().splitlines()) == lines
    dormant = {"a": "echo x", "recovery": {"run": "echo y", "autostart": False}}
    project.write(group(dormant))
    assert output(project, "--prefix", "up")[0] == b"a        | x\n"


@pytest.mark.parametrize("colour", [(), ("--color=always",)])
def test_O11_what_rules_say_has_no_colours_in_a_pipe(project: Project, colour: tuple[str, ...]) -> None:
    """Nor have colours of a child a place in the lines that are repeated (13.2)."""
    run = "printf '\\033[31mred\\033[0m\\n'; exit 1"
    web = {"run": run, "restart": {"limit": 1, "min-wait": "10ms"}, **NEVER}
    project.write(group({"web": web, "b": STAY}, mode="stop-on-failure"))
    result = project.run("--prefix", *colour, "up")
    assert result.code == 1
    assert "\x1b" not in result.err
    assert "  | red\n" in result.err
    assert result.out.count("\x1b[31mred") == 2


@pytest.mark.parametrize("prefix", [(), ("--prefix",)])
def test_O12_standard_output_has_nothing_but_the_bytes_of_children(project: Project, prefix: tuple[str, ...]) -> None:
    """Supervision 6.1: everything else begins with `vagga: ` or `----------`, on standard error."""
    children = {
        "web": {
            "run": "echo x >> runs; echo web; test $(wc -l < runs) = 2 || exit 1; " + END,
            "restart": {"limit": 1, "min-wait": "10ms"},
            "health": {"exec": "test $(wc -l < runs) = 2", "interval": "50ms", "start-period": "1ms"},
        },
        "late": {"run": "echo late; touch end", "depends": [{"healthy": "web"}]},
        "skipped": {"run": "echo no", "condition": "false"},
        "gone": {"run": "echo no", "depends": [{"path": "never", "retry": False, "on-timeout": "skip"}]},
        "failing": {"run": "echo failing; exit 3", "role": "coprocess"},
        "hook": {"run": "echo hook", "when": {"source": "late", "once": "stopped"}},
    }
    project.write(group(children))
    result = project.run(*prefix, "up")
    assert result.code == 0, result.err
    words = sorted(line.rpartition("| ")[2] for line in result.out.splitlines())
    assert words == ["failing", "hook", "late", "web", "web"]
    for line in result.err.splitlines():
        assert re.match(r"vagga: |----------", line), line
    for said in ("web restarts", "web is healthy", "late waits", "skipped is skipped", "gone is skipped", "failing:"):
        assert said in result.err, result.err


def test_O12_names_with_controls_in_output_and_checks_are_spelled_out(project: Project) -> None:
    """What a check said is shown, and cannot move the cursor."""
    check = "printf 'bad\\033[2Jnews\\r\\n'; exit 1"
    health = {"exec": check, "interval": "50ms", "start-period": "1ms", "on-fail": "shutdown"}
    project.write(group({"web": {"run": STAY, "health": health}}))
    result = project.run("up")
    assert result.code == 125
    assert "bad" in result.err
    assert "\x1b" not in result.err
    assert "\r" not in result.err


def test_a_command_after_another_with_rules_has_its_own_output(project: Project) -> None:
    """A prerequisite with rules, and then the command itself: nothing of the first stays in the second."""
    first = group({"a": {"run": "echo first", "once": True, **NEVER}}).replace("  up:", "  first:")
    project.write(first + command("second", "echo second", prerequisites=["first"]))
    result = project.run("second")
    assert (result.code, result.out) == (0, "first\nsecond\n"), result.err
