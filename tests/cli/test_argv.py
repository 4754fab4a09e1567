from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaggapy.cli.argv import (
    GLOBAL,
    RUN,
    SUPERVISE,
    Invocation,
    Options,
    RunRequest,
    Selection,
    parse,
    parse_command,
    parse_run,
    parse_supervise,
    select,
)
from vaggapy.errors import UsageError


def refusal(*words: str) -> tuple[int, str]:
    with pytest.raises(UsageError) as caught:
        parse(words)
    return caught.value.code, str(caught.value)


ACCEPTED = [
    ((), Options()),
    (("--help",), Options(help=True)),
    (("-h",), Options(help=True)),
    (("--version",), Options(version=True)),
    (("-V",), Options(version=True)),
    (("-f", "x.yaml"), Options(file="x.yaml")),
    (("-fx.yaml",), Options(file="x.yaml")),
    (("-f=x.yaml",), Options(file="=x.yaml")),
    (("--file", "x.yaml"), Options(file="x.yaml")),
    (("--file=x=y.yaml",), Options(file="x=y.yaml")),
    (("--file", "--dry-run"), Options(file="--dry-run")),
    (("-f", "a", "-f", "b"), Options(file="b")),
    (("-E", "A=1"), Options(environ=(("A", "1"),))),
    (("--env=A=b=c",), Options(environ=(("A", "b=c"),))),
    (("--environ", "A=", "-EB=2"), Options(environ=(("A", ""), ("B", "2")))),
    (("-E", "A"), Options(remove=("A",))),
    (("-E", "A=1", "-E", "A"), Options(remove=("A",))),
    (("-E", "A", "-E", "A=1"), Options(environ=(("A", "1"),))),
    (("-E", "A=1", "-E", "B=1", "-E", "A=2"), Options(environ=(("B", "1"), ("A", "2")))),
    (("-e", "A", "--use-env=B", "-eA"), Options(use_env=("A", "B"))),
    (("-e", "A", "-E", "A=1", "-e", "B", "-E", "B"), Options(environ=(("A", "1"),), remove=("B",))),
    (("--dry-run",), Options(dry_run=True)),
    (("-v",), Options(verbose=1)),
    (("-vv", "--verbose"), Options(verbose=3)),
    (("-vvfx",), Options(verbose=2, file="x")),
    (("-vf", "x"), Options(verbose=1, file="x")),
    (("--color", "always"), Options(color="always")),
    (("--color=never",), Options(color="never")),
    (("--no-color",), Options(color="never")),
    (("--no-color", "--color=auto"), Options(color="auto")),
    (("--prefix",), Options(prefix=True)),
    (("--no-prefix",), Options(prefix=False)),
    (("--no-log-prefix",), Options(prefix=False)),
    (("--no-prefix", "--prefix"), Options(prefix=True)),
    (("--no-network",), Options(isolate_network=True)),
    (("--no-net",), Options(isolate_network=True)),
    (("--isolate-network",), Options(isolate_network=True)),
    (("--no-prerequisites",), Options(no_prerequisites=True)),
    (("--ignore-owner-check",), Options(ignore_owner_check=True)),
    (("--status-fd", "3"), Options(status_fd=3)),
    (("--status-fd=0",), Options(status_fd=0)),
    (("--no-build", "--no-image-download", "--no-version-check"), Options(build="no-version-check")),
    (("--no-version-check", "--no-build"), Options(build="no-build")),
    (("--containers-only",), Options(containers_only=True)),
    (("--",), Options()),
]


@pytest.mark.parametrize(("words", "options"), ACCEPTED, ids=[" ".join(words) or "nothing" for words, _ in ACCEPTED])
def test_global_options_mean_what_the_table_says_before_any_command(words: tuple[str, ...], options: Options) -> None:
    assert parse(words) == Invocation(options)
    if not (options.help or options.version):
        assert parse((*words, "run", "--help", "-x")) == Invocation(options, "run", ("--help", "-x"))


REFUSED = [
    (("--nonsense",), 122, "Unknown option --nonsense (see vagga --help) [unknown-option]"),
    (("--colour=auto",), 122, "Unknown option --colour (did you mean --color?) [unknown-option]"),
    (("--dry",), 122, "Unknown option --dry (did you mean --dry-run?) [unknown-option]"),
    (("--dryrun",), 122, "Unknown option --dryrun (did you mean --dry-run?) [unknown-option]"),
    (("-x",), 122, 'Unknown short option "x" (see vagga --help) [unknown-option]'),
    (("-vx",), 122, 'Unknown short option "x" (see vagga --help) [unknown-option]'),
    (("-\x1b",), 122, r'Unknown short option "\x1b" (see vagga --help) [unknown-option]'),
    (("--only", "web"), 122, "Unknown option --only (--only comes after the command) [unknown-option]"),
    (("--help=1",), 122, "Option --help does not accept an argument (write it without =1) [option-takes-no-value]"),
    (("--file",), 122, 'Option ["--file"] requires an argument (see vagga --help) [option-needs-value]'),
    (("-vf",), 122, 'Option ["-f"] requires an argument (see vagga --help) [option-needs-value]'),
    (("--file=",), 122, 'Bad value "" (--file takes the path of a vagga.yaml) [bad-option-value]'),
    (("--color=blue",), 122, "Bad value blue (--color takes auto, always or never) [bad-option-value]"),
    *(
        (
            ("--status-fd", number),
            122,
            f"Bad value {number} (--status-fd takes the number of an open file descriptor) [bad-option-value]",
        )
        for number in ("", "-1", "3x", "1_0", "٣", "99999999999")
    ),
    (("-E", "=1"), 122, "Bad value =1 (--environ takes NAME=VALUE, or NAME to remove it) [bad-option-value]"),
    (("-E", ""), 122, 'Bad value "" (--environ takes NAME=VALUE, or NAME to remove it) [bad-option-value]'),
    (
        ("-e", "A=1"),
        126,
        'Error propagating environment: "A=1" cannot be the name of a variable '
        "(--use-env copies a variable of yours; --environ NAME=VALUE sets one) [bad-variable-name]",
    ),
    (("",), 122, "Bad value for the command: it is empty (see vagga --help) [bad-option-value]"),
    (("-m",), 122, 'Option ["-m"] requires an argument (see vagga --help) [option-needs-value]'),
    (("-m", "--no-net"), 122, 'Option ["-m"] requires an argument (see vagga --help) [option-needs-value]'),
    (("-m", ""), 122, "Bad value for the command: it is empty (see vagga --help) [bad-option-value]"),
    *(
        (
            words,
            122,
            "Unexpected argument c (the commands of --run-multi stand right behind it, and take no arguments) "
            "[unexpected-argument]",
        )
        for words in (("-ma", "c"), ("--run-multi=a", "c"), ("-m", "a", "--no-net", "c"), ("-m", "a", "--", "c"))
    ),
]


@pytest.mark.parametrize(("words", "code", "text"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_a_wrong_global_option_is_told_in_one_line(words: tuple[str, ...], code: int, text: str) -> None:
    assert refusal(*words) == (code, text)


def test_options_end_at_the_command_and_everything_after_it_is_kept_as_written() -> None:
    assert parse(("-v", "run", "-v", "--", "--file", "")) == Invocation(
        Options(verbose=1), "run", ("-v", "--", "--file", "")
    )


def test_two_dashes_end_the_options_and_the_next_word_is_the_command() -> None:
    assert parse(("--", "--dry-run", "--")) == Invocation(Options(), "--dry-run", ("--",))


def test_a_lone_dash_is_a_command_name() -> None:
    assert parse(("-", "-v")) == Invocation(Options(), "-", ("-v",))


def test_help_and_version_win_over_mistakes_after_them_but_not_before() -> None:
    assert parse(("--help", "--nonsense")).options.help
    assert parse(("-Vx", "run")) == Invocation(Options(version=True))
    assert refusal("--nonsense", "--help")[0] == 122


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (("-m", "a"), ("a",)),
        (("--run-multi", "a", "b", "a"), ("a", "b", "a")),
        (("--run-multi=a",), ("a",)),
        (("-ma",), ("a",)),
        (("-m", "a", "--run-multi=b", "-m", "c"), ("a", "b", "c")),
    ],
)
def test_run_multi_takes_commands_up_to_the_next_option(words: tuple[str, ...], commands: tuple[str, ...]) -> None:
    assert parse((*words, "--no-net")) == Invocation(Options(run_multi=commands, isolate_network=True))


@pytest.mark.parametrize("option", sorted(GLOBAL))
def test_every_option_in_the_table_is_read(option: str) -> None:
    value = {"color": ("auto",), "status-fd": ("1",)}.get(GLOBAL[option][1], ("x",))
    assert parse((option, *value)).command in ("", "x", "auto", "1")


WORDS = st.lists(
    st.one_of(
        st.sampled_from([*GLOBAL, *SUPERVISE, *RUN, "-", "--", "", "=", "--color=", "-E=", "-eA=", "--status-fd=9"]),
        st.text(max_size=6),
        st.text(max_size=4).map("-".__add__),
        st.text(max_size=4).map("--".__add__),
    ),
    max_size=6,
).map(tuple)


@given(WORDS)
def test_random_words_raise_nothing_but_usage_errors(words: tuple[str, ...]) -> None:
    for read in (
        parse,
        parse_run,
        lambda given: parse_supervise("x", given),
        lambda given: parse_command("x", False, given),
    ):
        try:
            refused = read(words) is None
        except UsageError as error:
            refused = error.code not in (122, 126) or not str(error).isprintable()
        assert not refused


@given(WORDS)
def test_words_after_the_command_are_never_changed(words: tuple[str, ...]) -> None:
    assert parse(("-v", "name", *words)) == Invocation(Options(verbose=1), "name", words)


CHOSEN = [
    ((), Selection()),
    (("--only", "a", "b"), Selection(("a", "b"))),
    (("--only", "a", "--exclude", "b", "c", "--only", "d"), Selection(("a", "d"), ("b", "c"))),
    (("--only=a", "--only=b"), Selection(("a", "b"))),
    (("--exclude", "a", "--no-build", "--no-version-check"), Selection((), ("a",), build="no-version-check")),
    (("--only", "a", "--help"), Selection(help=True)),
    (("-h", "nonsense"), Selection(help=True)),
    (("--only", "a", "--"), Selection(("a",))),
    (("--only", "a", "--debug"), Selection(("a",), debug=True)),
    (("--debug", "--debug", "--no-build"), Selection(build="no-build", debug=True)),
]


@pytest.mark.parametrize(("words", "selection"), CHOSEN)
def test_list_options_of_a_supervise_command_take_words_up_to_the_next_option(
    words: tuple[str, ...], selection: Selection
) -> None:
    assert parse_supervise("app", words) == selection


MISCHOSEN = [
    (
        ("web",),
        "Unexpected argument web (children are chosen by --only and --exclude, see vagga app --help) "
        "[unexpected-argument]",
    ),
    (
        ("--only=a", "b"),
        "Unexpected argument b (children are chosen by --only and --exclude, see vagga app --help) "
        "[unexpected-argument]",
    ),
    (("--only",), 'Option ["--only"] requires an argument (see vagga app --help) [option-needs-value]'),
    (("--only", "-h"), 'Option ["--only"] requires an argument (see vagga app --help) [option-needs-value]'),
    (("--onyl", "a"), "Unknown option --onyl (did you mean --only?) [unknown-option]"),
    (("-x",), 'Unknown short option "x" (see vagga app --help) [unknown-option]'),
    (
        ("--dry-run",),
        "Unknown option --dry-run (--dry-run is an option of vagga itself and comes before the command) "
        "[unknown-option]",
    ),
    (
        ("-f",),
        'Unknown short option "f" (-f is an option of vagga itself and comes before the command) [unknown-option]',
    ),
]


@pytest.mark.parametrize(("words", "text"), MISCHOSEN)
def test_wrong_words_after_a_supervise_command_are_usage_errors(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_supervise("app", words)
    assert (caught.value.code, str(caught.value)) == (122, text)


CHILDREN = (("api", ("http", "back")), ("db", ("back",)), ("web", ("http",)), ("back2", ()))

SELECTED = [
    ((), (), ("api", "db", "web", "back2")),
    (("web", "db"), (), ("db", "web")),
    (("back",), (), ("api", "db")),
    (("http", "back2"), (), ("api", "web", "back2")),
    ((), ("http",), ("db", "back2")),
    (("back",), ("api",), ("db",)),
    (("http",), ("back",), ("web",)),
    (("web",), ("web",), ()),
]


@pytest.mark.parametrize(("only", "exclude", "names"), SELECTED)
def test_G8_only_and_exclude_choose_children_by_name_and_tag_and_combine(
    only: tuple[str, ...], exclude: tuple[str, ...], names: tuple[str, ...]
) -> None:
    assert select(CHILDREN, Selection(only, exclude)) == names


UNKNOWN = [
    (("wbe",), (), '--only: "wbe" is neither a child nor a tag (did you mean "web"?) [unknown-child]'),
    (("web",), ("htpt",), '--exclude: "htpt" is neither a child nor a tag (did you mean "http"?) [unknown-child]'),
    (
        ("postgres",),
        (),
        '--only: "postgres" is neither a child nor a tag (there are api, db, web, back2, back, http) [unknown-child]',
    ),
    (("",), (), '--only: "" is neither a child nor a tag (there are api, db, web, back2, back, http) [unknown-child]'),
]


@pytest.mark.parametrize(("only", "exclude", "text"), UNKNOWN)
def test_G8_an_unknown_name_or_tag_is_an_error_with_a_suggestion(
    only: tuple[str, ...], exclude: tuple[str, ...], text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        select(CHILDREN, Selection(only, exclude))
    assert (caught.value.code, str(caught.value)) == (122, text)


def test_a_long_choice_is_cut_in_the_error() -> None:
    many: tuple[tuple[str, tuple[str, ...]], ...] = tuple((f"child{n:03}", ()) for n in range(500))
    with pytest.raises(UsageError) as caught:
        select(many, Selection(("q",)))
    assert caught.value.remedy.endswith("child006, child007 and 492 more")


def test_a_program_that_accepts_arguments_gets_every_word() -> None:
    assert parse_command("test", True, ("--help", "-x", "--", "a")) == (("--help", "-x", "--", "a"), False)


@pytest.mark.parametrize(
    ("words", "help_wanted"), [((), False), (("--",), False), (("-h",), True), (("--help", "x"), True)]
)
def test_a_program_without_arguments_has_only_a_help(words: tuple[str, ...], help_wanted: bool) -> None:
    assert parse_command("test", False, words) == ((), help_wanted)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("x",), "Unexpected argument x (test takes no arguments) [unexpected-argument]"),
        (("--debug",), "Unexpected argument --debug (--debug is for commands with children) [unexpected-argument]"),
        (("--only=x",), "Unexpected argument --only=x (--only is for commands with children) [unexpected-argument]"),
        (("--", "--help"), "Unexpected argument --help (test takes no arguments) [unexpected-argument]"),
        (("",), "Unexpected argument  (test takes no arguments) [unexpected-argument]"),
        (
            ("--color=never",),
            "Unexpected argument --color=never (--color is an option of vagga itself and comes before the command) "
            "[unexpected-argument]",
        ),
    ],
)
def test_any_other_word_for_a_program_without_arguments_is_unexpected(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_command("test", False, words)
    assert (caught.value.code, str(caught.value)) == (122, text)


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (("box", "ls", "-l", "--help"), RunRequest("box", ("ls", "-l", "--help"))),
        (("--no-build", "box", "ls"), RunRequest("box", ("ls",), build="no-build")),
        (("-W", "box", "ls"), RunRequest("box", ("ls",), writable=True)),
        (("--", "box", "--", "x"), RunRequest("box", ("--", "x"))),
        (("--help", "box"), RunRequest(help=True)),
    ],
)
def test_run_takes_a_container_and_then_the_words_of_the_program(words: tuple[str, ...], request_: RunRequest) -> None:
    assert parse_run(words) == request_


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            (),
            "Argument container is required (write vagga _run CONTAINER COMMAND [ARGUMENTS]) [missing-argument]",
        ),
        (
            ("box",),
            "Argument command is required (write vagga _run CONTAINER COMMAND [ARGUMENTS]) [missing-argument]",
        ),
    ],
)
def test_run_says_which_word_is_missing(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_run(words)
    assert (caught.value.code, str(caught.value)) == (122, text)
