"""`vagga _compgen`, row by row of section 1.9 of the reference, and that it is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vaggapy.cli import app, argv
from vaggapy.cli.complete import FOLLOWS, Candidate, candidates, file_option, split
from vaggapy.cli.listing import BUILTINS
from vaggapy.config.model import Child, Command, Container, Host, Program, Project, Supervise
from vaggapy.errors import Mark

ROOT = Path(__file__).parents[2]
MARK = Mark("vagga.yaml", 1, 1)
PROGRAM = Program("box", MARK, "true")
OPTIONS = "Usage: vagga docs [options]\n\nOptions:\n  -q, --quiet  Less\n  -o, --out FILE  Where\n  -v ...  More\n"

PROJECT = Project(
    "/project",
    "vagga.yaml",
    {
        "box": Container("box", MARK),
        "alpine": Container("alpine", MARK),
        "data": Container("data", MARK, data_dirs=("/data",)),
        "host": Container("host", MARK, host=Host()),
    },
    {
        "run": Supervise(
            "run",
            MARK,
            (
                Child("web", MARK, PROGRAM, tags=("http", "front")),
                Child("db", MARK, PROGRAM, tags=("back",)),
                Child("back", MARK, PROGRAM, tags=("http",)),
            ),
            aliases=("r",),
        ),
        "test": Command("test", MARK, PROGRAM, description="Test it\nreally", aliases=("t",)),
        "list": Command("list", MARK, Program("box", MARK, ("ls",), accepts_arguments=True)),
        "docs": Command("docs", MARK, PROGRAM, options=OPTIONS),
        "many": Supervise("many", MARK, (Child("one", MARK, PROGRAM, tags=("x",)),), options="Usage: vagga many\n"),
        "_hidden": Command("_hidden", MARK, PROGRAM),
    },
    aliases={"r": "run", "t": "test"},
)
COMMANDS = "_hidden docs list many run test"
GLOBAL = (
    "-V --version -E --env --environ -e --use-env --ignore-owner-check --no-image-download --no-build "
    "--no-version-check --no-net --no-network --isolate-network"
)
SUPERVISE = "--only --exclude --no-image-download --no-build --no-version-check --debug"
MODES = "--no-build --no-image-download --no-version-check"


def offered(line: str, project: Project | None = PROJECT) -> str:
    """Return the candidates for a command line; what follows its last blank is completed."""
    *words, current = line.split(" ")
    return " ".join(each.word for each in candidates(tuple(words), current, project))


ROWS = [
    # the global state: commands, hidden ones too, no aliases; filtered by the prefix
    ("", COMMANDS),
    ("t", "test"),
    ("r", "run"),
    ("x", ""),
    ("_h", "_hidden _help"),
    ("_run", "_run"),
    ("nonsense ", COMMANDS),
    ("nonsense te", "test"),
    ("_simulate ", COMMANDS),
    ("_simulate te", "test"),
    ("_simulate run --st", "--stubborn"),
    ("_simulate run --kill ", ""),
    ("_simulate run --kill web@1 --ki", "--kill"),
    ("_simulate run --until 1 --unt", ""),
    ("_simulate run --only ", "web db back http front"),
    ("_simulate r --stubborn web ", "db back"),
    ("_simulate test --stubborn ", ""),
    # options that were not used; -E and -e may be used again
    ("--no-n", "--no-net --no-network"),
    ("--no-net --no-n", ""),
    ("--no-net --isol", ""),
    ("--no-build --no-b", ""),
    ("--no-build --no-v", "--no-version-check"),
    ("-E A=1 -e B --e", "--env --environ"),
    ("--run", "--run-multi"),
    ("--containers-only --no-prer", "--no-prerequisites"),
    # an option that waits for its argument
    ("-E ", ""),
    ("--use-env ", ""),
    ("-f ", ""),
    ("--color ", "auto always never"),
    ("--color=a", "--color=auto --color=always"),
    ("--file=x t", "test"),
    ("-fx t", "test"),
    ("-E t t", "test"),
    ("-m ", COMMANDS),
    ("-m test ru", "run"),
    ("-m test --dry", "--dry-run"),
    # after a command
    ("test ", ""),
    ("test te", ""),
    ("test -", "-h --help"),
    ("list -", ""),
    ("t -", "-h --help"),
    ("--no-net test ", ""),
    # after a supervise command
    ("run ", SUPERVISE),
    ("r ", SUPERVISE),
    ("run --no-b", "--no-build"),
    ("run --no-build ", SUPERVISE.replace(" --no-build", "")),
    ("run --only ", "web db back http front"),
    ("run --only web ", "db back http front"),
    ("run --only web --", "--exclude --debug --no-build --no-image-download --no-version-check --help"),
    ("run --debug ", SUPERVISE.replace(" --debug", "")),
    ("_simulate run --deb", "--debug"),
    ("run --only f", "front"),
    ("run --only web --exclude b", "back"),
    ("run --only=w", "--only=web"),
    ("run --only=web ", SUPERVISE.replace("--only ", "")),
    ("run -", f"{SUPERVISE} -h --help"),
    # a text of options
    ("docs ", ""),
    ("docs -", "-q --quiet -o --out -v -h --help"),
    ("docs -q -", "-o --out -v -h --help"),
    ("docs --quiet -v --q", ""),
    ("docs -v -v", "-v"),
    ("docs --out ", ""),
    ("docs --out -", ""),
    ("many ", ""),
    ("many --o", "--only"),
    ("many --only ", "one x"),
    ("many --only x --o", "--only"),
    # built-in commands with containers
    ("_build ", "alpine box data"),
    ("_build -", "--force --no-cache -h --help"),
    ("_build --force -", "--no-cache -h --help"),
    ("_build box ", ""),
    ("_build box -", ""),
    ("_run ", "alpine box host"),
    ("_run --wr", "--writeable --writable"),
    ("_run -W --wr", ""),
    ("_run -W --no-", MODES),
    ("_run box ", ""),
    ("_version_hash a", "alpine"),
    ("_version_hash -", "-s --short -h --help"),
    ("_pack_image --", f"--file --gzip --bzip2 --xz --zstd {MODES} --help"),
    ("_pack_image -f ", ""),
    ("_pack_image -f x b", "box"),
    # other built-in commands
    ("_clean ", ""),
    ("_clean --un", "--unused --unused-volumes"),
    ("_list --z", "--zsh"),
    ("_base_dir ", ""),
    ("_help te", "test"),
    ("_help _b", "_build _base_dir"),
    ("_completion ", "bash fish zsh"),
    ("_completion bash ", ""),
    ("_update_symlinks --", "--local-only --user-only --help"),
]


@pytest.mark.parametrize(("line", "words"), ROWS)
def test_what_may_come_next(line: str, words: str) -> None:
    assert sorted(offered(line).split()) == sorted(words.split())
    if not line.startswith(("-", "_")) and "-" not in line.split(" ")[-1]:
        assert offered(line) == words


def test_global_options_are_offered_in_their_order() -> None:
    assert offered("-").startswith(f"{GLOBAL} ")
    assert set(offered("-").split()) == set(argv.GLOBAL)


def test_built_in_commands_stand_in_their_order_behind_hidden_ones() -> None:
    shown = [name for name in offered("_").split() if name in BUILTINS]
    assert offered("_").split() == ["_hidden", *shown]
    order = [name for name in shown if name in ("_build", "_clean", "_list", "_run", "_version_hash", "_base_dir")]
    assert order == ["_build", "_clean", "_list", "_run", "_version_hash", "_base_dir"]
    assert set(shown) == set(BUILTINS)


def test_without_a_project_the_built_in_commands_and_options_are_offered() -> None:
    assert offered("", None) == ""
    assert set(offered("_", None).split()) == set(BUILTINS)
    assert offered("_run --writea", None) == "--writeable"
    assert offered("_build ", None) == ""
    assert offered("--no-b", None) == "--no-build"


@pytest.mark.parametrize("name", [name for name in BUILTINS if name not in ("_compgen", "_doctor")])
def test_the_options_that_are_offered_are_those_of_the_help(name: str) -> None:
    shown = {
        word
        for line in app.help_text(name).splitlines()
        if line.startswith("  -")
        for word in line.strip().split("  ")[0].replace(",", " ").replace("/", " ").split()
        if word.startswith("-")
    }
    assert set(offered(f"{name} -").split()) - set(argv.BUILD) == shown - set(argv.BUILD)


def test_every_command_of_the_table_that_is_there_has_a_help() -> None:
    assert set(FOLLOWS) - set(BUILTINS) <= {"_dump_config", "_settings"}


SPLITS = [
    (("a", "b", "--", "c"), ("a", "b"), "c"),
    (("a", "--"), ("a",), ""),
    (("--", ""), (), ""),
    (("--",), (), ""),
    ((), (), ""),
    (("a", "--", "--"), ("a",), "--"),
    (("a", "--", "b", "--", "c"), ("a", "--", "b"), "c"),
]


@pytest.mark.parametrize(("arguments", "words", "current"), SPLITS)
def test_the_word_behind_the_dashes_is_completed(
    arguments: tuple[str, ...], words: tuple[str, ...], current: str
) -> None:
    assert split(arguments) == (words, current)


@pytest.mark.parametrize(
    ("words", "file"),
    [((), ""), (("-f", "x"), "x"), (("--file=x", "a"), "x"), (("-f",), ""), (("a", "-f", "x"), ""), (("-v",), "")],
)
def test_the_typed_words_may_name_another_file(words: tuple[str, ...], file: str) -> None:
    assert file_option(words) == file


def test_commands_come_with_their_description() -> None:
    assert candidates((), "te", PROJECT) == (Candidate("test", "Test it\nreally"),)


def test_completion_loads_neither_typer_nor_docopt_nor_regular_expressions() -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nimport vaggapy.cli.shell, vaggapy.cli.complete\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"typer", "docopt", "re", "rich", "ruamel", "json", "enum", "functools", "shutil"})


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_every_shell_has_its_script(shell: str) -> None:
    assert "_compgen" in (ROOT / "vaggapy" / "cli" / "completion" / f"vagga.{shell}").read_text()
