"""What a child hands on to others: `VAGGA_OUTPUT`, and `${{ CHILD.KEY }}` in their texts."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

import pytest

from integration.ruled import Record, count, only, run_recorded, until
from integration.runs import Project, Result, has_ranges, need, supervise, wait_until

HOSTILE = """$(touch /work/owned); "'`touch /work/owned`' ${HOME} * \\ ${{ job.OTHER }} &"""
AFTER = [{"process-exited": "job"}]
SHOW = """printf '%s' "$1" >shown"""
WRITE = "import os; path = os.environ['VAGGA_OUTPUT']\n"


def job(run: object, **keys: object) -> dict[str, object]:
    return {"run": run, "once": True, **keys}


def web(run: object, **keys: object) -> dict[str, object]:
    return {"run": run, "once": True, "depends": AFTER, **keys}


def up(project: Project, children: Mapping[str, object], *words: str, **keys: object) -> Result:
    """Run a group to its end."""
    project.write(supervise("up", children, **keys))
    return project.run("up", *words)


def ends(records: list[Record], name: str) -> list[object]:
    """Return how the runs of a child ended: their codes and causes."""
    return [(each["code"], each["cause"]) for each in only(records, "exit") if each["name"] == name]


@pytest.mark.parametrize("mode", ["wait", "wait-all-children", "exec"])
def test_a_value_reaches_the_text_the_words_and_the_variables_of_others(project: Project, mode: str) -> None:
    """Rows 20 and 3.10; supervision 15.1 and supervision 15.3."""
    children = {
        "job": job("test ! -s $VAGGA_OUTPUT && echo URL=http://a/b=c >>$VAGGA_OUTPUT", pid1mode=mode),
        "text": web("echo text ${{job.URL}} ${{ job.URL }}, ${VAGGA_OUTPUT:+own}"),
        "words": web(["echo", "words", "<${{ job.URL }}>", "$${{ job.URL }}"]),
        "variable": web("echo variable $U", environ={"U": "${{ job.URL }}!"}, pid1mode=mode),
        "plain": {"run": "echo plain ${VAGGA_OUTPUT:-none}", "depends": AFTER},
    }
    result = up(project, children, mode="wait-all-successful")
    assert result.code == 0, result.err
    assert sorted(result.out.splitlines()) == [
        "plain none",
        "text http://a/b=c http://a/b=c, own",
        "variable http://a/b=c!",
        "words <http://a/b=c> ${{ job.URL }}",
    ]


@pytest.mark.parametrize(
    "child",
    [
        web("""printf '%s' "${{ job.V }}" >shown"""),
        web(["sh", "-c", SHOW, "sh", "${{ job.V }}"]),
        web("""printf '%s' "$V" >shown""", environ={"V": "${{ job.V }}"}),
        web("""sh -c 'printf "%s" "${{ job.V }}"' >shown"""),
        web("""cat >shown <<END\n${{ job.V }}\nEND\nprintf '%s' "$(cat shown)" >shown"""),
    ],
    ids=["text", "words", "variable", "inner-shell", "here-document"],
)
def test_no_value_is_executed(project: Project, child: dict[str, object]) -> None:
    """As supervision 15.5 says."""
    (project.directory / "value").write_text(HOSTILE)
    result = up(project, {"job": job('echo "V=$(cat value)" >$VAGGA_OUTPUT'), "web": child})
    assert result.code == 0, result.err
    assert project.read("shown") == HOSTILE
    assert not project.has("owned")


def test_in_single_quotes_there_is_no_variable_and_nothing_is_executed_either(project: Project) -> None:
    """As supervision 15.5 says."""
    result = up(project, {"job": job("echo V=x >$VAGGA_OUTPUT"), "web": web("echo '${{ job.V }}'")})
    assert (result.code, result.out) == (0, "${VAGGA_OUTPUT_job_V}\n")


def test_n1_values_may_have_lines_and_any_bytes_but_nul(project: Project) -> None:
    text = WRITE + "open(path, 'wb').write(b'A<<E F\\n one\\n\\n=two\\xff\\nE F\\nB=\\xfe\\xc3\\n')"
    show = "import os, sys; sys.stdout.buffer.write(os.environb[b'A'] + b'|' + os.fsencode(sys.argv[1]))"
    children = {
        "job": job(["python3", "-c", text]),
        "web": web(
            ["sh", "-c", 'python3 -c "$SHOW" "$1" >shown', "sh", "${{ job.B }}"],
            environ={"A": "${{ job.A }}", "SHOW": show},
        ),
    }
    for name, environ in (("utf-8", {}), ("c", {"LC_ALL": "C"}), ("posix", {"LC_ALL": "POSIX", "PYTHONUTF8": "0"})):
        project.write(supervise("up", children))
        result = project.run("up", environ=environ)
        assert result.code == 0, result.err
        assert (project.directory / "shown").read_bytes() == b" one\n\n=two\xff|\xfe\xc3", name


def test_a_value_may_be_as_long_as_the_file_and_two_of_them_too_long_for_the_kernel_are_told(project: Project) -> None:
    text = WRITE + "open(path, 'w').write('A=' + 'x' * (65536 - 2))"
    (project.directory / "run").mkdir()
    children = {
        "job": job(["python3", "-c", text]),
        "web": web(["sh", "-c", "echo ${#A}"], environ={"A": "${{ job.A }}"}),
    }
    result = up(project, children)
    assert (result.code, result.out) == (0, "65534\n"), result.err
    children["web"] = web("true", environ={"A": "${{ job.A }}${{ job.A }}${{ job.A }}"})
    result = up(project, children)
    assert result.code == 126
    assert "the argument list is too long" in result.err


# --- hostile files ------------------------------------------------------------------------------------------------

GONE = "the file of VAGGA_OUTPUT was removed or replaced, and nothing of it is used (write into the file itself)"
LARGE = "the file of VAGGA_OUTPUT has more than 64 KiB, and nothing of it is used (write less)"
HOSTILE_FILES = {
    "large": ("open(path, 'w').write('V=1\\n' * 2**18)", LARGE),
    "sparse": ("os.truncate(path, 2**40)", LARGE),
    "nul": ("open(path, 'wb').write(b'V=a\\0b\\n')", "the file of VAGGA_OUTPUT: no value in line 1 ("),
    "garbage": ("open(path, 'wb').write(b'\\xff\\xfe\\n' * 9)", "no value in lines 1, 2, 3, 4, 5 and 4 more ("),
    "block": ("open(path, 'w').write('V<<END\\nV=1\\n')", "the file of VAGGA_OUTPUT: no value in line 1 ("),
    "removed": ("os.remove(path)", GONE),
    "link": ("os.remove(path); os.symlink('/work/secret', path)", GONE),
    "fifo": ("os.remove(path); os.mkfifo(path)", GONE),
    "directory": ("os.remove(path); os.mkdir(path)", GONE),
    "device": ("os.remove(path); os.symlink('/dev/zero', path)", GONE),
    "renamed": ("open(path + '2', 'w').write('V=1'); os.rename(path + '2', path)", GONE),
    "no-rights": ("os.chmod(path, 0)", ""),
    "empty": ("pass", ""),
}


@pytest.mark.parametrize("mode", ["wait", "exec"])
def test_hostile_files_hand_on_nothing_and_stop_nobody_else(project: Project, mode: str) -> None:
    """As supervision 15.2 and supervision 15.6 say."""
    (project.directory / "secret").write_text("V=secret\n")
    children: dict[str, object] = {"other": {"run": f"{until(*HOSTILE_FILES)} echo the others go on"}}
    for name, (does, _) in HOSTILE_FILES.items():
        after = [{"process-exited": name}]
        children[name] = job(["python3", "-c", WRITE + does], pid1mode=mode)
        children[f"takes-{name}"] = {"run": f"echo {name} ${{{{ {name}.V }}}}", "depends": after}
        children[f"ends-{name}"] = {"run": f"touch {name}", "depends": after, "once": True}
    result = up(project, children, mode="keep-going")
    assert (result.code, result.out) == (125, "the others go on\n"), result.err
    for name, (_, warning) in HOSTILE_FILES.items():
        lines = [line for line in result.err.splitlines() if line.startswith(f"vagga: warning: {name}: ")]
        assert len(lines) == bool(warning)
        assert warning in "".join(lines)
        assert result.err.count(f"Process takes-{name} could not be run: {name} has not written V (") == 1


def test_what_was_written_before_bad_lines_and_after_them_counts(project: Project) -> None:
    """As supervision 15.2 says."""
    children = {
        "job": job("printf 'A=1\\nnothing\\nB=2\\n' >$VAGGA_OUTPUT"),
        "web": web("echo ${{ job.A }} ${{ job.B }}"),
    }
    result = up(project, children)
    assert (result.code, result.out) == (0, "1 2\n")
    assert "vagga: warning: job: the file of VAGGA_OUTPUT: no value in line 2 (" in result.err


def test_a_process_that_is_left_cannot_change_a_value_afterwards(project: Project) -> None:
    """As supervision 15.2 says: with `wait` it is killed first, with `wait-all-children` awaited."""
    late = "(echo V=late >$VAGGA_OUTPUT.tmp; %s cat $VAGGA_OUTPUT.tmp >>$VAGGA_OUTPUT) & echo V=first >>$VAGGA_OUTPUT"
    web_ = web("echo got ${{ job.V }}; touch go")
    result = up(project, {"job": job(late % until("go")), "web": web_})
    assert (result.code, result.out) == (0, "got first\n"), result.err
    (project.directory / "go").unlink()
    result = up(project, {"job": job(late % "sleep 0.2;", pid1mode="wait-all-children"), "web": web_})
    assert (result.code, result.out) == (0, "got late\n"), result.err


def test_no_other_child_sees_the_file_and_no_run_that_of_another_one(project: Project) -> None:
    """As supervision 15.1 says."""
    seen = "ls -a /run /tmp /dev/shm | grep vagga-output; "
    run = "test ! -s $VAGGA_OUTPUT; echo $? >>clean; echo V=1 >>$VAGGA_OUTPUT; echo x >>runs; test $(wc -l <runs) = 2"
    children = {
        "job": job(run, restart={"limit": 3, "min-wait": 0, "no-restart-on": [0]}),
        "web": {"run": f"{seen} echo seen=$?", "depends": AFTER},
    }
    result = up(project, children)
    assert (result.code, result.out) == (0, "seen=1\n"), result.err
    assert project.read("clean") == "0\n0\n"


def test_a_program_with_another_id_writes_it(project: Project) -> None:
    need(has_ranges(), "only one id here")
    children = {
        "job": job("echo V=$(id -u) >>$VAGGA_OUTPUT", **{"user-id": 7, "group-id": 8}),
        "outer": job("echo V=$(id -u) >$VAGGA_OUTPUT", **{"user-id": 70, "external-user-id": 0}),
        "web": web("echo ${{ job.V }} ${{ outer.V }}", depends=[*AFTER, {"process-exited": "outer"}]),
    }
    result = up(project, children)
    assert (result.code, result.out) == (0, "7 70\n"), result.err


@pytest.mark.parametrize(
    ("volumes", "place"),
    [
        ({}, "/run/"),
        ({"/run": "!BindRW /work/run"}, "/tmp/"),
        ({"/run": "!Empty", "/tmp": "!BindRW /work/run"}, "/dev/shm/"),
        ({"/run": "!Tmpfs {size: 1Mi, mode: 0o755}"}, "/run/"),
    ],
    ids=["usual", "run-is-of-the-host", "two-are-taken", "memory"],
)
def test_the_file_is_never_in_a_directory_of_the_host(project: Project, volumes: dict[str, str], place: str) -> None:
    (project.directory / "run").mkdir()
    lines = "".join(f"          {where}: {what}\n" for where, what in volumes.items())
    text = supervise("up", {"job": job("echo V=$VAGGA_OUTPUT >>$VAGGA_OUTPUT"), "web": web("echo ${{ job.V }}")})
    if volumes:
        head, tail = text.split("      web:", 1)
        text = f"{head}        volumes:\n{lines}      web:{tail}"
    project.write(text)
    result = project.run("up")
    assert (result.code, result.out) == (0, f"{place}vagga-output\n"), result.err
    assert not os.listdir(project.directory / "run")


def test_without_a_place_of_its_own_a_child_has_no_file(project: Project) -> None:
    (project.directory / "run").mkdir()
    text = supervise("up", {"job": job("echo ${VAGGA_OUTPUT:-none}")})
    places = "".join(f"          {place}: !BindRW /work/run\n" for place in ("/run", "/tmp", "/dev/shm"))
    project.write(f"{text}        volumes:\n{places}")
    assert project.run("up").out == "none\n"
    assert not os.listdir(project.directory / "run")


# --- which run ----------------------------------------------------------------------------------------------------


def test_a_run_that_fails_hands_on_nothing_and_its_restart_does(project: Project) -> None:
    """As supervision 15.3 says."""
    run = "echo x >>runs; n=$(wc -l <runs); echo V=$n >>$VAGGA_OUTPUT; "
    run += "test $n = 1 || echo W=$n >>$VAGGA_OUTPUT; test $n = 3"
    children = {
        "job": job(run, restart={"limit": 5, "min-wait": 0, "no-restart-on": [0]}),
        "web": web("echo ${{ job.V }} ${{ job.W }}"),
    }
    result = up(project, children)
    assert (result.code, result.out) == (0, "3 3\n"), result.err


def test_each_start_gets_the_values_of_the_last_good_run(project: Project) -> None:
    """As supervision 15.3 says: the first run writes 1, the second fails, the third writes 3."""
    run = (
        "echo x >>runs; n=$(wc -l <runs); echo V=$n >>$VAGGA_OUTPUT; "
        f"case $n in 2) {until('first')} exit 1;; 3) {until('second')};; 4) exec sleep 60;; esac"
    )
    until_runs = "until test $(wc -l <runs) -ge %d; do sleep 0.01; done"
    show = (
        "echo ${{ job.V }}; echo x >>shows; case $(wc -l <shows) in "
        f"1) touch first; {until_runs % 3};; 2) touch second; {until_runs % 4};; 3) exec sleep 60;; esac; exit 1"
    )
    children = {
        "job": job(run, restart={"limit": 5, "min-wait": 0}),
        "web": {
            "run": show,
            "when": {"source": "job", "each": "exit-success"},
            "restarts": 1,
        },
    }
    project.write(supervise("up", children, mode="keep-going"))
    running = project.start("up")
    wait_until(lambda: count(project, "shows") >= 3, "three runs")
    running.signal(signal.SIGINT)
    result = running.finish()
    assert result.out.split()[:3] == ["1", "1", "3"], (result.out, result.err)


# --- what is missing ----------------------------------------------------------------------------------------------


def test_a_key_that_nobody_wrote_is_a_failed_start(project: Project) -> None:
    """As supervision 15.6 says."""
    children = {
        "job": job("echo OTHER=1 >>$VAGGA_OUTPUT"),
        "web": web("echo web ran ${{ job.V }}"),
        "long": {"run": "exec sleep 60"},
    }
    project.write(supervise("up", children))
    result, records = run_recorded(project, "up")
    assert (result.code, result.out) == (125, ""), result.err
    why = 'job has not written V (in job: echo "V=VALUE" >>"$VAGGA_OUTPUT") [output-missing]'
    assert f"---------- Process web could not be run: {why}. Shutting down -----------" in result.err
    assert result.err.endswith("vagga: web could not be run; vagga exits with 125\n")
    assert ends(records, "web") == [(125, "not-started")]


def test_a_child_that_was_skipped_has_written_nothing_and_the_message_says_so(project: Project) -> None:
    """As supervision 15.6 says."""
    for keys in (
        {"condition": "false"},
        {"when": {"source": "never", "once": "exit-success", "timeout": "50ms"}},
        {"depends": [{"path": "nowhere", "timeout": "50ms", "poll": "10ms", "on-timeout": "skip"}]},
    ):
        children = {
            "job": job("echo V=1 >>$VAGGA_OUTPUT", **keys),
            "web": {"run": "echo web ran ${{ job.V }}", "depends": AFTER},
            "never": job("exec sleep 60"),
        }
        result = up(project, children)
        assert (result.code, result.out) == (125, ""), result.err
        assert "Process web could not be run: job has not written V: it was skipped (" in result.err


def test_a_start_without_its_value_is_tried_again_as_often_as_its_restart_says(project: Project) -> None:
    """As supervision 15.6 and supervision 7.6 say; signals are heard in between."""
    children = {
        "job": job("true"),
        "web": {"run": "echo ${{ job.V }}", "depends": AFTER, "restart": {"limit": 2, "min-wait": 0}},
    }
    project.write(supervise("up", children))
    result, records = run_recorded(project, "up")
    assert result.code == 125
    assert len(ends(records, "web")) == 3
    children["web"] = {"run": "echo ${{ job.V }}", "depends": AFTER, "restart": {"min-wait": 0}}
    project.write(supervise("up", children))
    with open(project.directory / "told", "wb") as told:
        running = project.start("up", stderr=told.fileno())
    wait_until(lambda: project.read("told").count("could not be run") > 5, "some starts")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 143


def test_who_is_left_out_writes_nothing_so_nothing_is_started(project: Project) -> None:
    """As supervision 15.7 says (C20)."""
    children = {"job": job("touch ran"), "web": web("touch ran; echo ${{ job.V }}"), "other": {"run": "true"}}
    for words in (("--exclude", "job"), ("--only", "web"), ("--only", "web", "other")):
        result = up(project, children, *words)
        assert (result.code, result.out) == (122, ""), result.err
        assert result.err == (
            "vagga: web takes V of job, which is left out (choose job too, or leave web out) [output-left-out]\n"
        )
    assert not project.has("ran")
    assert project.run("up", "--only", "other").code == 0


def test_a_check_and_a_condition_of_a_child_have_its_variables(project: Project) -> None:
    """What `environ` takes is there for programs beside the child, and for `condition`."""
    children = {
        "job": job("echo V=value >>$VAGGA_OUTPUT"),
        "web": {
            "run": f"{until('checked')}",
            "once": True,
            "depends": AFTER,
            "environ": {"V": "${{ job.V }}"},
            "condition": 'test "$V" = value && touch conditional',
            "health": {"exec": 'test "$V" = value && touch checked', "interval": "20ms"},
        },
    }
    result = up(project, children)
    assert result.code == 0, result.err
    assert project.has("conditional", "checked")


def test_a_simulation_knows_no_values_and_goes_on(project: Project) -> None:
    """As supervision 15.8 says."""
    project.write(supervise("up", {"job": job("true"), "web": web("echo ${{ job.V }}")}))
    result = project.run("_simulate", "up", "--exit", "job=0@1s", "--exit", "web=0@2s")
    assert result.code == 0, result.err
    assert "could not be run" not in result.out


def test_a_kill_of_vagga_leaves_nothing_of_the_files(project: Project) -> None:
    project.write(supervise("up", {"job": job("echo V=1 >>$VAGGA_OUTPUT; touch ready; exec sleep 60")}))
    running = project.start("up")
    wait_until(lambda: project.has("ready"), "it runs")
    running.signal(signal.SIGKILL)
    running.finish()


def test_descriptors_do_not_become_more_with_each_run(project: Project) -> None:
    run = (
        "echo V=1 >>$VAGGA_OUTPUT; echo x >>runs; test $(wc -l <runs) -lt %d || sleep 60; exit $(($(wc -l <runs) % 2))"
    )
    run = run.replace("%d", "20")
    project.write(supervise("up", {"job": job(run, restart={"min-wait": 0}), "long": {"run": "exec sleep 60"}}))
    running = project.start("up")
    wait_until(lambda: count(project, "runs") == 20, "twenty runs")
    ours, spawners = running.descriptors_at_rest()
    running.signal(signal.SIGINT)
    running.finish()
    (project.directory / "runs").write_text("x\n" * 19)
    again = project.start("up")
    wait_until(lambda: count(project, "runs") == 20, "one run")
    assert again.descriptors_at_rest() == (ours, spawners)
    again.signal(signal.SIGINT)
    again.finish()
