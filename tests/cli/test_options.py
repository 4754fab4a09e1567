"""`options:` of commands, row by row of section 3.3 of the reference."""

from __future__ import annotations

import pytest

from vaggapy.cli.options import OptionsError, Parsed, check, help_text, parse, quoted, variables
from vaggapy.config.model import Child, Command, Program, Supervise
from vaggapy.errors import Mark, VaggaError

MARK = Mark("vagga.yaml", 1, 1)
PROGRAM = Program("box", MARK, "true")


def command(options: str, name: str = "x", description: str = "") -> Command:
    return Command(name, MARK, PROGRAM, description=description, options=options)


def supervise(options: str) -> Supervise:
    children = (Child("web", MARK, PROGRAM, tags=("http",)), Child("db", MARK, PROGRAM))
    return Supervise("x", MARK, children, options=options)


def found(options: str, *words: str) -> dict[str, str]:
    """Return the variables without those of the command's own name and of --help."""
    values = dict(parse(command(options), words).variables)
    assert (values.pop("VAGGAOPT_X"), values.pop("VAGGACLI_X")) == ("true", "x")
    assert (values.pop("VAGGAOPT_HELP"), values.pop("VAGGACLI_HELP")) == ("", "")
    return values


def both(key: str, text: str, words: str) -> dict[str, str]:
    return {f"VAGGAOPT_{key}": text, f"VAGGACLI_{key}": words}


FLAG = "Usage: vagga x [options]\n\nOptions:\n  -f, --flag-it  A flag\n"
SHORT = "Usage: vagga x [options]\n\n-f  A flag\n"
COUNTED = "Usage: vagga x [options]\n\nOptions:\n  -v, --verbose ...  More\n"
COUNTED_SHORT = "Usage: vagga x [options]\n\nOptions:\n  -v ...  More\n"
COUNTED_IN_USAGE = "Usage: vagga x [-v]...\n\nOptions:\n  -v, --verbose  More\n"
VALUE = "Usage: vagga x [options]\n\nOptions:\n  -o FILE, --out=FILE  Where to\n"
SHORT_VALUE = "Usage: vagga x [options]\n\nOptions:\n  -o FILE  Where to\n"
DEFAULT = "Usage: vagga x [options]\n\nOptions:\n  --out=FILE  Where to [default: a b]\n"
LISTED = "Usage: vagga x [options]\n\nOptions:\n  --out FILE ...  Where to\n"
LISTED_IN_USAGE = "Usage: vagga x [--out=FILE]...\n\nOptions:\n  --out=FILE  Where to\n"
LISTED_DEFAULT = "Usage: vagga x [options]\n\nOptions:\n  --out=<file> ...  Where to [default: a b]\n"
POSITIONAL = "Usage: vagga x [<file-name>]\n"
UPPER = "Usage: vagga x NAME\n"
POSITIONALS = "Usage: vagga x [<file>...]\n"
WORDS = "Usage:\n  vagga x add <it>\n  vagga x (remove|drop)\n"
MANY_WORDS = "Usage: vagga x [again]...\n"

ROWS = [
    # flag off / count 0 / no value / empty list: both empty
    (FLAG, (), both("FLAG_IT", "", "")),
    (COUNTED, (), both("VERBOSE", "", "")),
    (VALUE, (), both("OUT", "", "")),
    (LISTED, (), both("OUT", "", "")),
    (POSITIONAL, (), both("FILE_NAME", "", "")),
    (POSITIONALS, (), both("FILE", "", "")),
    # flag on, or a word: `true`, and the canonical spelling
    (FLAG, ("--flag-it",), both("FLAG_IT", "true", "--flag-it")),
    (FLAG, ("-f",), both("FLAG_IT", "true", "--flag-it")),
    (SHORT, ("-f",), both("F", "true", "-f")),
    (
        WORDS,
        ("drop",),
        {**both("ADD", "", ""), **both("IT", "", ""), **both("REMOVE", "", ""), **both("DROP", "true", "drop")},
    ),
    # counted
    (COUNTED, ("-v",), both("VERBOSE", "1", "--verbose")),
    (COUNTED, ("-vv", "--verbose"), both("VERBOSE", "3", "--verbose --verbose --verbose")),
    (COUNTED_IN_USAGE, ("-vv",), both("VERBOSE", "2", "--verbose --verbose")),
    (COUNTED_SHORT, ("-v", "-vv"), both("V", "3", "-vvv")),
    (MANY_WORDS, ("again", "again"), both("AGAIN", "2", "again again")),
    # options with a value
    (VALUE, ("--out", "a b"), both("OUT", "a b", "--out 'a b'")),
    (VALUE, ("--out=a=b",), both("OUT", "a=b", "--out a=b")),
    (VALUE, ("--out=",), both("OUT", "", "--out ''")),
    (VALUE, ("-oa",), both("OUT", "a", "--out a")),
    (VALUE, ("-o", "--flag"), both("OUT", "--flag", "--out --flag")),
    (SHORT_VALUE, ("-o", "a"), both("O", "a", "-o a")),
    (DEFAULT, (), both("OUT", "a b", "--out 'a b'")),
    (DEFAULT, ("--out=c",), both("OUT", "c", "--out c")),
    # positional arguments
    (POSITIONAL, ("it's",), both("FILE_NAME", "it's", "'it'\"'\"'s'")),
    (UPPER, ("a",), both("NAME", "a", "a")),
    (POSITIONAL, ("-",), both("FILE_NAME", "-", "-")),
    (POSITIONAL, ("-1.5",), both("FILE_NAME", "-1.5", "-1.5")),
    # lists
    (LISTED, ("--out", "a", "--out=b c"), both("OUT", "a b c", "--out a 'b c'")),
    (LISTED, ("--out", "a"), both("OUT", "a", "--out a")),
    (LISTED_IN_USAGE, ("--out=a", "--out=b"), both("OUT", "a b", "--out a b")),
    (LISTED_DEFAULT, (), both("OUT", "a b", "--out a b")),
    (LISTED_DEFAULT, ("--out=c",), both("OUT", "c", "--out c")),
    (POSITIONALS, ("a_b", "c"), both("FILE", "a_b c", " 'a_b' c")),
    # `--` ends the options
    (POSITIONALS, ("--", "-x", "--help"), both("FILE", "-x --help", " -x --help")),
    ("Usage: vagga x [--] [<file>...]\n", ("--", "-x"), both("FILE", "-x", " -x")),
]


@pytest.mark.parametrize(("options", "words", "expected"), ROWS)
def test_each_key_makes_two_variables(options: str, words: tuple[str, ...], expected: dict[str, str]) -> None:
    assert found(options, *words) == expected


def test_the_name_of_the_command_and_help_are_keys_too() -> None:
    values = dict(parse(command("Usage: vagga do-it [options]", "do-it"), ()).variables)
    assert values == {**both("HELP", "", ""), **both("DO_IT", "true", "do-it")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "''"),
        ("aZ09@%+=:,./-", "aZ09@%+=:,./-"),
        ("é", "é"),
        ("a_b", "'a_b'"),
        ("a b", "'a b'"),
        ("a'b", "'a'\"'\"'b'"),
        ("$HOME", "'$HOME'"),
        ("a\nb", "'a\nb'"),
    ],
)
def test_words_are_quoted_for_a_shell(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_of_two_names_that_make_one_variable_the_given_one_counts() -> None:
    text = "Usage: vagga x [--file=F | <file>]\n"
    assert found(text, "a") == both("FILE", "a", "a")
    assert found(text, "--file=b") == both("FILE", "b", "--file b")
    assert variables({"-": True, "<a=b>": "c"}) == ()


def test_an_option_that_stands_in_no_usage_has_variables_too() -> None:
    assert found("Usage: vagga x\n\nOptions:\n --a\n --b=B  [default: c]\n --d=D ...  [default: e f]\n") == {
        **both("A", "", ""),
        **both("B", "c", "--b c"),
        **both("D", "e f", "--d e f"),
    }


LAYOUTS = [
    "usage: vagga x [options] <a>\n\noptions:\n  -q  Be quiet\n",
    "Usage:\n  vagga x [options] <a>\nOptions:\n  -q  Be quiet\n",
    "Usage:\nvagga x [options] <a>\n\nOptions: -q  Be quiet\n",
    "Usage:\n  vagga x [options]\n          <a>\n\n-q  Be quiet\n",
    "Some words first.\n\nUsage: vagga x [options] <a>\n\nDisk usage: none\n\nOther things:\n\t-q\tBe quiet\n",
    "Usage: vagga x <b> <a>\n       vagga x [options] <a>\n\n  -q  Be quiet\n",
]


@pytest.mark.parametrize("text", LAYOUTS)
def test_the_text_may_be_laid_out_in_several_ways(text: str) -> None:
    values = found(text, "-q", "1")
    assert {key: values[key] for key in ("VAGGAOPT_Q", "VAGGAOPT_A")} == {"VAGGAOPT_Q": "true", "VAGGAOPT_A": "1"}


USAGE = "Usage: vagga x [options] <a>\n\nOptions:\n  --long-one  One\n  -o, --out FILE  Two\n"
SHOWN = ("", "Usage: vagga x [options] <a>")
REFUSED = [
    (("--bad-arg",), "Unknown flag: '--bad-arg' (vagga x --help says more)"),
    (("--logn-one",), "Unknown flag: '--logn-one' (did you mean '--long-one'?)"),
    (("--long",), "Unknown flag: '--long' (did you mean '--long-one'?)"),
    (("-z",), "Unknown flag: '-z' (vagga x --help says more)"),
    (
        ("--out",),
        "Expected argument for flag '--out' but reached end of arguments (vagga x --help says more)",
    ),
    (
        ("-o", "--", "a"),
        "Expected argument for flag '-o' but reached end of arguments (vagga x --help says more)",
    ),
    (
        ("--long-one=1", "a"),
        "Flag '--long-one' cannot have an argument, but found '1' (vagga x --help says more)",
    ),
    ((), "Invalid arguments: something is missing or does not fit (vagga x --help says more)"),
    (("a", "b"), "Invalid arguments: nothing takes 'b' (vagga x --help says more)"),
    (("a", "-o1", "-o2"), "Invalid arguments: nothing takes '--out' (vagga x --help says more)"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED)
def test_arguments_that_do_not_fit_are_one_line_and_the_usage(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse(command(USAGE), words)
    assert caught.value.code == 121
    assert caught.value.lines() == (f"vagga: {text} [command-usage]", *SHOWN)


BROKEN = [
    ("", "there is no line that begins with 'Usage:'"),
    ("Options:\n  -x", "there is no line that begins with 'Usage:'"),
    ("Usage:\n\n  vagga x", "nothing follows 'Usage:'"),
    ("Usage: vagga x [options", "unmatched '['"),
    ("Usage: vagga x a)", "unexpected ending: ')'"),
    (f"Usage: vagga x {'(a|b) ' * 40}", "it allows too many combinations"),
    (f"Usage: vagga x {'(' * 30}a{')...' * 30}", "it allows too many combinations"),
    (f"Usage: vagga x {'(' * 5000}a{')' * 5000}", "it is nested too deeply"),
]


@pytest.mark.parametrize(("text", "why"), BROKEN)
def test_a_broken_text_is_an_error_that_names_the_command(text: str, why: str) -> None:
    with pytest.raises(VaggaError) as caught:
        check(command(text))
    assert caught.value.code == 121
    assert str(caught.value).startswith(f'Error parsing `options` in command "x": {why}')
    assert caught.value.name == "options-text"


def test_a_text_that_can_be_understood_passes_the_check() -> None:
    for text in LAYOUTS:
        check(command(text))


# --- help -------------------------------------------------------------------------------------------------------


def test_help_shows_description_text_and_common_options() -> None:
    item = command(USAGE, description="Do it.\n")
    assert help_text(item) == (
        "Do it.\n\n" + USAGE + "\nCommon options:\n    -h, --help            Show this help message and exit\n"
    )
    assert help_text(command("Usage: vagga x")).startswith("vagga x\n\nUsage: vagga x\n\nCommon options:\n")


def test_help_of_supervise_shows_how_children_are_chosen() -> None:
    assert help_text(supervise("Usage: vagga x [options]")).endswith(
        "Supervise options:\n"
        "    -h, --help            Show this help message and exit\n"
        "    --only <tag> ...      Run only these children, by name or tag\n"
        "    --exclude <tag> ...   Run all children but these\n"
        "    --debug               Pause before the end when a child fails\n"
    )


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("a", "b", "-h"), ("--long-one", "--help", "--nonsense")])
def test_help_is_shown_whatever_else_is_given(words: tuple[str, ...]) -> None:
    assert parse(command(USAGE), words) == Parsed(help=help_text(command(USAGE)))


def test_help_that_the_text_uses_for_something_else_is_the_commands() -> None:
    text = "Usage: vagga x [options]\n\nOptions:\n  -h, --host NAME  Where\n"
    values = found(text, "-h", "a")
    assert values == both("HOST", "a", "--host a")
    assert "\n    --help " in help_text(command(text))
    own = "Usage: vagga x [options]\n\nOptions:\n  -h, --help  Mine\n"
    assert "Common options" not in help_text(command(own))
    assert parse(command(own), ("-h",)).help


def test_a_strangers_text_does_not_steer_the_terminal() -> None:
    text = help_text(command("Usage: vagga x\x1b[2J\n", description="a\x07"))
    assert "\x1b" not in text
    assert "\x07" not in text


# --- supervise --------------------------------------------------------------------------------------------------


def test_supervise_takes_only_and_exclude_where_the_usage_has_options() -> None:
    parsed = parse(supervise("Usage: vagga x [options]"), ("--only", "web", "--only=http", "--exclude", "db"))
    assert (parsed.only, parsed.exclude) == (("web", "http"), ("db",))
    values = dict(parsed.variables)
    assert values["VAGGAOPT_ONLY"] == "web http"
    assert values["VAGGACLI_ONLY"] == "--only web http"
    assert values["VAGGAOPT_EXCLUDE"] == "db"
    with pytest.raises(OptionsError, match="nothing takes '--only'"):
        parse(supervise("Usage: vagga x"), ("--only", "web"))


def test_one_value_belongs_to_each_only() -> None:
    with pytest.raises(OptionsError, match="nothing takes 'db'"):
        parse(supervise("Usage: vagga x [options]"), ("--only", "web", "db"))


def test_supervise_takes_debug_unless_the_text_has_an_option_of_that_name() -> None:
    """supervision 16.1."""
    ours = parse(supervise("Usage: vagga x [options]"), ("--debug",))
    assert (ours.debug, dict(ours.variables)["VAGGAOPT_DEBUG"]) == (True, "true")
    assert not parse(supervise("Usage: vagga x [options]"), ()).debug
    for text in ("Usage: vagga x [--debug]", "Usage: vagga x [options]\n\nOptions:\n  -d, --debug  Say more"):
        theirs = parse(supervise(text), ("--debug",))
        assert (theirs.debug, dict(theirs.variables)["VAGGAOPT_DEBUG"]) == (False, "true")
        assert "Pause" not in help_text(supervise(text))
    assert parse(supervise("Usage: vagga x [options]\n\nOptions:\n  --debug-level N  How much"), ("--debug",)).debug
    assert not parse(command("Usage: vagga x [--debug]"), ("--debug",)).debug


def test_supervise_without_a_selection_chooses_nothing() -> None:
    parsed = parse(supervise("Usage: vagga x [options]"), ())
    assert (parsed.only, parsed.exclude) == ((), ())
    assert dict(parsed.variables)["VAGGACLI_ONLY"] == ""


def test_only_of_a_plain_command_is_its_own() -> None:
    parsed = parse(command("Usage: vagga x [--only=A]"), ("--only=1",))
    assert (parsed.only, parsed.exclude) == ((), ())
    assert dict(parsed.variables)["VAGGAOPT_ONLY"] == "1"
