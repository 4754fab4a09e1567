"""`vagga --help` and the built-in commands: typer lays out the help texts, `builtin.py` does the work.

typer parses nothing here. `argv.py` reads every command line, so that errors are worded the same everywhere and the
start of an ordinary command does not load typer; the functions below only declare what the help texts show. A test
compares them with the tables of `argv.py`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import typer

from vaggapy.cli import builtin
from vaggapy.cli.listing import BUILTINS, unknown_command
from vaggapy.config.model import Project
from vaggapy.errors import ExitCode, VaggaError

INTRODUCTION = """\
Run the commands that a project's vagga.yaml names, each process in Linux namespaces of its own.

The project is the nearest directory, from the current one upwards, that holds a vagga.yaml.

\b
  vagga                   list the project's commands
  vagga COMMAND           run one of them; what follows is for the command
  vagga COMMAND --help    say what it does and which options it takes (where
                          the program takes arguments, --help goes to it)

Options of vagga itself come before the command. Commands that begin with _ are built in.
"""

CLOSING = """\
\b
Exit code: that of the command. vagga's own are
  121  unknown command          125  a dependency is not met
  122  wrong command line       126  vagga.yaml is wrong or missing
  124  no sandbox possible      127  no such program, or nothing to run

\b
More in the directory docs of vaggapy:
  config.md       the keys of vagga.yaml
  supervision.md  what is stopped when, and which exit code follows
  errors.md       each error, by the [name] at the end of its line
"""

LIST_CLOSING = """\
If vagga.yaml is missing or wrong, the built-in commands are listed, stderr says why, and the exit code is 126.
"""

DOCTOR_CLOSING = "The exit code is 0 if everything that vagga needs works, else 124."

CHECK_CLOSING = (
    "It is silent, and the exit code is 0, if nothing is wrong; else each line is one mistake, and it is 126."
)

RUN_INTRODUCTION = """\
Run a program in a container.

CONTAINER is one that vagga.yaml names, PROGRAM a path or a name. All words after PROGRAM are for the program, and
the exit code is that of the program.
"""

BUILD_INTRODUCTION = """\
Build a container, if it is not there.

The result is linked at .vagga/CONTAINER. Steps that were done before, for any container, are taken from the cache.
"""

VERSION_INTRODUCTION = """\
Print the version of a container: 128 hexadecimal digits that change with whatever it is built of.

The exit code is 29 if that can be known only by building it.
"""

LINKS_INTRODUCTION = """\
Make a link to vagga for each command with a symlink-name, in .vagga/.cmd of the project and in ~/.vagga/cmd.

A link runs its command; all words after it are for the command. Put the directory of the links into your PATH.
"""

HELP_INTRODUCTION = """\
Show the help of a command, of the project or built in.

Without COMMAND it lists the commands on standard error, as vagga alone does, and the exit code is 127.
"""

COMPLETION_INTRODUCTION = """\
Print the script that completes command lines in a shell.

\b
  eval "$(vagga _completion bash)"        in ~/.bashrc
  source <(vagga _completion zsh)         in ~/.zshrc, after compinit
  vagga _completion fish | source         in ~/.config/fish/config.fish
"""

COMPGEN_INTRODUCTION = """\
Print what may come next on a command line, one word a line.

WORDS are those that were typed after vagga, BEGINNING that of the word at the cursor.
"""

CLEAN_INTRODUCTION = """\
Remove what is not needed any more of what was built.

One or more of the actions are needed; they are done in their order. What a running vagga uses stays. Each line says
how much room is freed: a file that is also kept elsewhere frees none.
"""

CLEAN_CLOSING = "The exit code is 1 for wrong words, 2 for some that do not go together, 3 if something failed."

PACK_INTRODUCTION = """\
Write the root of a container as a tar archive to standard output, or to a file.

The container is built first, if it is not there. The same root gives the same archive, byte for byte.
"""

SIMULATE_INTRODUCTION = """\
Tell what a run of a command would do, and when, without running anything.

Children start at once and run until something ends them; those with once: true and the like end with 0 after a
second; checks pass at once. The options say what is otherwise. TIME counts from the beginning, as in 500ms, 3s or
1m30s; with + before it, from each start of the child.
"""

SIMULATE_CLOSING = """\
SUBJECT is a child (for its health and readiness), CHILD/CHECK, CHILD/condition, watch.NAME, or what a dependency looks
at: an address, a path, a text. The exit code is the one that the run would have, 0 for one that goes on.
"""

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help=INTRODUCTION,
    epilog=CLOSING,
    subcommand_metavar="[COMMAND [ARGUMENTS]...]",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def dispatch(name: str, words: tuple[str, ...], load: Callable[[], Project], color: str = "auto") -> int:
    """Do what `--help` or a built-in command with these words asks for and return the exit code.

    `load` reads the project; it is called only where the project matters. `color` is that of the global options.
    Of `_run`, only the help is here: running is the work of `main.py`.

    Raises:
        UsageError: the words are wrong; exit code 122, for `_list` 2.
        CommandError: there is no built-in command of that name; exit code 121.
    """
    if name == "--help":
        _print(help_text())
        return ExitCode.OK
    if name == "_list":
        flags = builtin.list_flags(words)
        if flags is not None:
            return builtin.list_project(flags, load)
    elif name == "_doctor":
        if not builtin.doctor_help(words):
            return builtin.doctor(color)
    elif name not in BUILTINS:
        raise unknown_command(name, _project(load))
    _print(help_text(name))
    return ExitCode.OK


def help_text(*path: str) -> str:
    """Return the help of vagga or of the built-in command that `path` names, as wide as the terminal, 80 at most."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        app([*path, "--help"], prog_name="vagga", standalone_mode=False)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def run_help() -> str:
    """Return the text for `vagga _run --help`."""
    return help_text("_run")


def _project(load: Callable[[], Project]) -> Project | None:
    """Return the project, or None where it cannot be read: only a suggestion is lost."""
    try:
        return load()
    except VaggaError:
        return None


def _print(text: str) -> None:
    print(text, end="", flush=True)


def _flag(names: str, text: str) -> bool:
    """Declare a flag; the value is typer's description of it, which stands where a default would."""
    flag: bool = typer.Option(False, *names.split(), help=text, show_default=False)
    return flag


def _value(names: str, metavar: str, text: str) -> str:
    """Declare an option with a value; as for `_flag`."""
    value: str = typer.Option("", *names.split(), metavar=metavar, help=text, show_default=False)
    return value


@app.callback()
def _vagga(
    file: str = _value("-f --file", "FILE", "Use this file instead of looking for vagga.yaml."),
    environ: str = _value(
        "-E --env --environ",
        "NAME=VALUE",
        "Set a variable for the command; NAME alone ignores your VAGGAENV_NAME. Repeatable.",
    ),
    use_env: str = _value("-e --use-env", "NAME", "Copy a variable of yours, empty if you have none. Repeatable."),
    dry_run: bool = _flag("--dry-run", "Print as JSON what would be done, and do nothing."),
    prefix: bool = _flag(
        "--prefix/--no-prefix", "Write lines as 'child | text', also where output is not a terminal; or never."
    ),
    no_log_prefix: bool = _flag("--no-log-prefix", "The same as --no-prefix."),
    color: str = _value("--color", "WHEN", "Use colors: auto (on a terminal), always or never."),
    no_color: bool = _flag("--no-color", "The same as --color=never."),
    no_network: bool = _flag(
        "--no-network --no-net --isolate-network", "Run without network: a namespace with a loopback interface only."
    ),
    no_prerequisites: bool = _flag("--no-prerequisites", "Do not run the command's prerequisites first."),
    status_fd: str = _value(
        "--status-fd", "N", "Write a JSON record for each start and exit to the open file descriptor N."
    ),
    ignore_owner_check: bool = _flag("--ignore-owner-check", "Run although the project belongs to another user."),
    no_build: bool = _flag("--no-build", "Build nothing: end with 29 if a container is not there."),
    no_version_check: bool = _flag("--no-version-check", "Use the roots that were built last, whatever has changed."),
    run_multi: str = _value("-m --run-multi", "COMMAND...", "Run several commands, each when the one before was good."),
    containers_only: bool = _flag("--containers-only", "Build the containers that the command needs, run nothing."),
    verbose: bool = _flag("-v --verbose", "Say what is done; -vv says more."),
    version: bool = _flag("-V --version", "Show the version and exit."),
) -> None:
    """Declare the global options."""


@app.command("_run", help=RUN_INTRODUCTION, options_metavar="[OPTIONS] CONTAINER PROGRAM [ARGUMENTS]...")
def _run(
    writable: bool = _flag(
        "-W --writeable --writable", "Let the program write to the container's root; nothing of it is kept."
    ),
) -> None:
    """Declare `_run`, whose words `main.py` reads."""


@app.command("_build", help=BUILD_INTRODUCTION, options_metavar="[OPTIONS] CONTAINER")
def _build(
    force: bool = _flag("--force", "Run the container's own steps again, although it is built."),
    no_cache: bool = _flag("--no-cache", "Run all steps again, those of its base too, and download again."),
) -> None:
    """Declare `_build`, whose words `storage.py` reads."""


@app.command("_version_hash", help=VERSION_INTRODUCTION, options_metavar="[OPTIONS] CONTAINER")
def _version_hash(short: bool = _flag("-s --short", "Print the eight digits that name the root's directory.")) -> None:
    """Declare `_version_hash`, whose words `storage.py` reads."""


@app.command("_clean", help=CLEAN_INTRODUCTION, epilog=CLEAN_CLOSING)
def _clean(
    tmp: bool = _flag("--tmp --tmp-folders", "What builds that failed or were killed have left."),
    old: bool = _flag("--old --old-containers", "Roots that no link in .vagga leads to."),
    unused: bool = _flag("--unused", "Roots and layers that vagga.yaml as it is now does not need."),
    at_least: str = _value("--at-least", "TIME", "With --unused: what was not used for 10days, 2h 30m or the like."),
    layers: bool = _flag("--layers", "All layers: the next build does every step again."),
    transient: bool = _flag("--transient", "Writable copies of roots, which the original vagga leaves."),
    volumes: bool = _flag("--volumes", "All persistent volumes, with the data in them."),
    unused_volumes: bool = _flag("--unused-volumes", "Persistent volumes that vagga.yaml does not name."),
    everything: bool = _flag("--everything", "All that vagga keeps for this project, its volumes too."),
    everywhere: bool = _flag("--global", "All projects in storage-dir: with --unused --at-least, or --everything."),
    dry_run: bool = _flag("-n --dry-run", "Only say what would be removed."),
) -> None:
    """Declare `_clean`, whose words `clean.py` reads."""


@app.command("_pack_image", help=PACK_INTRODUCTION, options_metavar="[OPTIONS] CONTAINER")
def _pack_image(
    file: str = _value("-f --file", "FILE", "Write to this file; it appears when the archive is whole."),
    gzip: bool = _flag("-z --gzip", "Compress with gzip."),
    bzip2: bool = _flag("-j --bzip2", "Compress with bzip2."),
    xz: bool = _flag("-J --xz", "Compress with xz."),
    zstd: bool = _flag("--zstd", "Compress with zstd."),
) -> None:
    """Declare `_pack_image`, whose words `pack.py` reads."""


@app.command("_base_dir", help=BUILTINS["_base_dir"] + ".")
def _base_dir() -> None:
    """Declare `_base_dir`."""


@app.command("_relative_work_dir", help=BUILTINS["_relative_work_dir"] + ".")
def _relative_work_dir() -> None:
    """Declare `_relative_work_dir`."""


@app.command("_update_symlinks", help=LINKS_INTRODUCTION)
def _update_symlinks(
    local: bool = _flag("--local-only", "Make only those in the project's .vagga/.cmd."),
    user: bool = _flag("--user-only", "Make only those in ~/.vagga/cmd."),
) -> None:
    """Declare `_update_symlinks`, whose words `shell.py` reads."""


@app.command("_help", help=HELP_INTRODUCTION, options_metavar="[COMMAND]")
def _help() -> None:
    """Declare `_help`, whose words `shell.py` reads."""


@app.command("_completion", help=COMPLETION_INTRODUCTION, options_metavar="bash|zsh|fish")
def _completion() -> None:
    """Declare `_completion`, whose words `shell.py` reads."""


@app.command("_compgen", help=COMPGEN_INTRODUCTION, options_metavar="[OPTIONS] [WORDS]... -- [BEGINNING]")
def _compgen(described: bool = _flag("--described", "Write a tab and a description behind each word.")) -> None:
    """Declare `_compgen`, whose words `shell.py` reads."""


@app.command(
    "_simulate",
    help=SIMULATE_INTRODUCTION,
    epilog=SIMULATE_CLOSING,
    options_metavar="COMMAND [OPTIONS]",
)
def _simulate(
    kill: str = _value("--kill", "CHILD@TIME", "Kill this child. Repeatable, as are the next four."),
    exit_: str = _value("--exit", "CHILD=CODE@TIME", "Let this child exit with this code."),
    ready: str = _value("--ready", "SUBJECT@TIME", "Let this pass from then on; before, it fails."),
    fail: str = _value("--fail", "SUBJECT@TIME", "Let this fail from then on."),
    signal: str = _value("--signal", "NAME@TIME", "Let vagga get INT, TERM, QUIT, HUP, USR1 or USR2."),
    stubborn: str = _value("--stubborn", "CHILD...", "Let these ignore all signals but SIGKILL."),
    until: str = _value("--until", "TIME", "Stop looking then; else at the end, or after an hour."),
    only: str = _value("--only", "NAME_OR_TAG...", "Simulate only these children."),
    exclude: str = _value("--exclude", "NAME_OR_TAG...", "Simulate all children but these."),
    debug: bool = _flag("--debug", "Pause before the stop as a run does, and go on at once."),
    json: bool = _flag("--json", "Write one JSON object."),
) -> None:
    """Declare `_simulate`, whose words `simulate.py` reads."""


@app.command("_list", help=BUILTINS["_list"] + ".", epilog=LIST_CLOSING)
def _list(
    containers: bool = _flag("--containers", "List the containers instead of the commands."),
    every: bool = _flag("-A --all", "List hidden commands (their names begin with _) and built-in ones too."),
    hidden: bool = _flag("--hidden", "The same as --all."),
    builtin: bool = _flag("--builtin", "List the built-in commands too."),
    zsh: bool = _flag("--zsh", "Write each as name:description, for completion in zsh."),
    no_aliases: bool = _flag("--no-aliases", "Leave out the other names of commands."),
    verbose: bool = _flag("-v --verbose", "Say which file each comes from."),
) -> None:
    """Declare the options of `_list`."""


@app.command("_doctor", help=BUILTINS["_doctor"] + ".", epilog=DOCTOR_CLOSING)
def _doctor() -> None:
    """Declare `_doctor`, which has no options."""


@app.command("_check", help=BUILTINS["_check"] + ".", epilog=CHECK_CLOSING)
def _check() -> None:
    """Declare `_check`, which has no options."""


@app.command("_dump_config", help=BUILTINS["_dump_config"] + ".")
def _dump_config(pretty: bool = _flag("--pretty", "Write it over many lines, for people.")) -> None:
    """Declare `_dump_config`, whose words `configuration.py` reads."""


@app.command("_settings", help=BUILTINS["_settings"] + ".")
def _settings(
    json: bool = _flag("--json", "Write one JSON object: key, value, and the place that it is from."),
) -> None:
    """Declare `_settings`, whose words `configuration.py` reads."""
