"""Downloads, against real servers on the loopback that behave in every way servers do."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import pytest

from vaggapy import __version__
from vaggapy.build import fetch as fetching
from vaggapy.build.fetch import Outside, fetch, have
from vaggapy.build.filelock import locked
from vaggapy.build.names import download_name
from vaggapy.build.partial import Wanted
from vaggapy.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT = bytes(range(256)) * 4000
SUM = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2
HERE = str(Path(__file__).parents[2])
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Asked(NamedTuple):
    """A request that the server got."""

    path: str
    headers: dict[str, str]


class Server:
    """One HTTP server; `answer` is called for each request and uses the functions of `Answer`."""

    def __init__(self, answer: Callable[[Answer], None]) -> None:
        self.asked: list[Asked] = []
        self.answer = answer
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Answer,), {"server_": self}))
        self.scheme = "http"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})

    def url(self, path: str = "/file.tar.gz", user: str = "") -> str:
        return f"{self.scheme}://{user}127.0.0.1:{self.http.server_address[1]}{path}"


class Answer(BaseHTTPRequestHandler):
    """How a request is answered."""

    server_: ClassVar[Server]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server_.asked.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.close_connection = True
        try:
            self.server_.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            pass

    @property
    def turn(self) -> int:
        """Return which request this is, from 1 on."""
        return len(self.server_.asked)

    def say(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def say_with_ranges(self, content: bytes = CONTENT, tag: str = '"one"', upto: int | None = None) -> None:
        """Answer as a good server does; `upto`: break off after so many bytes of the content."""
        asked = self.headers.get("Range", "")
        headers = {"ETag": tag} if tag else {}
        if asked and self.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.say(416, Content_Range=f"bytes */{len(content)}")
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.say(206, content[start:upto], len(content) - start, **headers)
        else:
            self.say(200, content[:upto], len(content), **headers)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(answer: Callable[[Answer], None], context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(answer)
    if context is not None:
        server.scheme = "https"
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True, do_handshake_on_connect=False)
    server.thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.thread.join()
        server.http.server_close()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Heard:
    """What a download told; it never waits."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.pauses: list[float] = []
        self.ticks: list[tuple[str, int, int | None]] = []
        self.now = 0.0
        self.outside = Outside(
            lambda *tick: self.ticks.append(tick), self.said.append, self.pauses.append, self.clock, 5.0, 5.0
        )

    def clock(self) -> float:
        self.now += 0.03
        return self.now


@pytest.fixture
def heard() -> Heard:
    return Heard()


def names(directory: Path) -> set[str]:
    """Return the ends of the names in a cache: all begin with the digits."""
    return {path.name[9:] for path in directory.iterdir()}


def fails(urls: tuple[str, ...], sha256: str, directory: Path, heard: Heard) -> CommandError:
    with pytest.raises(CommandError) as caught:
        fetch(urls, sha256, str(directory), heard.outside)
    assert not any(name.endswith(("gz", ".lock")) for name in names(directory))
    assert "\n" not in str(caught.value)
    return caught.value


# --- what goes well -----------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
        assert fetch((server.url(),), "", str(tmp_path), heard.outside) == path
    assert Path(path).read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert names(tmp_path) == {"file.tar.gz"}
    assert heard.said == []


def test_a_request_names_vagga_and_asks_for_the_content_as_it_is(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        on.say(200, b"packed", Content_Encoding="gzip")

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == b"packed"
    assert server.asked[0].headers["user-agent"] == f"vagga/{__version__}"
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_an_empty_file_is_a_file(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(200)) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == b""
    assert names(tmp_path) == {"file.tar.gz"}


def test_a_body_of_unknown_length_is_taken_to_its_end(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        on.send_response(200)
        on.send_header("Transfer-Encoding", "chunked")
        on.end_headers()
        on.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == b"abcde"
    assert heard.ticks[-1][1:] == (5, None)


def test_a_chunked_body_that_breaks_off_is_no_file(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        on.send_response(200)
        on.send_header("Transfer-Encoding", "chunked")
        on.end_headers()
        on.wfile.write(b"3\r\nabc\r\n")

    with serving(answer) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert error.name == "download-unreachable"
    assert len(server.asked) == fetching.TRIES


def test_progress_is_told_at_most_ten_times_a_second_and_at_the_end(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server:
        fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert heard.ticks[-1] == (download_name((server.url(),), ""), len(CONTENT), len(CONTENT))
    assert len(heard.ticks) <= heard.now / fetching.BETWEEN_TICKS + 2
    assert [tick[1] for tick in heard.ticks] == sorted(tick[1] for tick in heard.ticks)


def test_redirects_are_followed_and_the_name_stays_that_of_the_first_url(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        if on.path == "/file.tar.gz":
            on.say(302, Location="/other")
        else:
            on.say_with_ranges()

    with serving(answer) as server:
        path = fetch((server.url(),), SUM, str(tmp_path), heard.outside)
    assert Path(path).name == f"{SUM[:8]}-file.tar.gz"
    assert [asked.path for asked in server.asked] == ["/file.tar.gz", "/other"]


def test_a_password_in_the_url_is_sent_and_never_shown(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        on.say(503 if on.turn == 1 else 401)

    with serving(answer) as server:
        error = fails((server.url(user="me:secret@"),), "", tmp_path, heard)
    assert server.asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    assert "secret" not in str(error) + "".join(heard.said)
    assert error.what == f"{server.url()}: 401 Unauthorized"


def test_a_header_with_a_token_does_not_follow_to_another_host(tmp_path: Path, heard: Heard) -> None:
    with (
        serving(Answer.say_with_ranges) as other,
        serving(lambda on: on.say(307, Location=other.url("/blob"))) as server,
    ):
        wanted = Wanted((server.url(),), str(tmp_path / "blob"), SUM, len(CONTENT), {"Authorization": "Bearer x"})
        have(wanted, heard.outside)
    assert server.asked[0].headers["authorization"] == "Bearer x"
    assert "authorization" not in other.asked[0].headers


# --- what is there already ----------------------------------------------------------------------------------------


def test_a_file_with_a_sum_is_compared_once_and_then_known_by_its_size_and_time(tmp_path: Path, heard: Heard) -> None:
    path = tmp_path / f"{SUM[:8]}-file.tar.gz"
    path.write_bytes(CONTENT)
    fetch(("http://127.0.0.1:1/file.tar.gz",), SUM, str(tmp_path), heard.outside)
    assert json.loads((tmp_path / f"{path.name}.ok").read_text())["sha256"] == SUM
    path.chmod(0)  # Root could read it nevertheless, so the record is what counts for root.
    assert fetch(("http://127.0.0.1:1/file.tar.gz",), SUM, str(tmp_path), heard.outside) == str(path)


def test_a_file_with_another_content_than_its_sum_says_is_fetched_again(tmp_path: Path, heard: Heard) -> None:
    path = tmp_path / f"{SUM[:8]}-file.tar.gz"
    with serving(Answer.say_with_ranges) as server:
        fetch((server.url(),), SUM, str(tmp_path), heard.outside)
        path.write_bytes(b"x" * len(CONTENT))
        fetch((server.url(),), SUM, str(tmp_path), heard.outside)
    assert path.read_bytes() == CONTENT
    assert "another sha256" in heard.said[0]


def test_two_sums_that_begin_alike_do_not_get_each_others_file(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server:
        fetch((server.url(),), SUM, str(tmp_path), heard.outside)
        with pytest.raises(CommandError, match="download-checksum"):
            fetch((server.url(),), SUM[:8] + "0" * 56, str(tmp_path), heard.outside)


def test_a_file_without_a_sum_is_fetched_again_when_it_is_to_be_fresh(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(200, str(on.turn).encode())) as server:
        fetch((server.url(),), "", str(tmp_path), heard.outside)
        path = fetch((server.url(),), "", str(tmp_path), heard.outside, fresh=True)
    assert Path(path).read_bytes() == b"2"


def test_a_second_downloader_waits_and_then_finds_the_file(tmp_path: Path, heard: Heard) -> None:
    url = "http://127.0.0.1:1/file.tar.gz"
    path = tmp_path / download_name((url,), "")
    waits = threading.Event()

    def say(said: str) -> None:
        heard.said.append(said)
        waits.set()

    outside = Outside(say=say)
    with locked(f"{path}.lock", lambda: None):
        second = threading.Thread(target=fetch, args=((url,), "", str(tmp_path), outside))
        second.start()
        assert waits.wait(60)
        path.write_bytes(b"whole")
    second.join(60)
    assert heard.said == [f"{path.name}: another process fetches it, waiting"]
    assert names(tmp_path) == {"file.tar.gz"}


# --- going on -----------------------------------------------------------------------------------------------------


def broken_off(on: Answer) -> None:
    on.say_with_ranges(upto=HALF if on.turn == 1 else None)


def test_a_download_that_breaks_off_goes_on_from_there(tmp_path: Path, heard: Heard) -> None:
    with serving(broken_off) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == CONTENT
    assert server.asked[1].headers["range"] == f"bytes={HALF}-"
    assert server.asked[1].headers["if-range"] == '"one"'
    assert heard.pauses == [1.0]
    assert names(tmp_path) == {"file.tar.gz"}


def test_a_server_that_knows_times_only_is_asked_by_time(tmp_path: Path, heard: Heard) -> None:
    time = "Sun, 06 Nov 1994 08:49:37 GMT"

    def answer(on: Answer) -> None:
        if on.turn == 1:
            on.say(200, CONTENT[:HALF], len(CONTENT), Last_Modified=time, ETag='W/"weak"')
        else:
            on.say(206, CONTENT[HALF:], Content_Range=f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}")

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert server.asked[1].headers["if-range"] == time
    assert Path(path).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        on.say(200, CONTENT[: HALF if on.turn == 1 else None], len(CONTENT), ETag='"one"')

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == CONTENT


def test_nothing_is_asked_for_in_part_when_neither_sum_nor_validator_could_tell_a_change(
    tmp_path: Path, heard: Heard
) -> None:
    def answer(on: Answer) -> None:
        on.say_with_ranges(tag="", upto=HALF if on.turn == 1 else None)

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert "range" not in server.asked[1].headers
    assert Path(path).read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_begun_anew(tmp_path: Path, heard: Heard) -> None:
    changed = CONTENT[::-1]

    def answer(on: Answer) -> None:
        if on.turn == 1:
            on.say_with_ranges(upto=HALF)
        else:
            on.say_with_ranges(changed, tag='"two"')

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == changed


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}", "ETag": '"two"'},
        {"Content_Range": f"bytes {HALF + 1}-{len(CONTENT)}/{len(CONTENT)}", "ETag": '"one"'},
        {"Content_Range": f"bytes {HALF}-{len(CONTENT)}/{len(CONTENT) + 1}", "ETag": '"one"'},
        {"Content_Range": "bytes x-y/z"},
        {},
    ],
)
def test_a_part_that_does_not_fit_is_not_glued_on(tmp_path: Path, heard: Heard, headers: dict[str, str]) -> None:
    def answer(on: Answer) -> None:
        if on.turn == 2:
            on.say(206, CONTENT[HALF:], None, **headers)
        else:
            on.say_with_ranges(upto=HALF if on.turn == 1 else None)

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == CONTENT
    assert "range" not in server.asked[2].headers


def leave(directory: Path, address: str, content: bytes, sha256: str = "", **notes: object) -> Path:
    """Make what a killed download leaves."""
    path = directory / download_name((address,), sha256)
    (directory / f"{path.name}.part").write_bytes(content)
    kept = {"url": hashlib.sha256(address.encode()).hexdigest(), "total": len(CONTENT), "validator": '"one"', **notes}
    (directory / f"{path.name}.part.json").write_text(json.dumps(kept))
    return path


@pytest.mark.parametrize(
    "notes", [{}, {"url": "other"}, {"validator": '"old"'}, {"total": None}, {"total": "x"}, {"validator": 3}]
)
@pytest.mark.parametrize("sha256", ["", SUM])
def test_a_killed_download_is_taken_up_whatever_its_notes_say(
    tmp_path: Path, heard: Heard, notes: dict[str, object], sha256: str
) -> None:
    with serving(Answer.say_with_ranges) as server:
        path = leave(tmp_path, server.url(), CONTENT[:HALF], sha256, **notes)
        fetch((server.url(),), sha256, str(tmp_path), heard.outside)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == {"file.tar.gz", "file.tar.gz.ok"} if sha256 else {"file.tar.gz"}


def test_notes_that_were_cut_short_count_as_none(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server:
        path = leave(tmp_path, server.url(), b"rubbish")
        (tmp_path / f"{path.name}.part.json").write_text('{"url": "')
        fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert path.read_bytes() == CONTENT


def test_a_download_that_was_killed_before_its_file_got_its_name_needs_no_network(tmp_path: Path, heard: Heard) -> None:
    url = "http://127.0.0.1:1/file.tar.gz"
    path = leave(tmp_path, url, CONTENT)
    fetch((url,), "", str(tmp_path), heard.outside)
    assert path.read_bytes() == CONTENT


def test_a_part_with_other_bytes_than_the_sum_says_is_thrown_away_and_fetched_anew(
    tmp_path: Path, heard: Heard
) -> None:
    with serving(Answer.say_with_ranges) as server:
        path = leave(tmp_path, server.url(), b"x" * HALF, SUM)
        fetch((server.url(),), SUM, str(tmp_path), heard.outside)
    assert path.read_bytes() == CONTENT
    assert heard.pauses == [0.0]


def test_a_part_longer_than_the_file_is_begun_anew(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server:
        path = leave(tmp_path, server.url(), CONTENT + b"more", SUM)
        fetch((server.url(),), SUM, str(tmp_path), heard.outside)
    assert path.read_bytes() == CONTENT


def test_a_process_killed_in_the_middle_leaves_a_part_that_the_next_one_takes_up(tmp_path: Path, heard: Heard) -> None:
    goes_on = threading.Event()

    def answer(on: Answer) -> None:
        if on.turn == 1:
            on.say_with_ranges(upto=HALF)
            on.wfile.flush()
            goes_on.wait(60)
        else:
            on.say_with_ranges()

    script = (
        "import sys\n"
        "from vaggapy.build.fetch import Outside, fetch\n"
        "fetch((sys.argv[1],), '', sys.argv[2], Outside(lambda name, received, total: print(received, flush=True)))\n"
    )
    with serving(answer) as server:
        words = [sys.executable, "-c", script, server.url(), str(tmp_path)]
        root = str(Path(fetching.__file__).parents[2])
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
        ) as killed:
            assert killed.stdout
            killed.stdout.readline()
            killed.kill()
        goes_on.set()
        assert "file.tar.gz" not in names(tmp_path)
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == CONTENT
    assert server.asked[1].headers["range"].startswith("bytes=")
    assert names(tmp_path) == {"file.tar.gz"}
    assert heard.said == []


# --- servers that fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(tmp_path: Path, heard: Heard, status: int) -> None:
    def answer(on: Answer) -> None:
        if on.turn < 3:
            on.say(status)
        else:
            on.say_with_ranges()

    with serving(answer) as server:
        fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert heard.pauses == [1.0, 2.0]


def test_a_server_may_say_how_long_to_wait(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        if on.turn == 1:
            on.say(503, Retry_After="7")
        elif on.turn == 2:
            on.say(503, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT")
        else:
            on.say_with_ranges()

    with serving(answer) as server:
        fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert heard.pauses == [7.0, 0.0]
    assert heard.said[0] == f"{server.url()}: 503 Service Unavailable; trying again in 7 s"


def test_nobody_waits_for_an_hour(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(429, Retry_After="3600")) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert error.what == f"{server.url()}: 429 Too Many Requests, for 3600 s more"
    assert heard.pauses == []


def test_a_server_that_stays_busy_is_given_up_after_three_tries(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(503)) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert len(server.asked) == fetching.TRIES
    assert error.name == "download-refused"
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("status", "name"), [(404, "missing"), (410, "missing"), (400, "refused"), (403, "refused"), (418, "refused")]
)
def test_a_server_that_says_no_is_not_asked_again(tmp_path: Path, heard: Heard, status: int, name: str) -> None:
    with serving(lambda on: on.say(status)) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert len(server.asked) == 1
    assert error.name == f"download-{name}"
    assert str(status) in error.what


def test_a_download_that_always_breaks_off_keeps_what_came(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say_with_ranges(upto=1000)) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert error.name == "download-unreachable"
    assert "broke off" in error.what
    assert names(tmp_path) == {"file.tar.gz.part", "file.tar.gz.part.json"}


def test_a_download_that_gains_much_each_time_may_break_off_often(tmp_path: Path, heard: Heard) -> None:
    content = bytes(8 * fetching.MUCH)

    def answer(on: Answer) -> None:
        on.say_with_ranges(content, upto=on.turn * fetching.MUCH)

    with serving(answer) as server:
        path = fetch((server.url(),), "", str(tmp_path), heard.outside)
    assert len(server.asked) == 8
    assert Path(path).read_bytes() == content


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path, heard: Heard) -> None:
    done = threading.Event()

    def answer(on: Answer) -> None:
        on.say(200, b"some", 100)
        done.wait(60)

    outside = Outside(say=heard.said.append, wait=heard.pauses.append, read_seconds=0.1)
    with serving(answer) as server:
        with pytest.raises(CommandError, match=r"nothing came for 0\.1 s .*\[download-unreachable\]"):
            fetch((server.url(),), "", str(tmp_path), outside)
        done.set()


def test_a_refused_connection_is_named(tmp_path: Path, heard: Heard) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        error = fails((url,), "", tmp_path, heard)
    assert error.what == f"{url}: connection refused"
    assert heard.pauses == [1.0, 2.0]


def test_redirects_without_end_are_refused(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(302, Location=f"/{on.turn}")) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert error.what == f"{server.url()}: more than 10 redirects"
    assert len(server.asked) == 11


def test_a_redirect_to_something_that_is_not_http_is_refused(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(302, Location="file:///etc/passwd")) as server:
        error = fails((server.url(),), "", tmp_path, heard)
    assert error.name == "download-url"


def test_a_wrong_sum_shows_both(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(200, b"other")) as server:
        error = fails((server.url(),), SUM, tmp_path, heard)
    assert error.what == f"{server.url()}: its sha256 is {hashlib.sha256(b'other').hexdigest()}, not {SUM}"
    assert error.name == "download-checksum"
    assert names(tmp_path) == set()


def test_a_body_longer_than_it_may_be_is_cut_off(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server, pytest.raises(CommandError, match="more than 10 bytes come"):
        have(Wanted((server.url(),), str(tmp_path / "blob"), SUM, 10), heard.outside)
    assert list(tmp_path.iterdir()) == []


# --- mirrors ------------------------------------------------------------------------------------------------------


def test_the_next_mirror_is_asked_when_one_fails(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        if on.path == "/three":
            on.say_with_ranges()
        else:
            on.say(*((404, b"") if on.path == "/one" else (200, b"wrong")))

    with serving(answer) as server:
        path = fetch((server.url("/one"), server.url("/two"), server.url("/three")), SUM, str(tmp_path), heard.outside)
    assert Path(path).name == f"{SUM[:8]}-one"
    assert Path(path).read_bytes() == CONTENT


def test_with_a_sum_the_next_mirror_goes_on_where_the_first_broke_off(tmp_path: Path, heard: Heard) -> None:
    def answer(on: Answer) -> None:
        if on.path == "/one" and on.turn == 1:
            on.say_with_ranges(upto=HALF)
        elif on.path == "/one":
            on.say(404)
        else:
            on.say_with_ranges(tag='"of another server"')

    with serving(answer) as server:
        path = fetch((server.url("/one"), server.url("/two")), SUM, str(tmp_path), heard.outside)
    assert server.asked[2].headers["range"] == f"bytes={HALF}-"
    assert "if-range" not in server.asked[2].headers
    assert Path(path).read_bytes() == CONTENT


def test_when_all_mirrors_fail_each_cause_is_shown(tmp_path: Path, heard: Heard) -> None:
    with serving(lambda on: on.say(404 if on.path == "/one" else 403)) as server:
        urls = (server.url("/one", "u:secret@"), server.url("/two"))
        with pytest.raises(CommandError) as caught:
            fetch(urls, "", str(tmp_path), heard.outside)
    shown = f"{server.url('/one')}: 404 Not Found; {server.url('/two')}: 403 Forbidden"
    assert caught.value.what == f"{download_name(urls, '')}: no mirror has it: {shown}"
    assert caught.value.name == "download-mirrors"


# --- addresses, proxies, certificates, disks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "only http and https URLs can be fetched"),
        ("ftp://host/x", "only http and https URLs can be fetched"),
        ("archive.zip", "only http and https URLs can be fetched"),
        ("http:///x", "the URL has no host"),
        ("http://host:port/x", "not a URL that can be fetched"),
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, heard: Heard, url: str, said: str) -> None:
    error = fails((url,), "", tmp_path, heard)
    assert said in error.what
    assert error.name == "download-url"


def test_a_proxy_is_used_when_the_variable_says_so(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Answer.say_with_ranges) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        fetch(("http://nowhere.invalid/file.tar.gz",), "", str(tmp_path), heard.outside)
    assert proxy.asked[0].path == "http://nowhere.invalid/file.tar.gz"


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:1", "ftp://me:secret@127.0.0.1"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    error = fails(("http://127.0.0.1:1/x",), "", tmp_path, heard)
    assert error.name == "download-proxy"
    assert "secret" not in str(error)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for 127.0.0.1 that is its own authority, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    place = tmp_path_factory.mktemp("authority") / "both.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*words.split(), "-keyout", f"{place}.key", "-out", place], check=True, capture_output=True)
    with place.open("ab") as both:
        both.write(Path(f"{place}.key").read_bytes())
    return place


def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context


def test_an_authority_of_ones_own_is_trusted_when_the_variable_names_it(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch, authority: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with serving(Answer.say_with_ranges, tls(authority)) as server:
        path = fetch((server.url(),), SUM, str(tmp_path), heard.outside)
    assert Path(path).read_bytes() == CONTENT


def test_a_certificate_of_an_unknown_authority_is_refused_at_once(
    tmp_path: Path, heard: Heard, authority: Path
) -> None:
    with serving(Answer.say_with_ranges, tls(authority)) as server:
        error = fails((server.url(),), SUM, tmp_path, heard)
    assert error.name == "download-tls"
    assert "self-signed certificate" in error.what.replace("self signed", "self-signed")
    assert heard.pauses == []


def test_https_to_a_server_without_it_says_so(tmp_path: Path, heard: Heard) -> None:
    with serving(Answer.say_with_ranges) as server:
        error = fails((server.url().replace("http:", "https:"),), "", tmp_path, heard)
    assert error.name == "download-tls"


@pytest.mark.parametrize("sha256", ["", SUM])
def test_https_that_leads_to_http_needs_a_sum(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch, authority: Path, sha256: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with (
        serving(Answer.say_with_ranges) as plain,
        serving(lambda on: on.say(302, Location=plain.url()), tls(authority)) as server,
    ):
        if sha256:
            fetch((server.url(),), sha256, str(tmp_path), heard.outside)
        else:
            assert "https to http" in fails((server.url(),), "", tmp_path, heard).what


def test_a_cache_that_is_a_file_is_named(tmp_path: Path, heard: Heard) -> None:
    place = tmp_path / "cache"
    place.write_text("")
    with pytest.raises(CommandError) as caught:
        fetch(("http://127.0.0.1:1/x",), "", str(place / "downloads"), heard.outside)
    assert str(place) in caught.value.what
    assert caught.value.name == "download-storage"


def test_a_file_that_cannot_grow_is_named_and_gets_no_name(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from vaggapy.build.fetch import fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "fetch((sys.argv[1],), '', sys.argv[2])\n"
    )
    with serving(Answer.say_with_ranges) as server:
        words = [sys.executable, "-c", script, server.url(), str(tmp_path)]
        ran = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": HERE}, check=False)
    assert "file too large (check the cache directory) [download-storage]" in ran.stderr
    assert "file.tar.gz" not in names(tmp_path)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOSPC, "/c/x: no space left on device (make room: vagga _clean --unused) [download-storage]"),
        (errno.EROFS, "/c/x: read-only file system (let this user write there, or set cache-dir in the settings) ["),
    ],
)
def test_what_is_wrong_with_the_cache_comes_with_what_to_do(number: int, line: str) -> None:
    with pytest.raises(CommandError) as caught:
        fetching._storage_failed(Wanted(("http://host/x",), "/c/x"), OSError(number, ""))
    assert str(caught.value).startswith(line)
