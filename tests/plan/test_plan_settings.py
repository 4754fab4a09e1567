"""What settings mean for a plan: variables and external volumes. Source: vagga.md 2.6 and 5.7."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.model import Settings
from vaggapy.config.tree import parse
from vaggapy.errors import CommandError
from vaggapy.host import Host
from vaggapy.plan import Request, matches, plan
from vaggapy.record import replace
from vaggapy.sandbox.spec import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.stage import ChildPlan

HOST = Host(1000, 1000, "u", ("/home",), "/p", {}, (False, False, False), "", 0, 0)


def child(settings: Settings, environ: dict[str, str], keys: str = "", request: Request | None = None) -> ChildPlan:
    text = f"containers: {{x: {{setup: [!Host]}}}}\ncommands:\n  c: !Command {{container: x, run: [a]{keys}}}\n"
    project = replace(bind(parse(text, "f"), "/p", "f"), settings=settings)
    return plan(project, "c", request or Request(), replace(HOST, environ=environ)).stages[0].children[0]


def test_each_source_of_a_variable_is_stronger_than_the_one_before() -> None:
    caller = {"http_proxy": "proxy"}
    sources: list[tuple[str, Settings, dict[str, str], str, Request]] = [
        ("proxy", Settings(), caller, "", Request()),
        ("command", Settings(), caller, ", environ: {http_proxy: command}", Request()),
        ("proxy", Settings(propagate_environ=("http_*",)), caller, ", environ: {http_proxy: command}", Request()),
    ]
    settings = Settings(propagate_environ=("http_*",), environ={"http_proxy": "settings"})
    sources.append(("settings", settings, caller, ", environ: {http_proxy: command}", Request()))
    passed = {**caller, "VAGGAENV_http_proxy": "passed"}
    sources.append(("passed", settings, passed, "", Request()))
    sources.append(("proxy", settings, passed, "", Request(copied=("http_proxy",))))
    given = Request(copied=("http_proxy",), environ=(("http_proxy", "given"),))
    sources.append(("given", settings, passed, "", given))
    for expected, settings, environ, keys, request in sources:
        assert child(settings, environ, keys, request).launch.program.environ["http_proxy"] == expected


def test_proxies_stay_outside_if_the_settings_say_so() -> None:
    assert "no_proxy" in child(Settings(), {"no_proxy": "x"}).launch.program.environ
    assert "no_proxy" not in child(Settings(proxy_env_vars=False), {"no_proxy": "x"}).launch.program.environ


def test_only_what_a_pattern_names_is_propagated() -> None:
    caller = {"LC_ALL": "C", "LC_TIME": "C", "XLC_ALL": "C", "EDITOR": "vi", "EDITORS": "vi"}
    environ = child(Settings(propagate_environ=("LC_*", "EDITOR")), caller).launch.program.environ
    assert environ.keys() & caller.keys() == {"LC_ALL", "LC_TIME", "EDITOR"}


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("A", "A", True), ("A", "AB", False), ("A", "BA", False), ("A*", "A", True), ("A*", "AB", True),
        ("*A", "BA", True), ("*A", "AB", False), ("*", "", True), ("*", "X", True), ("A*B", "AB", True),
        ("A*B", "AxB", True), ("A*A", "A", False), ("A*B*C", "AxBxC", True), ("A*B*C", "AC", False),
        ("A*BB*B", "ABB", False), ("A**B", "AB", True), ("*A*A*", "A", False), ("*A*A*", "AA", True), ("a", "A", False),
    ],
)  # fmt: skip
def test_a_star_stands_for_anything_and_all_else_for_itself(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("source", "expected"), [("/volumes/v", "/host/v"), ("/volumes/v/a/b", "/host/v/a/b"), ("/volumes/f", "/host/f")]
)
@pytest.mark.parametrize("tag", ["!BindRO", "!BindRW"])
def test_an_external_volume_is_a_path_of_the_host(tag: str, source: str, expected: str) -> None:
    settings = Settings(external_volumes={"v": "/host/v", "f": "/host/f", "unused": "/gone"})
    mounts = child(settings, {}, f", volumes: {{/x: {tag} {source}}}").launch.sandbox.mounts
    assert mounts == (Bind(expected, "/x", read_only=tag == "!BindRO"),)


def test_an_unknown_external_volume_is_one_line_with_a_remedy() -> None:
    with pytest.raises(CommandError) as caught:
        child(Settings(external_volumes={"v": "/x"}), {}, ", volumes: {/x: !BindRO /volumes/w/a}")
    assert str(caught.value) == (
        "volume /x: there is no external volume 'w' (add it to 'external-volumes' of your settings; there are: v) "
        "[external-volume]"
    )
