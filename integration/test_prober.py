"""The prober as a process, against servers on this machine and files of a project."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from integration.companions import Companion, companion
from integration.runs import PATIENCE, can_nest, free_port, need, wait_until
from vaggapy.config import rules
from vaggapy.config.rules import Check
from vaggapy.record import pack
from vaggapy.supervise.probes.files import LARGEST

HTTP, TCP, SILENT = rules.HTTP, rules.TCP, rules.NOT_LISTENING
Answer = tuple[bool, str, str]
REFUSED_4 = ", ".join(f"127.0.0.{number}: refused" for number in (9, 8, 7))


@pytest.fixture
def prober(tmp_path: Path) -> Iterator[Companion]:
    """Run a prober for the project `tmp_path`."""
    with companion("prober", str(tmp_path), (os.getpid(),)) as running:
        yield running


def ask(prober: Companion, check: Check, timeout: float = 5.0) -> Answer:
    """Return what one check found."""
    prober.send("probe", "web", 1, pack(check), timeout)
    answer = prober.receive(timeout + PATIENCE)
    assert answer is not None
    id_, number, passed, detail, value = answer
    assert (id_, number) == ("web", 1)
    assert "\n" not in detail and bool(detail) != passed
    return passed, detail, value


# --- servers --------------------------------------------------------------------------------------------------


class Pages(BaseHTTPRequestHandler):
    """Answers with the status that the path names; /slow waits until the test is over; redirects lead to /200."""

    over: threading.Event

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.over.wait()
            return
        status = int(self.path.strip("/"))
        self.send_response(status)
        if status // 100 == 3:
            self.send_header("Location", "/200")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Keeps quiet about clients that hang up."""

    request_queue_size = 128  # all that may come while this process gets no processor

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Server6(Server):
    address_family = socket.AF_INET6  # type: ignore[mutable-override]  # an AddressFamily is an int


@contextmanager
def serving(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve `Pages` and give the port."""
    over = threading.Event()
    kind = type("Own", (Pages,), {"over": over})
    server = (Server6 if ":" in host else Server)((host, free_port()), kind)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pages() -> Iterator[int]:
    with serving() as port:
        yield port


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, int]]:
    """Listen, and accept nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = free_port()
        server.bind((host, port))
        server.listen(8)
        yield server, port


@contextmanager
def saying(*parts: bytes, pause: float = 0.0) -> Iterator[int]:
    """Say something to whoever connects, part for part, and give the port."""
    with listening() as (server, port):
        server.settimeout(PATIENCE)

        def answer() -> None:
            with suppress(OSError), server.accept()[0] as end:
                end.recv(4096)
                for part in parts:
                    end.sendall(part)
                    time.sleep(pause)

        thread = threading.Thread(target=answer)
        thread.start()
        yield port
        thread.join()


def has_ipv6() -> bool:
    try:
        with listening("::1"):
            return True
    except OSError:
        return False


# --- tcp --------------------------------------------------------------------------------------------------------


def test_a_port_that_somebody_listens_on_passes_and_another_does_not(prober: Companion) -> None:
    with listening() as (_, port):
        assert ask(prober, Check(TCP, f"127.0.0.1:{port}")) == (True, "", "")
        assert ask(prober, Check(SILENT, f"127.0.0.1:{port}")) == (False, "somebody listens", "")
    assert ask(prober, Check(TCP, f"127.0.0.1:{port}")) == (False, "refused", "")
    assert ask(prober, Check(SILENT, f"127.0.0.1:{port}")) == (True, "", "")


@contextmanager
def prober_that_knows(tmp_path: Path, *names: str) -> Iterator[Companion]:
    """Run a prober that sees an /etc/hosts with these lines."""
    need(can_nest(), "unshare(1) cannot make namespaces here")
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"{name}\n" for name in names))
    under = ("unshare", "-Urm", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts))
    with companion("prober", str(tmp_path), (), under=under) as prober:
        yield prober


def test_d7_all_addresses_of_a_name_are_tried(tmp_path: Path) -> None:
    places = ("127.0.0.9 several", "127.0.0.8 several", "127.0.0.7 several", "::1 several")
    with prober_that_knows(tmp_path, *places) as prober:
        for host in ("127.0.0.7", "127.0.0.9", *(["::1"] if has_ipv6() else [])):
            with listening(host) as (_, port):
                assert ask(prober, Check(TCP, f"several:{port}"))[0]
                assert ask(prober, Check(SILENT, f"several:{port}"))[:2] == (False, "somebody listens")
            with serving(host) as port:
                assert ask(prober, Check(HTTP, f"http://several:{port}/200"))[0]
        port = free_port()
        assert ask(prober, Check(TCP, f"several:{port}"))[1] in ("refused", f"{REFUSED_4}, ::1: no such address here")
        assert ask(prober, Check(SILENT, f"several:{port}"))[0]
        assert ask(prober, Check(HTTP, f"http://several:{port}/200"))[1] == "refused"


def test_d7_not_listening_with_a_name_that_is_not_found_does_not_pass_and_says_so(prober: Companion) -> None:
    for kind in (SILENT, TCP):
        passed, detail, _ = ask(prober, Check(kind, "no-such-host.invalid:80"), 20.0)
        assert not passed
        assert "the name no-such-host.invalid is not found" in detail or "no answer within" in detail


def test_h16_a_name_with_an_address_of_ipv6_alone_is_reached(tmp_path: Path) -> None:
    need(has_ipv6(), "there is no IPv6 here")
    with prober_that_knows(tmp_path, "::1 six") as prober:
        for host in ("six", "[::1]"):
            with listening("::1") as (_, port):
                assert ask(prober, Check(TCP, f"{host}:{port}"))[0]
            with serving("::1") as port:
                assert ask(prober, Check(HTTP, f"http://{host}:{port}/200"))[0]
            assert not ask(prober, Check(HTTP, f"http://{host}:{port}/200"))[0]


@pytest.mark.parametrize("target", ["localhost", ":80", "localhost:", "localhost:0", "localhost:65536", "localhost:x"])
def test_what_is_not_host_and_port_does_not_pass(prober: Companion, target: str) -> None:
    assert ask(prober, Check(SILENT, target))[:2] == (False, f"'{target}' is not HOST:PORT")


def test_a_full_queue_of_connections_is_no_answer_within_a_second(prober: Companion) -> None:
    with listening() as (server, port):
        server.listen(0)
        with ExitStack() as fillers:
            for _ in range(4):
                filler = fillers.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                filler.connect_ex(("127.0.0.1", port))
            began = time.monotonic()
            passed, detail, _ = ask(prober, Check(TCP, f"127.0.0.1:{port}"), 40.0)
            assert (passed, detail) == (False, "no answer")
            assert 0.9 < time.monotonic() - began < 40


def test_a_port_that_clients_get_is_never_found_by_connecting_with_oneself(prober: Companion) -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        port = mine.getsockname()[1]
    assert first <= port <= last
    for number in range(200):
        prober.send("probe", f"p{number}", number, pack(Check(TCP, f"127.0.0.1:{port}")), 5.0)
    answers = [prober.receive() for _ in range(200)]
    assert {answer[2] for answer in answers if answer} == {False}


# --- http -------------------------------------------------------------------------------------------------------


def test_d9_the_awaited_status_passes_and_another_does_not(prober: Companion, pages: int) -> None:
    url = f"http://127.0.0.1:{pages}"
    assert ask(prober, Check(HTTP, f"{url}/200")) == (True, "", "")
    assert ask(prober, Check(HTTP, f"{url}/503")) == (False, "HTTP 503 instead of 200", "")
    assert ask(prober, Check(HTTP, f"{url}/404", status=404)) == (True, "", "")
    assert ask(prober, Check(HTTP, f"{url}/200", status=404)) == (False, "HTTP 200 instead of 404", "")


def test_h16_a_redirect_is_an_answer_and_is_not_followed(prober: Companion, pages: int) -> None:
    url = f"http://127.0.0.1:{pages}/302"
    assert ask(prober, Check(HTTP, url)) == (False, "HTTP 302 to /200 instead of 200", "")
    assert ask(prober, Check(HTTP, url, status=302)) == (True, "", "")


def test_h16_a_port_that_nobody_listens_on_does_not_pass(prober: Companion) -> None:
    assert ask(prober, Check(HTTP, f"http://127.0.0.1:{free_port()}/")) == (False, "refused", "")
    assert ask(prober, Check(HTTP, f"http://localhost:{free_port()}/")) == (False, "refused", "")


def test_h16_a_slow_server_is_given_up_and_holds_up_no_other_check(prober: Companion, pages: int) -> None:
    ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))  # so that httpx is loaded
    began = time.monotonic()
    prober.send("probe", "slow", 1, pack(Check(HTTP, f"http://127.0.0.1:{pages}/slow")), 3.0)
    assert ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))[0]  # the answer of this one is the first to come
    assert prober.receive() == ("slow", 1, False, "no answer within 3 s", "")
    assert time.monotonic() - began > 2.9


def test_h16_no_request_takes_longer_than_five_seconds(prober: Companion, pages: int) -> None:
    began = time.monotonic()
    assert ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/slow"), 60.0)[1] == "no answer within 5 s"
    assert 4.9 < time.monotonic() - began < 60


def test_an_answer_that_trickles_is_given_up(prober: Companion) -> None:
    with saying(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 600, pause=0.05) as port:
        passed, detail, _ = ask(prober, Check(HTTP, f"http://127.0.0.1:{port}/"), 0.6)
        assert (passed, detail) == (False, "no answer within 0.6 s")


def test_requests_that_are_given_up_leave_no_connection(prober: Companion, pages: int) -> None:
    ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))
    before = open_in(prober)
    for number in range(100):
        check = Check(HTTP, f"http://127.0.0.1:{pages}/slow")
        prober.send("probe", f"p{number}", number, pack(check), 4.0 + 0.005 * number)  # by then all are connected
    assert {answer and answer[2] for answer in (prober.receive() for _ in range(100))} == {False}
    wait_until(lambda: open_in(prober) <= before, "all are closed")


def open_in(prober: Companion) -> int:
    return len(os.listdir(f"/proc/{prober.process.pid}/fd"))


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 2000 OK\r\n\r\n", b"\0" * 200_000])
def test_what_is_not_http_does_not_pass(prober: Companion, said: bytes) -> None:
    with saying(said) as port:
        assert not ask(prober, Check(HTTP, f"http://127.0.0.1:{port}/"))[0]


@pytest.mark.parametrize("url", ["http://", "ftp://localhost/", "http://[::1/", "http://a b/", "/x", "http://h:99999/"])
def test_a_url_that_is_none_does_not_pass(prober: Companion, url: str) -> None:
    assert not ask(prober, Check(HTTP, url))[0]


def test_d9_an_error_of_tls_does_not_pass(prober: Companion, tmp_path: Path, pages: int) -> None:
    passed, detail, _ = ask(prober, Check(HTTP, f"https://127.0.0.1:{pages}/200"))
    assert not passed and detail.startswith("TLS: ")
    with serving(context=certified(tmp_path)[1]) as port:
        passed, detail, _ = ask(prober, Check(HTTP, f"https://localhost:{port}/200"))
        assert not passed and detail.startswith("its certificate is not accepted: ")


def test_a_certificate_of_an_authority_of_the_environment_passes(tmp_path: Path) -> None:
    file, context = certified(tmp_path)
    environ = {"SSL_CERT_FILE": str(file)}
    with serving(context=context) as port, companion("prober", str(tmp_path), (), environ=environ) as prober:
        assert ask(prober, Check(HTTP, f"https://localhost:{port}/200")) == (True, "", "")


def test_no_proxy_is_asked_for_this_machine_but_for_others(tmp_path: Path, pages: int) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    environ = {"http_proxy": proxy, "all_proxy": proxy}
    with companion("prober", str(tmp_path), (), environ=environ) as prober:
        assert ask(prober, Check(HTTP, f"http://localhost:{pages}/200"))[0]
        assert ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))[0]
        assert ask(prober, Check(HTTP, "http://example.invalid/")) == (False, "refused", "")


def certified(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Return a certificate for localhost and the context of a server that has it."""
    need(bool(shutil.which("openssl")), "openssl is not installed")
    file = directory / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(directory / "key.pem"), "-out", str(file)]
    subprocess.run(words, capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, directory / "key.pem")
    return file, context


# --- files ------------------------------------------------------------------------------------------------------


def test_a_path_passes_when_it_is_there_and_its_value_changes_with_it(prober: Companion, tmp_path: Path) -> None:
    path, missing = Check(rules.PATH, "run/ok"), Check(rules.NOT_EXISTS, "run/ok")
    assert ask(prober, path) == (False, "no such file", "")
    assert ask(prober, missing) == (True, "", "")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ok").write_text("one")
    passed, _, first = ask(prober, path)
    assert passed and ask(prober, path)[2] == first
    assert ask(prober, missing) == (False, "it is there", "")
    (tmp_path / "run" / "ok").write_text("three")
    assert ask(prober, path)[2] not in ("", first)


@pytest.mark.parametrize("kind", [rules.PATH, rules.NOT_EXISTS, rules.FILE_CONTAINS])
def test_no_link_leads_out_of_the_project(prober: Companion, tmp_path: Path, kind: str) -> None:
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "relative").symlink_to("../" * 20 + "etc/passwd")
    (tmp_path / "directory").symlink_to("/etc")
    for target in ("absolute", "relative", "directory/passwd", "../x", "/etc/passwd"):
        assert ask(prober, Check(kind, target)) == (False, "it leads out of the project", "")


def test_d10_a_file_that_is_half_written_does_not_pass_until_it_is_whole(prober: Companion, tmp_path: Path) -> None:
    file, check = tmp_path / "out.json", Check(rules.FILE_CONTAINS, "out.json", key="$.port", variable="PORT")
    assert ask(prober, check) == (False, "no such file", "")
    file.write_text('{"port": 80')
    assert ask(prober, check)[1].startswith("not valid JSON: ")
    file.write_text('{"port": 8080}')
    assert ask(prober, check) == (True, "", "8080")
    (tmp_path / "out.yaml").write_text("\ufeffport: [1, no]\n")
    assert ask(prober, Check(rules.FILE_CONTAINS, "out.yaml", key="$.port", format="yaml"))[2] == '[1,"no"]'


def test_a_file_that_takes_long_to_read_is_read_once_and_not_anew_at_each_look(
    prober: Companion, tmp_path: Path
) -> None:
    lines = (f"key{number}: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for number in range(1500))
    (tmp_path / "long.yaml").write_text("".join(lines))
    check = Check(rules.FILE_CONTAINS, "long.yaml", key="$.key1499[8]", format="yaml")
    first = ask(prober, check, 0.01)
    assert first == (False, "no answer within 0.01 s", ""), "else this file is too short"
    wait_until(lambda: ask(prober, check, 0.01) == (True, "", "9"), "the look that was begun is over")


def test_neither_a_pipe_nor_a_huge_file_nor_a_directory_is_read(prober: Companion, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", LARGEST + 1)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, detail in {
        "pipe": "it is no regular file",
        ".": "it is no regular file",
        "": "it is no regular file",
        "huge": "it is larger than 10 MiB",
        "binary": "it is not UTF-8",
    }.items():
        assert ask(prober, Check(rules.FILE_CONTAINS, name, key="$"))[:2] == (False, detail)
    assert ask(prober, Check(rules.PATH, "pipe"))[0]


def test_a_file_that_may_not_be_read_does_not_pass(prober: Companion, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "secret").touch(0)
    assert ask(prober, Check(rules.FILE_CONTAINS, "secret", key="$"))[:2] == (False, "permission denied")


def test_without_a_project_no_path_passes(tmp_path: Path) -> None:
    with companion("prober", str(tmp_path / "gone"), ()) as prober:
        for kind in (rules.PATH, rules.NOT_EXISTS, rules.FILE_CONTAINS):
            assert not ask(prober, Check(kind, "x"))[0]


# --- processes --------------------------------------------------------------------------------------------------


def test_d8_not_running_finds_others_but_neither_the_supervisor_nor_the_prober_itself(prober: Companion) -> None:
    mark = f"vagga-d8-{os.getpid()}"
    check = Check(rules.NOT_RUNNING, f"{mark}.* x$")
    assert ask(prober, check) == (True, "", "")
    script = "import sys; print(flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", script, mark, "x"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdin
        other.stdout.read(1)
        passed, detail, _ = ask(prober, check)
        assert not passed and detail.startswith(f"process {other.pid} runs: ")
        other.stdin.close()
    wait_until(lambda: ask(prober, check)[0], "the end of the process")


def test_d8_whoever_is_named_never_counts(tmp_path: Path) -> None:
    """Nor does the prober itself, whose own command line has its mark."""
    mark, own_mark = (f"vagga-d8-{name}-{os.getpid()}" for name in ("named", "own"))
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", mark]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdin
        other.stdout.read(1)
        for own, passes in (((other.pid,), True), ((), False)):
            with companion("prober", str(tmp_path), own, mark=own_mark) as prober:
                assert ask(prober, Check(rules.NOT_RUNNING, f" {escaped(mark)}$"))[0] is passes
                assert ask(prober, Check(rules.NOT_RUNNING, f" {escaped(own_mark)}$"))[0]
        other.stdin.close()


def test_d8_forks_of_the_supervisor_that_run_no_other_program_do_not_count(tmp_path: Path) -> None:
    """The prober's own command line, in a fork of the test's process tree, stands for the spawner and each PID 1."""
    script = """
import os, sys
from vaggapy.sandbox.channel import pair
from vaggapy.supervise import prober
ours, theirs = pair()
read, write = os.pipe()
for task in (lambda: prober.main(theirs, sys.argv[1], ()), lambda: os.read(read, 1)):
    if os.fork() == 0:
        ours.close()
        os.close(write)
        task()
        os._exit(0)
theirs.close()
os.close(read)
ours.send(("probe", "x", 1, ["Check", "not-running", sys.argv[2], (), 200, "", "json", ""], 5.0))
print(ours.receive()[0])
"""
    words = [sys.executable, "-c", script, str(tmp_path), f"vagga-forks-{os.getpid()}"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ran.stdout == "('x', 1, True, '', '')\n"


def test_a_pattern_that_is_none_does_not_pass(prober: Companion) -> None:
    assert ask(prober, Check(rules.NOT_RUNNING, "("))[1].startswith("the pattern is no regular expression: ")


def escaped(text: str) -> str:
    return "".join(f"\\{c}" if not c.isalnum() else c for c in text)


# --- many, late and lost ----------------------------------------------------------------------------------------


def test_a_hundred_checks_that_wait_take_no_longer_than_one(prober: Companion, pages: int) -> None:
    ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))
    began = time.monotonic()
    for number in range(100):
        prober.send("probe", f"p{number}", number, pack(Check(HTTP, f"http://127.0.0.1:{pages}/slow")), 1.5)
    assert {prober.receive()[0] for _ in range(100)} == {f"p{number}" for number in range(100)}  # type: ignore[index]
    assert time.monotonic() - began < 100  # one after the other they take 150 s


def test_a_hundred_checks_that_come_first_load_httpx_once_and_all_pass(prober: Companion, pages: int) -> None:
    """None of them spends its time on what the others load: each would read all certificates of the machine."""
    began = time.monotonic()
    for number in range(100):
        prober.send("probe", f"p{number}", number, pack(Check(HTTP, f"http://127.0.0.1:{pages}/200")), 5.0)
    answers = [prober.receive() for _ in range(100)]
    assert {answer and answer[2] for answer in answers} == {True}, answers
    loading = time.monotonic() - began
    with Path(f"/proc/{prober.process.pid}/status").open() as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 64 * 1024, f"{peak} KiB after {loading:.1f} s"  # 36 MiB; 83 MiB with a context of TLS for each


def test_an_abandoned_check_has_no_answer_and_a_newer_one_takes_the_place_of_an_older(
    prober: Companion, pages: int
) -> None:
    ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))  # so that httpx is loaded
    slow, quick = (pack(Check(HTTP, f"http://127.0.0.1:{pages}/{page}")) for page in ("slow", "200"))
    prober.send("probe", "a", 1, slow, 2.0)
    prober.send("abandon", "a")
    prober.send("abandon", "unknown")
    prober.send("probe", "b", 1, slow, 2.0)
    prober.send("probe", "b", 2, quick, 5.0)
    assert prober.receive() == ("b", 2, True, "", "")
    assert prober.is_quiet(2.5)


def test_what_is_not_for_the_prober_is_answered_and_does_not_pass(prober: Companion) -> None:
    assert ask(prober, Check(rules.EXEC, words=("true",)))[0] is False
    assert ask(prober, Check(TCP, "127.0.0.1:" + "9" * 5000))[0] is False


def test_it_ends_at_once_when_the_supervisor_is_gone_whatever_it_waits_for(prober: Companion, pages: int) -> None:
    ask(prober, Check(HTTP, f"http://127.0.0.1:{pages}/200"))
    prober.send("probe", "a", 1, pack(Check(HTTP, f"http://127.0.0.1:{pages}/slow")), 600.0)
    prober.send("probe", "b", 1, pack(Check(TCP, "no-such-host.invalid:80")), 600.0)
    assert "httpx" in prober.finish()


def test_checks_of_ports_files_and_processes_import_no_httpx(prober: Companion, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    for check in (
        Check(TCP, "127.0.0.1:1"),
        Check(rules.PATH, "x"),
        Check(rules.NOT_RUNNING, "x-y-z"),
        Check(rules.FILE_CONTAINS, "missing", key="$"),
    ):
        ask(prober, check)
    assert prober.finish() & {"httpx", "jsonpath", "ruamel"} == set()
