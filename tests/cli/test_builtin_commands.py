from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer.main

from vaggapy.cli import app, argv, builtin, storage
from vaggapy.cli.listing import BUILTINS, ListFlags
from vaggapy.config.model import Command, Container, Program, Project
from vaggapy.errors import CommandError, ConfigError, Mark, Problem, UsageError, VaggaError

MARK = Mark("vagga.yaml", 1, 1)
PROJECT = Project(
    "/project",
    "vagga.yaml",
    {"box": Container("box", MARK)},
    {name: Command(name, MARK, Program("box", MARK, "true"), description="Do it") for name in ("test", "_hidden")},
)


def load() -> Project:
    return PROJECT


def load_broken() -> Project:
    mark = Mark("/p/vagga.yaml", 3, 5)
    raise ConfigError(
        (
            Problem(mark, 'unknown key "rnu"', 'did you mean "run"?', "unknown-key"),
            Problem(mark, "field container is missing", "", "missing-field"),
        )
    )


def load_nothing() -> Project:
    raise VaggaError("no vagga.yaml here", "create one", "no-project", 126)


def load_never() -> Project:
    raise AssertionError("the project must not be read")


def declared(*path: str) -> set[str]:
    """Return the options at the beginning of lines in a help text."""
    found: set[str] = set()
    for line in app.help_text(*path).splitlines():
        if line.startswith("  -"):
            names = line.strip().split("  ")[0]
            found.update(word for word in names.replace(",", " ").replace("/", " ").split() if word.startswith("-"))
    return found


def known(table: dict[str, tuple[str, str, str]], *build: str) -> set[str]:
    """Return the options of a table; of those that say how to build, which most commands take in silence, only some."""
    return {name for name, (kind, key, _) in table.items() if kind != argv.LATER and key != "build"} | set(build)


def test_the_help_shows_exactly_the_options_that_are_read() -> None:
    assert declared() == known(argv.GLOBAL, "--no-build", "--no-version-check")
    assert declared("_list") == known(builtin.LIST)
    assert declared("_doctor") == set(argv.HELP)
    assert declared("_run") == known(argv.RUN)
    assert declared("_build") == known(storage.BUILD)
    assert declared("_version_hash") == known(storage.VERSION)


def test_every_built_in_command_has_a_help_and_no_other() -> None:
    group = typer.main.get_command(app.app)
    assert set(getattr(group, "commands")) == set(BUILTINS)  # noqa: B009 - the class is not public


@pytest.mark.parametrize("words", [("--help",), ("-h",)])
@pytest.mark.parametrize("name", ["--help", *BUILTINS])
def test_help_goes_to_stdout_without_any_config(
    name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.dispatch(name, words, load_never) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: vagga ")
    assert err == ""
    assert not any(line != line.rstrip() for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 80


def test_run_help_is_the_text_of_run() -> None:
    assert app.run_help().startswith("Usage: vagga _run [OPTIONS] CONTAINER PROGRAM [ARGUMENTS]...\n")


FLAGS = [
    ((), ListFlags()),
    (("--containers",), ListFlags(containers=True)),
    (("-A",), ListFlags(every=True)),
    (("--all", "-v"), ListFlags(every=True, verbose=True)),
    (("-Av",), ListFlags(every=True, verbose=True)),
    (("--builtin", "--hidden", "--zsh"), ListFlags(builtin=True, hidden=True, zsh=True)),
    (("--no-aliases", "--verbose", "--verbose"), ListFlags(no_aliases=True, verbose=True)),
    (("--zsh", "--help", "nonsense"), None),
]


@pytest.mark.parametrize(("words", "flags"), FLAGS)
def test_the_flags_of_list_are_read(words: tuple[str, ...], flags: ListFlags | None) -> None:
    assert builtin.list_flags(words) == flags


WRONG = [
    ("_list", ("--hiden",), 2, "Unknown option --hiden (did you mean --hidden?) [unknown-option]"),
    (
        "_list",
        ("x",),
        2,
        "Unexpected argument x (_list takes options only, see vagga _list --help) [unexpected-argument]",
    ),
    (
        "_list",
        ("--zsh=1",),
        2,
        "Option --zsh does not accept an argument (write it without =1) [option-takes-no-value]",
    ),
    (
        "_doctor",
        ("x",),
        122,
        "Unexpected argument x (_doctor takes options only, see vagga _doctor --help) [unexpected-argument]",
    ),
    (
        "_doctor",
        ("-v",),
        122,
        'Unknown short option "v" (-v is an option of vagga itself and comes before the command) [unknown-option]',
    ),
]


@pytest.mark.parametrize(("name", "words", "code", "text"), WRONG)
def test_wrong_words_after_a_built_in_command_are_usage_errors(
    name: str, words: tuple[str, ...], code: int, text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        app.dispatch(name, words, load_never)
    assert (caught.value.code, str(caught.value)) == (code, text)


def test_list_prints_the_commands_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.dispatch("_list", (), load) == 0
    assert capsys.readouterr() == ("test                Do it\n", "")


BROKEN = [
    (
        load_broken,
        'vagga: only built-in commands are listed: /p/vagga.yaml:3:5: unknown key "rnu", and 1 more '
        '(did you mean "run"?) [unknown-key]\n',
    ),
    (load_nothing, "vagga: only built-in commands are listed: no vagga.yaml here (create one) [no-project]\n"),
]


@pytest.mark.parametrize(("loader", "text"), BROKEN)
def test_list_on_a_broken_config_lists_what_it_can_and_says_so_in_one_line(
    loader: Callable[[], Project], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.dispatch("_list", ("--no-aliases",), loader) == 126
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == list(BUILTINS)
    assert err == text


@pytest.mark.parametrize("loader", [load, load_broken])
def test_an_unknown_built_in_command_is_121_with_a_suggestion_even_on_a_broken_config(
    loader: Callable[[], Project],
) -> None:
    with pytest.raises(CommandError) as caught:
        app.dispatch("_lsit", (), loader)
    assert caught.value.code == 121
    assert str(caught.value) == (
        'Command "_lsit" not found and is not an alias (did you mean "_list"?) [unknown-command]'
    )


def test_a_hidden_command_of_the_project_is_suggested_too() -> None:
    with pytest.raises(CommandError, match='did you mean "_hidden"'):
        app.dispatch("_hiden", (), load)


def test_argv_and_listing_load_nothing_but_our_own_modules() -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nimport vaggapy.cli.argv, vaggapy.cli.listing\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {here!r})\n{script}"],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = done.stdout.split()
    assert [name for name in loaded if name.split(".")[0] not in ("vaggapy", "__future__")] == []
