"""What the root of a container may say of its programs: image and `environ-file` (vagga.md 5.7)."""

from __future__ import annotations

import pytest

from vaggapy.config.bind import bind
from vaggapy.config.tree import parse
from vaggapy.host import Host
from vaggapy.plan import Request, base_environ, plan
from vaggapy.record import replace
from vaggapy.volumes import DEFAULT_PATH, Defaults, placed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vaggapy.supervise.stage import ChildPlan

CALLER = Host(1000, 1000, "u", ("/home",), "/p", {}, (False, False, False), "", 0, 0)


def informed(said: Defaults, host: Host = CALLER, keys: str = "run: [a]", request: Request | None = None) -> ChildPlan:
    """Return a child of a container that is built, when its root is known."""
    container = "containers: {x: {setup: [], environ: {OF: container}}}\n"
    text = f"{container}commands:\n  c: !Command {{container: x, {keys}}}\n"
    project = bind(parse(text, "vagga.yaml"), "/p", "vagga.yaml")
    stage = plan(project, "c", request or Request(), host).stages[0]
    base = base_environ(project.settings, host)
    return placed(stage, {"container:x": "/root"}, {"x": said}, base, lambda root, path: f"{root}/{path}").children[0]


@pytest.mark.parametrize(
    ("name", "caller", "keys", "request_", "value"),
    [
        ("http_proxy", {"http_proxy": "caller"}, "run: [a]", Request(), "root"),
        ("PATH", {}, "run: [a]", Request(), "root"),
        ("PATH", {}, f"run: [a], environ: {{PATH: '{DEFAULT_PATH}'}}", Request(), DEFAULT_PATH),
        ("HOME", {}, "run: [a]", Request(), "root"),
        ("OF", {}, "run: [a]", Request(), "container"),
        ("OF", {}, "run: [a], environ: {OF: command}", Request(), "command"),
        ("X", {"VAGGAENV_X": "caller"}, "run: [a]", Request(), "caller"),
        ("X", {}, "run: [a]", Request(environ=(("X", "given"),)), "given"),
        ("X", {}, "run: [a]", Request(), "root"),
        ("Y", {}, "run: [a]", Request(), None),
    ],
)
def test_the_root_says_more_than_the_defaults_and_less_than_everybody_else(
    name: str, caller: dict[str, str], keys: str, request_: Request, value: str | None
) -> None:
    """The root: `ENV` of an image and `environ-file`, line 3 of the list of sources."""
    said = Defaults(tuple((each, "root") for each in ("http_proxy", "PATH", "HOME", "OF", "X")))
    found = informed(said, replace(CALLER, environ=caller), keys, request_)
    assert found.launch.program.environ.get(name) == value


@pytest.mark.parametrize(
    ("keys", "uid", "gid", "directory"),
    [
        ("run: [a]", 5, 6, "/srv"),
        ("run: [a], user-id: 7", 7, 0, "/srv"),
        ("run: [a], group-id: 7", 0, 7, "/srv"),
        ("run: [a], work-dir: sub", 5, 6, "/work/sub"),
    ],
)
def test_user_and_directory_of_an_image_count_where_the_file_says_nothing(
    keys: str, uid: int, gid: int, directory: str
) -> None:
    program = informed(Defaults(directory="/srv", uid=5, gid=6), keys=keys).launch.program
    assert (program.uid, program.gid, program.directory) == (uid, gid, directory)
