"""What the steps for Python packages share: settings, pip, uv. Pure."""

from __future__ import annotations

from vaggapy.build.actions import Action, Execute
from vaggapy.build.context import Context
from vaggapy.build.provide import GIT, MERCURIAL, PYTHON, provided, provided_for_build, unless
from vaggapy.record import Record, replace

PIP = "pip"
PIP_CACHE = "/tmp/pip-cache"
UV_CACHE = "/tmp/uv-cache"
QUIET = {
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_ROOT_USER_ACTION": "ignore",
}
UV = {
    "UV_CACHE_DIR": UV_CACHE,
    "UV_COMPILE_BYTECODE": "1",
    "UV_LINK_MODE": "copy",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_INSTALL_DIR": "/opt/python",
}
UV_THERE = "command -v uv >/dev/null"
Result = tuple[tuple[Action, ...], Context]


class PipConfig(Record):
    """How Python packages are installed, see `!PipConfig`."""

    find_links: tuple[str, ...] = ()
    index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    dependencies: bool = False
    cache_wheels: bool = True
    install_python: bool = True
    python_exe: str = ""
    allow_pre_releases: bool = False
    get_pip_args: tuple[str, ...] = ()


def config(context: Context) -> PipConfig:
    """Return the settings that hold here."""
    found = context.languages.get(PIP)
    return found if isinstance(found, PipConfig) else PipConfig()


def pip_install(context: Context, wanted: tuple[str, ...], specifiers: tuple[str, ...]) -> Result:
    """Return what it takes to have pip, and `pip install` with some arguments if there are any.

    `specifiers`: what may name a version control system that pip calls.
    """
    chosen = config(context)
    actions, after = _python(context)
    for prefix, program in (("git+", GIT), ("hg+", MERCURIAL)):
        if any(prefix in specifier for specifier in specifiers):
            more, after = provided_for_build(program, after)
            actions += more
    if not wanted:
        return actions, after
    dependencies = () if chosen.dependencies else ("--no-deps",)
    early = ("--pre",) if chosen.allow_pre_releases else ()
    words = _pip(context, ("install", *_indexes(chosen, "--trusted-host"), *dependencies, *early, *wanted))
    return (*actions, words), after


def uv(context: Context, version: str) -> Result:
    """Return what it takes to have uv: that of the root, or what pip installs; `version`, "" for any."""
    actions, after = _python(context)
    chosen = config(context)
    wanted = f"uv=={version}" if version else "uv"
    install = _pip(context, ("install", *_indexes(chosen, "--trusted-host"), wanted))
    if version:
        return (*actions, install), after
    # Where uv is there Python is not looked for, so a later step does it again.
    after = replace(after, notes=context.notes)
    return (*(unless(UV_THERE, action) for action in actions), unless(UV_THERE, install)), after


def uv_run(context: Context, words: tuple[str, ...], directory: str, environ: dict[str, str]) -> Action:
    """Return a call of uv with a cache that it keeps between builds."""
    caches = ((UV_CACHE, f"uv-cache-{_platform(context)}"),)
    return Execute(("uv", *words), {**UV, **environ}, directory, caches=caches)


def uv_install(context: Context, packages: tuple[str, ...]) -> Action:
    """Return the installation of packages, with their dependencies, where the root's own Python finds them."""
    chosen = config(context)
    python = ("--python", chosen.python_exe) if chosen.python_exe else ("--system",)
    early = ("--prerelease", "allow") if chosen.allow_pre_releases else ()
    indexes = _indexes(chosen, "--allow-insecure-host")
    words = ("pip", "install", *python, "--break-system-packages", *indexes, *early, *packages)
    return uv_run(context, words, "/work", {})


def _python(context: Context) -> Result:
    """Return what it takes to have Python, unless the settings say that it is there."""
    chosen = config(context)
    if chosen.python_exe or not chosen.install_python:
        return (), context
    return provided(PYTHON, context)


def _pip(context: Context, arguments: tuple[str, ...]) -> Action:
    """Return a call of pip. Wheels that it made are not shared with other distributions, which may lack a library."""
    chosen = config(context)
    words = (chosen.python_exe or "python3", "-m", "pip", *arguments)
    title = f"pip {' '.join(arguments)}"
    if not chosen.cache_wheels:
        return Execute(words, {**QUIET, "PIP_NO_CACHE_DIR": "1"}, title=title)
    caches = ((PIP_CACHE, f"pip-cache-{_platform(context)}"),)
    return Execute(words, {**QUIET, "PIP_CACHE_DIR": PIP_CACHE}, caches=caches, title=title)


def _indexes(chosen: PipConfig, trust: str) -> tuple[str, ...]:
    """Return the options that say where packages come from, which pip and uv share but for one name."""
    words: list[str] = []
    for option, values in (
        ("--index-url", chosen.index_urls[:1]),
        ("--extra-index-url", chosen.index_urls[1:]),
        (trust, chosen.trusted_hosts),
        ("--find-links", chosen.find_links),
    ):
        for value in values:
            words += (option, value)
    return tuple(words)


def _platform(context: Context) -> str:
    return "-".join(part for part in (context.machine.architecture, context.distro or "any", context.release) if part)
