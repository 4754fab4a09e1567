"""What the steps for npm share: settings, and the call itself. Pure."""

from __future__ import annotations

from vaggapy.build.actions import Action, Execute
from vaggapy.build.context import Context
from vaggapy.build.provide import GIT, NODE, provided, provided_for_build
from vaggapy.record import Record, replace

NPM = "npm"
NPM_CACHE = "/tmp/npm-cache"
ENVIRON = {
    "NPM_CONFIG_AUDIT": "false",
    "NPM_CONFIG_CACHE": NPM_CACHE,
    "NPM_CONFIG_FUND": "false",
    "NPM_CONFIG_PROGRESS": "false",
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
}
MODULES = "/usr/local/lib/node_modules:/usr/lib/node_modules"
"""Where global packages are: of Debian's npm and of official images, and of Alpine's."""


class NpmConfig(Record):
    """How packages of npm are installed, see `!NpmConfig`."""

    npm_exe: str = NPM
    install_node: bool = True
    yarn_exe: str = ""
    yarn_version: str = ""
    install_yarn: bool = True


def config(context: Context) -> NpmConfig:
    """Return the settings that hold here."""
    found = context.languages.get(NPM)
    return found if isinstance(found, NpmConfig) else NpmConfig()


def npm(context: Context, specifiers: tuple[str, ...]) -> tuple[tuple[Action, ...], Context]:
    """Return what it takes to have npm, and git if something may come from there."""
    actions: tuple[Action, ...] = ()
    after = context
    if config(context).install_node:
        actions, after = provided(NODE, context)
    if any("git" in specifier.partition(":")[0] and ":" in specifier for specifier in specifiers):
        more, after = provided_for_build(GIT, after)
        actions += more
    return actions, after


def run(words: tuple[str, ...], title: str = "") -> Action:
    """Return a call with npm's variables and the cache that it keeps between builds; `title` for people."""
    return Execute(words, ENVIRON, caches=((NPM_CACHE, "npm-cache"),), title=title)


def offered(context: Context) -> Context:
    """Return the context where programs of Node.js find global packages, in later steps and at run time."""
    found = {"NODE_PATH": MODULES}
    return replace(context, environ={**found, **context.environ}, offered={**found, **context.offered})
