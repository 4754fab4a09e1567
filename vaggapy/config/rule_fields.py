"""The keys inside the rules of a `!Supervise` and its children: more tables like those in `fields.py`. Data only.

Source: supervision-systems.md 5.2, and the spellings of Compose, process-compose, ContainerPilot, pmux and procman.
"""

from __future__ import annotations

from vaggapy.config.fields import FLAG, NO_EFFECT, TEXTS, Field, Fields, spelled

DURATION = Field("duration")

RESTART = spelled(
    {
        "limit": Field("number, unlimited, never", "unlimited", also=("max-restarts", "maxRestarts")),
        "policy": Field("always, on-failure, no", "always", also=("restart",)),
        "min-wait": Field("duration", "1s"),
        "max-wait": Field("duration", "64s"),
        "no-restart-on": Field("list of exit codes and signals", "[]"),
        "backoff-seconds": Field("duration"),
    }
)

WHEN = spelled(
    {
        "source": Field("child, watch.NAME, signal, global"),
        "once": Field("event"),
        "each": Field("event"),
        "interval": DURATION,
        "timeout": Field("duration", "none"),
        "on-timeout": Field("skip, fail", "skip"),
    }
)

HTTP = Field("URL, or URL and status", also=("url",))
STATUS = Field("number", "200", also=("code",))
_OPTIONS: Fields = {
    "timeout": Field("duration", "60s", also=("timeout-seconds", "timeoutSeconds")),
    "poll": Field("duration", "1s", also=("poll-interval", "pollInterval")),
    "retry": Field("true or false", "true"),
    "on-timeout": Field("skip, fail", "fail"),
}
_PLACES: Fields = {
    "http": HTTP,
    "status": STATUS,
    "tcp": Field("HOST:PORT"),
    "path": Field("path"),
    "file-contains": Field("what to find"),
    "not-listening": Field("HOST:PORT"),
    "not-exists": Field("path"),
    "not-running": Field("regular expression"),
}
DEPEND = spelled(
    {
        **_PLACES,
        "process-exited": Field("child"),
        "output-matches": Field("child and text"),
        "healthy": Field("child"),
        "started": Field("child"),
        **_OPTIONS,
    }
)
CHECK = spelled({"exec": Field("text or list of texts"), **_PLACES})

ADDRESS = spelled({"url": Field("URL", "", needed=True), "status": STATUS})
FILE_CONTAINS = spelled(
    {
        "path": Field("path", "", needed=True),
        "key": Field("JSONPath", "", needed=True),
        "format": Field("json, yaml", "that of the name"),
        "env": Field("name of a variable"),
        **_OPTIONS,
    }
)
PROCESS_EXITED = spelled({"name": Field("child", "", needed=True, also=("child",)), **_OPTIONS})
OUTPUT_MATCHES = spelled(
    {"child": Field("child", "", needed=True, also=("name",)), "text": Field("text", "", needed=True), **_OPTIONS}
)

_ON_FAIL = "event, log, restart, shutdown, debug or spawn: child"
HEALTH = spelled(
    {
        "exec": Field("text or list of texts"),
        "http": HTTP,
        "status": STATUS,
        "tcp": Field("HOST:PORT"),
        "interval": Field("duration", "", needed=True, also=("poll-interval", "pollInterval")),
        "timeout": Field("duration", "interval"),
        "ttl": Field("duration", "threshold + 1 intervals, at least 5s"),
        "initial-delay": Field("duration", "0"),
        "start-period": Field("duration", "interval"),
        "start-interval": Field("duration", "1s, at most interval"),
        "threshold": Field("number", "1", also=("failure-threshold", "failureThreshold")),
        "successes": Field("number", "1", also=("success-threshold", "successThreshold")),
        "on-fail": Field(_ON_FAIL, "event"),
        "repeat": FLAG,
    }
)
WATCH = spelled(
    {
        "name": Field("text", "watch-0 and so on"),
        "check": Field("check", "", needed=True),
        "initial-delay": Field("duration", "0"),
        "interval": Field("duration", "5s", also=("poll-interval", "pollInterval")),
        "timeout": Field("duration", "interval"),
        "threshold": Field("number", "3", also=("failure-threshold", "failureThreshold")),
        "on-fail": Field(_ON_FAIL, "shutdown"),
    }
)
READY = spelled(
    {
        "notify": FLAG,
        "fd": Field("number"),
        "line": Field("text"),
        "timeout": Field("duration", "none"),
        "on-fail": Field(_ON_FAIL, "event"),
    }
)
STOP = spelled(
    {
        "signal": Field("signal", "the one that vagga got"),
        "timeout": Field("duration", "kill-unresponsive-after", also=("sigKillWait", "sig-kill-wait")),
        "hook-timeout": Field("duration", "hook-window", also=("stopTimeout", "stop-timeout")),
    }
)
SERVICE = spelled(
    {
        "port": Field("number", "", needed=True),
        "initial-status": Field("passing, warning, critical"),
        "tags": TEXTS,
        "interfaces": Field("text or list of texts", "[eth0:inet, inet]"),
        "consul": Field("more for Consul"),
    }
)
SERVICE_CONSUL = spelled({"enable-tag-override": FLAG, "deregister-critical-service-after": Field("duration", "never")})
FOR_EACH = spelled(
    {
        "as": Field("name of a variable", "", needed=True),
        "glob": Field("pattern of paths"),
        "values": Field("list of texts"),
        "range": Field("0..3 or 0..=3"),
    }
)

WATCHES = spelled(
    {
        "consul": Field("service"),
        "tag": Field("text"),
        "dc": Field("text", also=("datacenter",)),
        "http": HTTP,
        "status": STATUS,
        "tcp": Field("HOST:PORT"),
        "path": Field("path"),
        "interval": Field("duration", "5s"),
        "timeout": Field("duration", "5s"),
    }
)
ON_SIGNAL: Fields = {
    name.removeprefix("SIG"): Field("terminate, event, ignore", default, also=(name,))
    for name, default in (("SIGHUP", "terminate"), ("SIGUSR1", "ignore"), ("SIGUSR2", "ignore"))
}
CONSUL = spelled(
    {
        "address": Field("HOST:PORT or URL", "", needed=True),
        "scheme": Field("http, https", "http"),
        "token": Field("text"),
        "tls": Field("how to trust it"),
    }
)
TLS = spelled(
    {
        "ca-file": Field("host path", also=("cafile",)),
        "ca-path": Field("host path", also=("capath",)),
        "client-cert": Field("host path", also=("clientcert",)),
        "client-key": Field("host path", also=("clientkey",)),
        "server-name": Field("text", also=("servername",)),
        "verify": Field("true or false", "true"),
    }
)

# --- the words of Compose and process-compose -------------------------------------------------------------------

HEALTHCHECK = spelled(
    {
        "test": Field("text or list of texts"),
        "interval": Field("duration", "30s"),
        "timeout": Field("duration", "30s"),
        "retries": Field("number", "3"),
        "start-period": Field("duration", "0"),
        "start-interval": Field("duration", "5s"),
        "disable": FLAG,
    }
)
DEPENDS_ON = spelled(
    {
        "condition": Field("word", "service_started"),
        "required": Field("true or false", "true"),
        "restart": Field("true or false", "false", NO_EFFECT),
    }
)
READINESS_PROBE = spelled(
    {
        "exec": Field("command"),
        "http-get": Field("address"),
        "initial-delay-seconds": Field("duration", "0"),
        "period-seconds": Field("duration", "10s"),
        "timeout-seconds": Field("duration", "1s"),
        "success-threshold": Field("number", "1"),
        "failure-threshold": Field("number", "3"),
    }
)
PROBE_EXEC: Fields = {"command": Field("text", "", needed=True)}
HTTP_GET = spelled(
    {
        "host": Field("text", "127.0.0.1"),
        "scheme": Field("http, https", "http"),
        "path": Field("text", "/"),
        "port": Field("number", "", needed=True),
        "status-code": STATUS,
    }
)
