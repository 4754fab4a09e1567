"""Persistent volumes: made once, kept, shared; filled by an `init-command` once, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from integration.builds import ROOT, SINGLE, container, containers, small
from integration.runs import (
    HOST,
    Project,
    alive,
    can_nest,
    command,
    descendants,
    has_ranges,
    need,
    supervise,
    wait_until,
)

__all__ = ["small"]

C = container("c", ROOT, "!EnsureDir /data", "!EnsureDir /more")
H = HOST.removeprefix("containers:\n")
BOTH = containers(C, H)
DATA = "volumes: {/data: !Persistent {name: data, init-command: fill}}"


def text(name: str, run: str, *keys: str) -> str:
    """Return a command in `c`, with keys as they are written."""
    return f"  {name}: !Command\n    container: c\n    run: {run!r}\n" + "".join(f"    {key}\n" for key in keys)


FILL = text("fill", "echo filling; echo run >> /work/runs; echo content > /data/made", DATA)
USE = text("use", "cat /data/made", DATA)


def volumes(project: Project) -> list[str]:
    """Return what the storage has of volumes."""
    return sorted(os.listdir(project.directory / ".vagga/.volumes"))


def made(project: Project, name: str) -> Path:
    return project.directory / ".vagga/.volumes" / name


# --- without an init-command --------------------------------------------------------------------------------------


def test_a_volume_is_made_on_first_use_and_kept_and_shared_by_all_containers(small: Project) -> None:
    written = text("write", "stat -c %u:%g:%a /data; echo kept > /data/file", "volumes: {/data: !Persistent data}")
    # A host container has no place of that name; below its /tmp anything can be mounted.
    seen = "  see: !Command\n    container: host\n    run: cat /tmp/d/file\n    volumes: {/tmp/d: !Persistent data}\n"
    small.write(written + seen, BOTH)
    result = small.run("write")
    assert (result.code, result.out) == (0, "0:0:755\n"), result.err
    assert small.run("see").out == "kept\n"
    assert small.run("write").out == "0:0:755\n"
    assert volumes(small) == ["data"]


def test_a_volume_gets_the_owner_that_is_written_when_it_is_made(small: Project) -> None:
    need(has_ranges(), "the caller has one id only")
    owned = "volumes: {/data: !Persistent {name: data, owner-uid: 70, owner-gid: 71}}"
    small.write(text("use", "stat -c %u:%g /data; touch /data/mine", owned, "user-id: 70"), BOTH)
    result = small.run("use")
    assert (result.code, result.out) == (0, "70:71\n"), result.err


def test_an_owner_that_the_run_does_not_have_is_named_with_the_remedy(small: Project) -> None:
    need(can_nest(), "unshare")
    owned = "volumes: {/data: !Persistent {name: data, owner-uid: 70}}"
    small.write(text("use", "stat -c %u:%g /data", owned), BOTH)
    result = small.run("use", under=SINGLE)
    assert result.code == 124
    assert "volume data: `owner-uid` is 70, and this run has no id 70, only 0 (" in result.err
    assert "[ids-missing]" in result.err
    assert volumes(small) == []


def test_with_one_id_a_volume_of_the_default_owner_works(small: Project) -> None:
    small.write(FILL + USE, BOTH)
    result = small.run("use", under=SINGLE)
    assert (result.code, result.out) == (0, "filling\ncontent\n"), result.err
    assert made(small, "data").stat().st_uid == os.getuid()


def test_many_vaggas_that_make_one_volume_at_once_all_find_the_same(small: Project) -> None:
    more = text("add", "echo x >> /data/file", "volumes: {/data: !Persistent data}")
    small.write(more, BOTH)
    assert small.run("_build", "c").code == 0
    for running in [small.start("add") for _ in range(6)]:
        result = running.finish()
        assert result.code == 0, result.err
    assert (made(small, "data") / "file").read_text() == "x\n" * 6
    assert volumes(small) == ["data"]


# --- filled by a command ------------------------------------------------------------------------------------------


def test_the_init_command_runs_once_before_what_needs_the_volume(small: Project) -> None:
    small.write(FILL + USE + text("other", "echo fine"), BOTH)
    assert small.run("other").out == "fine\n"
    assert not small.has("runs")
    assert small.run("use").out == "filling\ncontent\n"
    assert small.run("use").out == "content\n"
    assert small.read("runs") == "run\n"
    assert volumes(small) == ["data"]


def test_a_command_that_does_not_name_the_init_command_has_the_volume_filled_too(small: Project) -> None:
    small.write(FILL + text("see", "cat /data/made", "volumes: {/data: !Persistent data}"), BOTH)
    assert small.run("see").out == "filling\ncontent\n"


def test_the_init_command_runs_before_the_children_of_a_supervise(small: Project) -> None:
    child = f"      NAME: !Command\n        container: c\n        run: cat /data/made\n        {DATA}\n"
    children = child.replace("NAME", "a") + child.replace("NAME", "b")
    both = f"  both: !Supervise\n    mode: wait-all-successful\n    children:\n{children}"
    small.write(FILL + both, BOTH)
    result = small.run("both")
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == "filling"
    assert result.out.count("content") == 2
    assert small.read("runs") == "run\n"


def test_a_volume_of_the_container_is_filled_by_a_command_in_that_container(small: Project) -> None:
    c = container("c", ROOT, "!EnsureDir /data", volumes="{/data: !Persistent {name: data, init-command: fill}}")
    plain = text("fill", "echo content > /data/made") + text("use", "cat /data/made")
    small.write(plain, containers(c))
    result = small.run("use")
    assert (result.code, result.out) == (0, "content\n"), result.err


def test_a_program_of_run_is_told_which_command_fills_the_volume(small: Project) -> None:
    c = container("c", ROOT, "!EnsureDir /data", volumes="{/data: !Persistent {name: data, init-command: fill}}")
    small.write(text("fill", "echo content > /data/made"), containers(c))
    result = small.run("_run", "c", "true")
    assert result.code == 121
    assert result.err.endswith(
        "vagga: volume data is empty: its init-command 'fill' has not run (run vagga fill first) [volume-empty]\n"
    )
    assert small.run("fill").code == 0
    assert small.run("_run", "c", "cat", "/data/made").out == "content\n"


def test_without_prerequisites_an_empty_volume_is_an_error_but_the_init_command_fills_it(small: Project) -> None:
    small.write(FILL + USE, BOTH)
    result = small.run("--no-prerequisites", "use")
    assert result.code == 121 and "[volume-empty]" in result.err
    assert small.run("--no-prerequisites", "fill").code == 0
    assert small.run("--no-prerequisites", "use").out == "content\n"


def test_run_by_hand_the_init_command_fills_the_volume_and_later_is_an_ordinary_command(small: Project) -> None:
    small.write(FILL + USE, BOTH)
    assert small.run("fill").out == "filling\n"
    (made(small, "data") / "mine").write_text("kept")
    assert small.run("fill").out == "filling\n"
    assert (made(small, "data") / "mine").read_text() == "kept"
    assert small.run("use").out == "content\n"


def test_when_the_init_command_fails_nothing_is_kept_and_it_begins_anew(small: Project) -> None:
    failing = text("fill", "ls /data | wc -l; touch /data/half; test -e /work/good && echo content > /data/made", DATA)
    small.write(failing + USE, BOTH)
    result = small.run("use")
    assert (result.code, result.out.split()) == (1, ["0"]), result.err
    assert "data" not in volumes(small)
    (small.directory / "good").touch()
    assert small.run("use").out.split() == ["0", "content"]
    assert volumes(small) == ["data"]


def test_killed_in_the_middle_the_volume_is_begun_anew(small: Project) -> None:
    slow = text(
        "fill",
        "ls /data | wc -l; touch /data/half /work/begun; test -e /work/good || sleep 1000; touch /data/made",
        DATA,
    )
    small.write(slow + USE, BOTH)
    running = small.start("use")
    wait_until(lambda: small.has("begun"), "the init-command")
    below = descendants(running.pid)
    running.signal(signal.SIGKILL)
    running.finish()
    wait_until(lambda: not alive(below), "everything is gone")
    assert "data" not in volumes(small)
    (small.directory / "good").touch()
    result = small.run("use")
    assert (result.code, result.out.split()) == (0, ["0"]), result.err
    assert volumes(small) == ["data"]


def test_an_init_command_that_is_interrupted_has_not_filled_the_volume_however_it_ends(small: Project) -> None:
    patient = "trap 'exit 0' INT; touch /data/half /work/begun; while true; do sleep 0.05; done"
    small.write(text("fill", patient, DATA) + USE, BOTH)
    running = small.start("use")
    wait_until(lambda: small.has("begun"), "the init-command")
    running.signal(signal.SIGINT)
    result = running.finish()
    assert (result.code, result.out) == (130, "")
    assert "data" not in volumes(small)


def test_what_several_commands_fill_is_filled_in_the_order_in_which_it_is_needed(small: Project) -> None:
    small.write(
        text("base", "echo base > /data/made", "volumes: {/data: !Persistent {name: base, init-command: base}}")
        + text(
            "fill",
            "cat /data/made > /more/made; echo more >> /more/made",
            "volumes:",
            "  /data: !Persistent {name: base, init-command: base}",
            "  /more: !Persistent {name: more, init-command: fill}",
        )
        + text("use", "cat /more/made", "volumes: {/more: !Persistent more}"),
        BOTH,
    )
    assert small.run("use").out == "base\nmore\n"
    assert volumes(small) == ["base", "more"]


def test_commands_that_need_each_others_volumes_are_told(small: Project) -> None:
    volumes_ = (
        "volumes:",
        "  /data: !Persistent {name: a, init-command: one}",
        "  /more: !Persistent {name: b, init-command: two}",
    )
    small.write(text("one", "true", *volumes_) + text("two", "true", *volumes_), BOTH)
    result = small.run("one")
    assert result.code == 121 and "[volume-empty]" in result.err


# --- two at once --------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(small: Project) -> Project:
    """Return a project whose volume is filled when the file `good` is made."""
    waits = "echo run >> /work/runs; while ! test -e /work/good; do sleep 0.05; done; echo content > /data/made"
    small.write(text("fill", waits, DATA) + USE, BOTH)
    assert small.run("_build", "c").code == 0
    return small


def test_while_one_fills_another_says_so_and_ends(slow: Project) -> None:
    first = slow.start("use")
    wait_until(lambda: slow.has("runs"), "the init-command")
    result = slow.run("use")
    assert (result.code, result.out) == (121, "")
    assert result.err == (
        "vagga: volume data is being filled by another vagga "
        "(wait for it, or set build-lock-wait: true in the settings) [volume-locked]\n"
    )
    (slow.directory / "good").touch()
    assert first.finish().out == "content\n"
    assert slow.read("runs") == "run\n"
    assert volumes(slow) == ["data"]


def test_with_build_lock_wait_the_second_waits_and_does_not_fill_again(slow: Project) -> None:
    waits = {"VAGGA_SETTINGS": "build-lock-wait: true"}
    first = slow.start("use", environ=waits)
    wait_until(lambda: slow.has("runs"), "the init-command")
    others = [slow.start("use", environ=waits) for _ in range(3)]
    told = "vagga: another vagga fills volume data, waiting for it\n"
    assert others[0].process.stderr is not None
    assert others[0].process.stderr.readline().decode() == told
    (slow.directory / "good").touch()
    for running in (first, *others):
        result = running.finish()
        assert (result.code, result.out) == (0, "content\n"), result.err
    assert slow.read("runs") == "run\n"


def test_who_waits_for_a_volume_can_be_interrupted(slow: Project) -> None:
    first = slow.start("use")
    wait_until(lambda: slow.has("runs"), "the init-command")
    other = slow.start("use", environ={"VAGGA_SETTINGS": "build-lock-wait: true"})
    assert other.process.stderr is not None
    other.process.stderr.readline()
    other.signal(signal.SIGINT)
    assert other.finish().code == 130
    (slow.directory / "good").touch()
    assert first.finish().code == 0


def test_the_volume_can_be_used_by_others_while_the_one_that_filled_it_goes_on(small: Project) -> None:
    stays = text("stay", "touch /work/stays; sleep 1000", DATA)
    small.write(FILL + USE + stays, BOTH)
    running = small.start("stay")
    wait_until(lambda: small.has("stays"), "the command after the init-command")
    assert small.run("use").out == "content\n"
    running.signal(signal.SIGTERM)
    running.finish()


def test_containers_only_neither_makes_nor_asks_for_volumes(small: Project) -> None:
    small.write(FILL + USE, BOTH)
    result = small.run("--containers-only", "use")
    assert (result.code, result.out) == (0, ""), result.err
    assert volumes(small) == []


def test_a_host_container_fills_and_uses_a_volume(project: Project) -> None:
    data = {"volumes": "@"}
    volume = "{/tmp/d: !Persistent {name: data, init-command: fill}}"
    commands = command("fill", "echo content > /tmp/d/made", **data) + command("use", "cat /tmp/d/made", **data)
    children = supervise("both", {"a": {"run": "cat /tmp/d/made", "volumes": "@"}})
    project.write((commands + children).replace('"@"', volume))
    assert project.run("both").out.endswith("content\n")
    assert project.run("use").out == "content\n"
