"""What can be written in vagga.yaml: every key with its type and default, every tag. Data only.

`bind.py` checks files against these tables, `docs/config.md` shows them, a test compares the two. A key or tag
that is known but not built is `LATER`: using it is one clear problem, not a spelling mistake.

Source: vagga.md 3.1, 7.1, 7.2, 7.3 and supervision-systems.md 5.2.
"""

from __future__ import annotations

from vaggapy.record import Record

BUILT = "built"
LATER = "later"
NO_EFFECT = "no effect"
ALIAS = "another spelling"
"""A key of another tool, which stands for one of ours or a part of one."""


class Field(Record):
    """One key of a structure: type and default as the documentation words them. `needed`: it has no default.

    `also`: other names of the key, exactly as they are written.
    """

    type: str
    default: str = ""
    state: str = BUILT
    needed: bool = False
    also: tuple[str, ...] = ()


Fields = dict[str, Field]


def spelled(fields: Fields) -> Fields:
    """Return the fields with the camel case of their names, as ContainerPilot and pmux write it, as other names."""
    found = {}
    for name, field in fields.items():
        first, *rest = name.split("-")
        camel = (first + "".join(word.title() for word in rest),) if rest else ()
        found[name] = Field(field.type, field.default, field.state, field.needed, (*camel, *field.also))
    return found


TEXT = Field("text")
TEXTS = Field("list of texts", "[]")
FLAG = Field("true or false", "false")
LATER_FIELD = Field("", "", LATER)

TOP: Fields = {
    "minimum-vagga": Field("version"),
    "containers": Field("name: container", "{}"),
    "commands": Field("name: command", "{}"),
    "mixins": Field("list of paths", "[]"),
}

CONTAINER: Fields = {
    "setup": Field("list of steps", "", needed=True),
    "environ": Field("name: text", "{}"),
    "volumes": Field("path: volume", "{}"),
    "default-shell": Field("list of texts", "[/bin/sh, -c, $cmdline, --]"),
    "uids": Field("list of ranges", "[0-65535]"),
    "gids": Field("list of ranges", "[0-65535]"),
    "environ-file": Field("absolute path"),
    "data-dirs": Field("list of paths", "[]"),
    "resolv-conf-path": Field("absolute path or null", "/etc/resolv.conf"),
    "hosts-file-path": Field("absolute path or null", "/etc/hosts"),
    "auto-clean": FLAG,
    "image-cache-url": LATER_FIELD,
}

HOST: Fields = {
    "home": Field("hidden, read-only", "hidden"),
    "expose": Field("list of paths", "[]"),
}

TMPFS: Fields = {
    "size": Field("bytes", "100Mi"),
    "mode": Field("file mode", "0o1777"),
    "subdirs": Field("path: directory", "{}"),
    "files": Field("path: text", "{}"),
}

SUBDIR: Fields = {"mode": Field("file mode", "0o755")}

PERSISTENT: Fields = {
    "name": Field("text", "", needed=True),
    "owner-uid": Field("number", "0"),
    "owner-gid": Field("number", "0"),
    "init-command": Field("command"),
}

SNAPSHOT: Fields = {
    "size": Field("bytes", "100Mi"),
    "container": Field("container", "the container itself"),
    "owner-uid": Field("number", "as it is"),
    "owner-gid": Field("number", "as it is"),
}

_SHOWN: Fields = {
    "description": TEXT,
    "epilog": TEXT,
    "group": TEXT,
    "aliases": TEXTS,
    "prerequisites": Field("list of commands", "[]"),
    "isolate-network": FLAG,
    "symlink-name": TEXT,
    "tags": TEXTS,
    "pass-tcp-socket": Field("PORT, *:PORT or HOST:PORT"),
    "banner": TEXT,
    "banner-delay": Field("seconds", "0"),
    "expect-inotify-limit": Field("number"),
    "options": TEXT,
}

_PROGRAM: Fields = {
    "container": Field("container", "", needed=True),
    "run": Field("text or list of texts", "", needed=True),
    "work-dir": Field("path", "the caller's directory"),
    "accepts-arguments": Field("true or false", "true if run is a list"),
    "environ": Field("name: text", "{}"),
    "volumes": Field("path: volume", "{}"),
    "user-id": Field("number", "0"),
    "group-id": Field("number", "0"),
    "supplementary-gids": Field("list of numbers", "[]"),
    "write-mode": Field("read-only, transient", "read-only"),
    "pid1mode": Field("wait, wait-all-children, exec", "wait"),
    "external-user-id": Field("number"),
}

_RULES: Fields = spelled(
    {
        "role": Field("main, coprocess", "main"),
        "once": FLAG,
        "autostart": Field("true or false", "true"),
        "when": Field("an event or an interval"),
        "depends": Field("list of conditions", "[]"),
        "condition": Field("text or list of texts"),
        "for-each": Field("values"),
        "restart": Field("word, or how to restart"),
        "restarts": Field("number, unlimited, never", "never"),
        "timeout": Field("duration"),
        "stop": Field("how to stop"),
        "ready": Field("a sign"),
        "health": Field("check"),
        "watch": Field("list of checks", "[]"),
        "service": Field("service"),
    }
)
"""What a child may say beyond the plain modes."""

_RULES_OF_OTHERS: Fields = spelled(
    {
        "depends-on": Field("list of children, or child: condition", "", ALIAS),
        "healthcheck": Field("check", "", ALIAS),
        "readiness-probe": Field("check", "", ALIAS),
        "stop-signal": Field("signal", "", ALIAS),
        "stop-grace-period": Field("duration", "", ALIAS, also=("sigKillWait", "sig-kill-wait")),
        "stop-timeout": Field("duration", "", ALIAS),
    }
)

_GROUP_RULES: Fields = spelled(
    {
        "hook-window": Field("duration", "5s"),
        "on-signal": Field("signal: reaction", "{}"),
        "watches": Field("name: watch", "{}"),
        "consul": Field("address, or keys"),
    }
)
"""What a `!Supervise` may say beyond the plain modes."""

RULE_KEYS = (*_RULES, *_RULES_OF_OTHERS)
GROUP_RULE_KEYS = tuple(_GROUP_RULES)

COMMAND: Fields = {**_PROGRAM, **_SHOWN, "tags": Field("list of texts", "[]", NO_EFFECT)}

SUPERVISE: Fields = {
    "mode": Field("stop-on-failure, wait-all-successful, keep-going", "stop-on-failure"),
    "children": Field("name: child", "", needed=True),
    "kill-unresponsive-after": Field("seconds", "2", also=("stopTimeout", "stop-timeout")),
    **_SHOWN,
    "tags": Field("list of texts", "[]", NO_EFFECT),
    "pass-tcp-socket": Field("PORT, *:PORT or HOST:PORT", "", NO_EFFECT),
    **_GROUP_RULES,
    **dict.fromkeys(("control", "logging", "telemetry"), LATER_FIELD),
}

CHILD: Fields = {
    **_PROGRAM,
    "tags": TEXTS,
    "prerequisites": Field("list of commands", "[]"),
    "pass-tcp-socket": Field("PORT, *:PORT or HOST:PORT"),
    "accepts-arguments": Field("true or false", "", NO_EFFECT),
    "description": Field("text", "", NO_EFFECT),
    "epilog": Field("text", "", NO_EFFECT),
    "group": Field("text", "", NO_EFFECT),
    "aliases": Field("list of texts", "[]", NO_EFFECT),
    "isolate-network": Field("true or false", "false", NO_EFFECT),
    "symlink-name": Field("text", "", NO_EFFECT),
    "banner": TEXT,
    "banner-delay": Field("seconds", "0"),
    "expect-inotify-limit": Field("number", "", NO_EFFECT),
    **_RULES,
    **_RULES_OF_OTHERS,
    **dict.fromkeys(("network", "logging", "stdin"), LATER_FIELD),
}

STRUCTURES = {
    "!Command": COMMAND,
    "a child of !Supervise": CHILD,
    "!Supervise": SUPERVISE,
    "a container": CONTAINER,
    "the top of the file": TOP,
    "!Host": HOST,
    "!Tmpfs": TMPFS,
    "!Persistent": PERSISTENT,
    "!Snapshot": SNAPSHOT,
}
"""Where a key that stands in the wrong place belongs."""

COMMAND_TAGS = {"!Command": BUILT, "!Supervise": BUILT, "!CapsuleCommand": LATER}
CHILD_TAGS = {"!Command": BUILT, "!BridgeCommand": LATER}
VOLUME_TAGS = dict.fromkeys(
    (
        *("!Tmpfs", "!BindRO", "!BindRW", "!Empty"),
        *("!Persistent", "!CacheDir", "!Snapshot", "!Container", "!VaggaBin"),
    ),
    BUILT,
)
LATER_STEPS = dict.fromkeys(
    (
        "!YarnDependencies",
        *("!GemConfig", "!GemInstall", "!GemBundle"),
        *("!ComposerConfig", "!ComposerInstall", "!ComposerDependencies"),
    ),
    LATER,
)
"""Steps that no module of `build/steps` does."""

OTHER_TOOLS = {
    "env": "environ",
    "environment": "environ",
    "cmd": "run",
    "command": "run",
    "entrypoint": "run",
    "dir": "work-dir",
    "cwd": "work-dir",
    "working-dir": "work-dir",
    "workdir": "work-dir",
    "image": "container",
    "user": "user-id",
    "uid": "user-id",
    "gid": "group-id",
    "depends-on": "prerequisites",
    "on": "once",
    "availability": "restart",
    "liveness-probe": "health",
    "services": "commands",
    "processes": "children",
}
"""Keys of other tools, and ours for the same."""

INSIDE = {
    **dict.fromkeys(("min-wait", "minWait", "max-wait", "maxWait", "no-restart-on", "noRestartOn"), "restart"),
    **dict.fromkeys(("max-restarts", "maxRestarts", "backoff-seconds", "backoffSeconds"), "restart"),
    **dict.fromkeys(("ttl", "threshold", "on-fail", "onFail"), "health"),
    **dict.fromkeys(("port", "initial-status", "initialStatus", "interfaces"), "service"),
    **dict.fromkeys(("interval", "source", "each"), "when"),
}
"""Keys that other tools, or people, write beside those that we have them in."""
