"""The project's commands as text: the list, the help of one, and what a given name stands for.

Pure: project in, text out. Columns and texts are those of the original vagga, because scripts and completions read
them; only the blanks that it leaves at the ends of lines and its headings without commands are left out.
"""

from __future__ import annotations

from vaggapy.config.model import KEEP_GOING, STOP_ON_FAILURE, WAIT_ALL_SUCCESSFUL, Command, Supervise
from vaggapy.errors import CommandError, visible
from vaggapy.record import Record
from vaggapy.spelling import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaggapy.config.model import Project

NAME_WIDTH = 19
HELP_COLUMN = 24
PAGE_WIDTH = 79
UNGROUPED = "Available commands"

# The commands that vagga has itself, in the order in which they are listed.
BUILTINS = {
    "_build": "Build a container",
    "_run": "Run a program in a container",
    "_clean": "Remove what is not needed any more of what was built",
    "_list": "List the commands and containers of the project",
    "_base_dir": "Print the project's directory",
    "_relative_work_dir": "Print the current directory, relative to the project's",
    "_update_symlinks": "Make the links that stand for commands with a symlink-name",
    "_version_hash": "Print the version of a container",
    "_pack_image": "Write the root of a container as a tar archive",
    "_help": "Show the help of a command",
    "_completion": "Print the script that completes command lines in bash, zsh or fish",
    "_compgen": "Print what may come next on a command line; the completion scripts use it",
    "_check": "Say all that is wrong in the configuration, without running anything",
    "_dump_config": "Print the configuration, all files together, as JSON",
    "_settings": "Print each setting with the file that it comes from",
    "_simulate": "Tell what a run of a command would do, and when, without running anything",
    "_doctor": "Try what vagga needs of this machine and say what is missing",
}

# Built-in commands of the original vagga that come later, or not at all; its scripts may call them.
NOT_YET = (
    *("_schema", "_import", "_capsule", "_network", "_create_netns", "_destroy_netns", "_run_in_netns"),
    *("_build_shell", "_check_overlayfs_support", "_hardlink", "_init_storage_dir", "_push_image", "_verify"),
)

MODES = {
    STOP_ON_FAILURE: "the first child that exits stops all others",
    WAIT_ALL_SUCCESSFUL: "children that succeed are waited for, the first that fails stops all others",
    KEEP_GOING: "no child stops the others; vagga ends when all are done",
}

SUPERVISE_OPTIONS = (
    ("-h,--help", "Show this help message and exit"),
    ("--only NAME_OR_TAG [...]", "Run only these children"),
    ("--exclude NAME_OR_TAG [...]", "Run all children but these; it also takes away from --only"),
    ("--debug", "Before a child's end or failure stops the run, pause until ENTER or Ctrl+C; needs a terminal"),
)


class ListFlags(Record):
    """What `_list` is asked to show. `every`: hidden commands and built-in ones too."""

    containers: bool = False
    every: bool = False
    builtin: bool = False
    hidden: bool = False
    zsh: bool = False
    no_aliases: bool = False
    verbose: bool = False


class Entry(Record):
    """One line of `_list`. `origin`: the file (and command, for an alias) that it comes from, quoted."""

    name: str
    description: str
    origin: str


def commands(project: Project) -> str:
    """Return the list that `vagga` shows without a command; empty if there is none to show."""
    groups: dict[str, list[Command | Supervise]] = {}
    for name, command in sorted(project.commands.items()):
        if not name.startswith("_"):
            groups.setdefault(command.group or UNGROUPED, []).append(command)
    blocks = [
        "".join([f"{visible(group)}:\n", *(_listed(command, project) for command in members)])
        for group, members in groups.items()
    ]
    return "\n".join(blocks)


def list_text(project: Project | None, flags: ListFlags) -> str:
    """Return what `_list` prints; without a project (it cannot be read) the built-in commands."""
    if flags.containers:
        return "".join(f"{visible(name)}\n" for name in sorted(project.containers if project else ()))
    entries = _project_entries(project, flags) if project else ()
    hidden = flags.every or flags.hidden
    shown = [entry for entry in entries if hidden or not entry.name.startswith("_")]
    if hidden or flags.builtin or project is None:
        shown.extend(Entry(name, text, '"<builtins>"') for name, text in BUILTINS.items())
    return "".join(_zsh(entry) if flags.zsh else _plain(entry, flags.verbose) for entry in shown)


def command_help(command: Command | Supervise) -> str:
    """Return the text for `vagga NAME --help`."""
    supervised = isinstance(command, Supervise)
    takes = " [OPTIONS]" if supervised else " [ARGUMENTS ...]" if _accepts_arguments(command) else ""
    blocks = [f"Usage:\n  vagga {visible(command.name)}{takes}\n"]
    if command.description.strip():
        blocks.append(_wrapped(command.description.strip(), 0))
    if isinstance(command, Supervise):
        blocks.append(_item("Mode:", f"{command.mode} ({MODES[command.mode]})"))
        members = sorted(command.children, key=lambda child: child.name)
        rows = [(child.name, f"tags: {', '.join(child.tags)}" if child.tags else "") for child in members]
        blocks.append("Children:\n" + "".join(_item(f"  {name}", text) for name, text in rows))
    if command.aliases:
        blocks.append(_item("Aliases:", ", ".join(command.aliases)))
    if command.prerequisites:
        blocks.append(_item("Prerequisites:", ", ".join(command.prerequisites)))
    options = SUPERVISE_OPTIONS if supervised else SUPERVISE_OPTIONS[:1]
    blocks.append("Optional arguments:\n" + "".join(_item(f"  {name}", text) for name, text in options))
    return "\n".join(blocks)


def resolve(project: Project, name: str) -> Command | Supervise:
    """Return the command that `name` stands for: its own name, else an alias.

    Raises:
        CommandError: there is none; exit code 121.
    """
    command = project.commands.get(name) or project.commands.get(project.aliases.get(name, ""))
    if command is None:
        raise unknown_command(name, project)
    return command


def unknown_command(name: str, project: Project | None) -> CommandError:
    """Return the error for a name that stands for nothing, with the nearest one that does."""
    if name in NOT_YET:
        remedy = "vagga --help shows what is there"
        return CommandError(f"{name} is known but not available in this version", remedy, "command-not-available")
    # Hidden names are offered only to those who look for one.
    names = [*project.commands, *(alias for c in project.commands.values() for alias in c.aliases)] if project else []
    wanted = [*BUILTINS, *sorted(names)] if name.startswith("_") else [n for n in sorted(names) if n[:1] != "_"]
    near = closest(name, tuple(wanted))
    list_command = "vagga _list --all" if name.startswith("_") else "vagga"
    remedy = f'did you mean "{near}"?' if near else f"{list_command} shows the commands"
    return CommandError(f'Command "{name}" not found and is not an alias', remedy, "unknown-command")


def _lines(text: str) -> list[str]:
    """Return the lines of `text`, control characters spelled out: a stranger's file must not steer the terminal."""
    return [visible(line.replace("\t", " ")) for line in text.splitlines()]


def _listed(command: Command | Supervise, project: Project) -> str:
    """Return the lines of one command in the list of `commands`."""
    indent = f"\n{'':{HELP_COLUMN}}"
    text = f"    {visible(command.name)}"
    if command.description:
        gap = f"{'':{NAME_WIDTH - len(command.name)}} " if len(command.name) <= NAME_WIDTH else indent
        text += gap + indent.join(_lines(command.description))
    aliases = [alias for alias in command.aliases if alias not in project.commands]
    if aliases:
        text += f"{indent}(aliases: {visible(', '.join(aliases))})"
    return f"{text}\n"


def _project_entries(project: Project, flags: ListFlags) -> Iterator[Entry]:
    """Yield the project's commands with their aliases; without those that a built-in command shadows."""
    for name, command in sorted(project.commands.items()):
        if name in BUILTINS or (name.startswith("_") and not (flags.every or flags.hidden)):
            continue
        origin = f'"{command.mark.file}"'
        yield Entry(name, command.description, origin)
        for alias in () if flags.no_aliases else command.aliases:
            if alias not in project.commands and alias not in BUILTINS:
                yield Entry(alias, command.description, f"{origin}:{name}")


def _zsh(entry: Entry) -> str:
    first = entry.description.strip().partition("\n")[0]
    return f"{visible(entry.name)}:{visible(first)}\n"


def _plain(entry: Entry, verbose: bool) -> str:
    indent = f"\n{'':{NAME_WIDTH + 1}}"
    text = f"{visible(entry.name):{NAME_WIDTH}} "
    if entry.description and len(entry.name) > NAME_WIDTH:
        text = visible(entry.name) + indent
    text += indent.join(_lines(entry.description))
    if verbose:
        text += f"{indent}(from {visible(entry.origin)})"
    return f"{text}\n"


def _accepts_arguments(command: Command | Supervise) -> bool:
    return isinstance(command, Command) and command.program.accepts_arguments


def _item(name: str, text: str) -> str:
    """Return `name`, then `text` wrapped in the column of the help texts."""
    name = visible(name)
    if not text:
        return f"{name}\n"
    body = _wrapped(text, HELP_COLUMN)
    if len(name) > HELP_COLUMN - 2:
        return f"{name}\n{body}"
    return name + body[len(name) :]


def _wrapped(text: str, indent: int) -> str:
    """Return `text` in lines of at most 79 columns (but for words that are longer), keeping its own line ends."""
    lines = []
    for paragraph in _lines(text):
        line = " " * indent
        for word in paragraph.split():
            if line.strip() and len(line) + 1 + len(word) > PAGE_WIDTH:
                lines.append(line)
                line = " " * indent
            line += f" {word}" if line.strip() else word
        lines.append(line if line.strip() else "")
    return "".join(f"{line}\n" for line in lines)
