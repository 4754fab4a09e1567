from __future__ import annotations

import pytest

from vaggapy.cli.listing import (
    BUILTINS,
    MODES,
    ListFlags,
    command_help,
    commands,
    list_text,
    resolve,
    unknown_command,
)
from vaggapy.config.model import Child, Command, Container, Program, Project, Supervise
from vaggapy.errors import CommandError, Mark

MARK = Mark("vagga.yaml", 1, 1)
PROGRAM = Program("box", MARK, "true")


def command(name: str, description: str = "", group: str = "", aliases: tuple[str, ...] = ()) -> Command:
    return Command(name, MARK, PROGRAM, description=description, group=group, aliases=aliases)


def project(*items: Command | Supervise, containers: tuple[str, ...] = ("box",)) -> Project:
    return Project(
        "/project",
        "vagga.yaml",
        {name: Container(name, MARK) for name in containers},
        {item.name: item for item in items},
        aliases={alias: item.name for item in items for alias in item.aliases},
    )


APP = Supervise(
    "run_full_app",
    MARK,
    (
        Child("web", MARK, PROGRAM, tags=("http", "front")),
        Child("a-child-with-quite-a-long-name", MARK, PROGRAM, tags=("http",)),
        Child("db", MARK, PROGRAM),
    ),
    description="Run everything",
)


def test_the_list_has_the_layout_of_the_original() -> None:
    shown = commands(
        project(
            command("v32-calc", group="Old alpine commands"),
            command("vagga-alpine"),
            command("v37-calc", aliases=("new-calc", "just-calc")),
            command("v3.15-calc"),
            command("echo-cmd"),
        )
    )
    assert shown == (
        "Available commands:\n"
        "    echo-cmd\n"
        "    v3.15-calc\n"
        "    v37-calc\n"
        "                        (aliases: new-calc, just-calc)\n"
        "    vagga-alpine\n"
        "\n"
        "Old alpine commands:\n"
        "    v32-calc\n"
    )


LINES = [
    (command("run", "Run it"), "    run                 Run it\n"),
    (command("n" * 19, "Just fits"), f"    {'n' * 19} Just fits\n"),
    (command("n" * 20, "Too long"), f"    {'n' * 20}\n                        Too long\n"),
    (command("run", "One\ntwo\n"), "    run                 One\n                        two\n"),
    (
        command("run", "Run it", aliases=("r", "x")),
        "    run                 Run it\n                        (aliases: r, x)\n",
    ),
    (command("run", "\x1b[31mred\ttext"), "    run                 \\x1b[31mred text\n"),
]


@pytest.mark.parametrize(("item", "text"), LINES)
def test_a_line_of_the_list_has_name_and_description_in_columns(item: Command, text: str) -> None:
    assert commands(project(item)) == f"Available commands:\n{text}"


def test_commands_are_sorted_by_bytes_and_groups_stand_where_they_are_first_met() -> None:
    shown = commands(
        project(command("b"), command("Z"), command("a", group="Tools"), command("é"), command("c", group="Tools"))
    )
    assert shown == "Available commands:\n    Z\n    b\n    é\n\nTools:\n    a\n    c\n"


def test_hidden_commands_are_not_listed_and_make_no_heading() -> None:
    assert commands(project(command("_x", group="Secret"), command("a"))) == "Available commands:\n    a\n"


def test_a_project_without_commands_lists_nothing() -> None:
    assert commands(project()) == ""
    assert commands(project(command("_x"))) == ""


def test_an_alias_that_is_the_name_of_a_command_is_not_listed_as_one() -> None:
    assert commands(project(command("a", aliases=("b",)), command("b"))) == "Available commands:\n    a\n    b\n"


MANY = project(
    command("test", "Run tests\nall of them", aliases=("t", "_t", "web")),
    command("web"),
    command("_secret", "Hidden", aliases=("s",)),
    command("a-name-longer-than-the-column", "Long"),
    command("_list", "Shadowed"),
    containers=("box", "_inner", "alpine"),
)
LONG = "a-name-longer-than-the-column\n                    Long\n"
TEST = "Run tests\n                    all of them\n"

LISTS = [
    (ListFlags(), f"{LONG}test                {TEST}t                   {TEST}web                 \n"),
    (ListFlags(no_aliases=True), f"{LONG}test                {TEST}web                 \n"),
    (ListFlags(containers=True), "_inner\nalpine\nbox\n"),
    (
        ListFlags(zsh=True, hidden=True, no_aliases=True),
        "_secret:Hidden\na-name-longer-than-the-column:Long\ntest:Run tests\nweb:\n"
        + "".join(f"{name}:{text}\n" for name, text in BUILTINS.items()),
    ),
    (
        ListFlags(verbose=True),
        f'{LONG}                    (from "vagga.yaml")\n'
        f'test                {TEST}                    (from "vagga.yaml")\n'
        f't                   {TEST}                    (from "vagga.yaml":test)\n'
        'web                 \n                    (from "vagga.yaml")\n',
    ),
]


@pytest.mark.parametrize(("flags", "text"), LISTS)
def test_list_shows_what_its_flags_ask_for(flags: ListFlags, text: str) -> None:
    assert list_text(MANY, flags) == text


def test_all_and_hidden_show_hidden_commands_their_aliases_and_built_in_ones() -> None:
    shown = list_text(MANY, ListFlags(every=True))
    assert shown == list_text(MANY, ListFlags(hidden=True))
    names = [line.split(" ")[0] for line in shown.splitlines() if not line.startswith(" ")]
    assert names == ["_secret", "s", "a-name-longer-than-the-column", "test", "t", "_t", "web", *BUILTINS]


def test_builtin_adds_the_built_in_commands_and_says_where_they_are_from() -> None:
    shown = list_text(project(command("a"), command("_x")), ListFlags(builtin=True, verbose=True))
    assert shown.startswith(
        'a                   \n                    (from "vagga.yaml")\n_build              Build a'
    )
    assert shown.count('                    (from "<builtins>")\n') == len(BUILTINS)
    assert "_x" not in shown


def test_without_a_project_the_built_in_commands_are_listed_and_no_containers() -> None:
    names = [line.split(" ")[0] for line in list_text(None, ListFlags()).splitlines()]
    assert names == list(BUILTINS)
    assert list_text(None, ListFlags(containers=True)) == ""


def test_the_help_of_a_supervise_command_names_mode_children_tags_and_options() -> None:
    assert command_help(APP) == (
        "Usage:\n"
        "  vagga run_full_app [OPTIONS]\n"
        "\n"
        "Run everything\n"
        "\n"
        "Mode:                   stop-on-failure (the first child that exits stops all\n"
        "                        others)\n"
        "\n"
        "Children:\n"
        "  a-child-with-quite-a-long-name\n"
        "                        tags: http\n"
        "  db\n"
        "  web                   tags: http, front\n"
        "\n"
        "Optional arguments:\n"
        "  -h,--help             Show this help message and exit\n"
        "  --only NAME_OR_TAG [...]\n"
        "                        Run only these children\n"
        "  --exclude NAME_OR_TAG [...]\n"
        "                        Run all children but these; it also takes away from\n"
        "                        --only\n"
        "  --debug               Before a child's end or failure stops the run, pause\n"
        "                        until ENTER or Ctrl+C; needs a terminal\n"
    )


@pytest.mark.parametrize("mode", sorted(MODES))
def test_each_mode_is_explained_in_the_help(mode: str) -> None:
    shown = command_help(Supervise("x", MARK, (), mode=mode))
    assert " ".join(f"Mode: {mode} ({MODES[mode]})".split()) in " ".join(shown.split())


def test_the_help_of_a_command_without_arguments_is_short() -> None:
    text = f"{'word ' * 30}\nsecond line\n"
    item = Command("test", MARK, PROGRAM, description=text, aliases=("t",), prerequisites=("migrate", "seed"))
    assert command_help(item) == (
        "Usage:\n"
        "  vagga test\n"
        "\n"
        f"{' '.join(['word'] * 16)}\n"
        f"{' '.join(['word'] * 14)}\n"
        "second line\n"
        "\n"
        "Aliases:                t\n"
        "\n"
        "Prerequisites:          migrate, seed\n"
        "\n"
        "Optional arguments:\n"
        "  -h,--help             Show this help message and exit\n"
    )


def test_the_usage_line_shows_arguments_only_where_they_are_accepted() -> None:
    item = Command("test", MARK, Program("box", MARK, ("true",), accepts_arguments=True))
    assert command_help(item).splitlines()[1] == "  vagga test [ARGUMENTS ...]"


def test_a_name_beats_an_alias() -> None:
    first, second, third = command("a", aliases=("x", "c")), command("b"), command("c")
    found = project(third, second, first)
    assert resolve(found, "x") is first
    assert resolve(found, "c") is third
    assert resolve(found, "b") is second


UNKNOWN = [
    ("tset", 'Command "tset" not found and is not an alias (did you mean "test"?) [unknown-command]'),
    ("zzzzzzz", 'Command "zzzzzzz" not found and is not an alias (vagga shows the commands) [unknown-command]'),
    ("_lst", 'Command "_lst" not found and is not an alias (did you mean "_list"?) [unknown-command]'),
    ("_secrte", 'Command "_secrte" not found and is not an alias (did you mean "_secret"?) [unknown-command]'),
    (
        "_qqqqq",
        'Command "_qqqqq" not found and is not an alias (vagga _list --all shows the commands) [unknown-command]',
    ),
    ("\x1b[2J", 'Command "\\x1b[2J" not found and is not an alias (vagga shows the commands) [unknown-command]'),
]


@pytest.mark.parametrize(("name", "text"), UNKNOWN)
def test_an_unknown_command_is_121_with_a_suggestion(name: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        resolve(MANY, name)
    assert (caught.value.code, str(caught.value)) == (121, text)


def test_an_unknown_command_without_a_project_still_knows_the_built_in_ones() -> None:
    assert 'did you mean "_doctor"?' in str(unknown_command("_docter", None))
