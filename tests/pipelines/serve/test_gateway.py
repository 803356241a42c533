"""The gateway: who is let in, how often, and that no request is lost when a server dies."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")
pytest.importorskip("trustme", reason="extra serve is not installed: make platform")

import httpx2
import trustme

from cloudarb_lib.base.errors import ParameterError, WorkerError
from cloudarb_lib.testing.wire import LossyWire
from pipelines import cli, exit_codes
from pipelines.serve import gateway, testing
from pipelines.serve.gateway import Gateway

pytestmark = pytest.mark.slow
QUESTION = "/runs/latest/plan"


def free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(url, code, *, seconds=150, **options):
    """Wait until an address answers with a status."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(httpx2.TransportError):
            if httpx2.get(url, timeout=2, **options).status_code == code:
                return
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def wait_for_line(log, line, *, seconds=150):
    """Wait until a process has written a line into its log."""
    until = time.monotonic() + seconds
    while line not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.01)


def free_row(number):
    """Return the first of so many free ports in a row."""
    while True:
        (first,) = free_ports(1)
        with suppress(OSError), ExitStack() as taken:
            for port in range(first, first + number):
                taken.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """``cloudarb gateway`` over a small store: its process, its port, and a token to read."""
    try:
        gateway.traefik()
    except ParameterError as missing:
        pytest.skip(str(missing))
    home = tmp_path_factory.mktemp("gateway")
    folders = testing.folders_in(home)
    reports = folders.reports.rename(home / "of_a_team")
    port = free_row(4)
    words = ["gateway", "--port", str(port), "--rate", "100000"]
    served = ["--store", str(folders.store), "--reports", str(reports)]
    headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
    log = home / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *words, *served],
            env=os.environ | {"CLOUDARB_HOME": str(home)},
            stderr=stderr,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_line(log, f"gateway on {url}\n")
        assert httpx2.get(url + QUESTION, headers=headers).status_code == 200, "once it says so"
        for number in (2, 3):
            wait_for(f"http://127.0.0.1:{port + number}/alive", 204)
        yield process, port, headers
    finally:
        process.send_signal(signal.SIGINT)
        ended = process.wait(60)
    assert ended == exit_codes.STOPPED
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"http://127.0.0.1:{port + 2}/alive")


@pytest.fixture
def servers(whole):
    """The addresses of two servers, and a token to read."""
    _, port, headers = whole
    return (f"http://127.0.0.1:{port + 2}", f"http://127.0.0.1:{port + 3}"), headers


def pid_of(process, port):
    """Return the process of the server that listens on a port, a child of the process."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if str(port).encode() in words:
            return int(child)
    raise AssertionError(f"no server on {port}")


def kill_server(process, port):
    """Kill the server that listens on a port, a child of the process."""
    os.kill(pid_of(process, port), signal.SIGKILL)


@contextmanager
def opened(folder, urls, *, context=None, **options):
    """Open a gateway before servers, and give its address."""
    port, asking_port = free_ports(2)
    gate = Gateway("127.0.0.1", port, asking_port, urls, **options)
    configuration = gateway.write_files(gate, folder)
    process = subprocess.Popen([gateway.traefik(), f"--configFile={configuration}"])
    scheme = "https" if gate.certificate else "http"
    try:
        wait_for(f"{scheme}://127.0.0.1:{port}/", 401, verify=context or True)
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_no_token_is_refused_and_a_good_one_let_through(servers, tmp_path):
    urls, headers = servers
    with opened(tmp_path, urls) as url:
        refused = httpx2.get(url + QUESTION)
        assert refused.status_code == 401
        assert "cloudarb tokens add" in refused.json()["way_out"]
        answer = httpx2.get(url + QUESTION, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["run"] == testing.RUN


def test_who_asks_too_often_is_told_so(servers, tmp_path):
    urls, headers = servers
    with opened(tmp_path, urls, requests_per_s=5) as url, httpx2.Client(headers=headers) as client:
        codes = [client.get(url + QUESTION).status_code for _ in range(30)]
    assert codes[0] == 200
    assert 429 in codes


def test_only_clients_that_the_authority_has_signed_are_let_in(servers, tmp_path):
    urls, headers = servers
    authority = trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def context(signed_by=None):
        found = ssl.create_default_context()
        authority.configure_trust(found)
        if signed_by:
            signed_by.issue_cert("team-a.example").configure_cert(found)
        return found

    files = {"certificate": "cert.pem", "key": "key.pem", "client_authority": "ca.pem"}
    options = {name: tmp_path / file for name, file in files.items()}
    signed = context(authority)
    with opened(tmp_path, urls, context=signed, **options) as url:
        answer = httpx2.get(url + QUESTION, headers=headers, verify=signed)
        assert answer.status_code == 200
        assert httpx2.get(url + QUESTION, verify=signed).status_code == 401, "a token all the same"
        for stranger in (context(), context(trustme.CA())):
            with pytest.raises(httpx2.TransportError):
                httpx2.get(url + QUESTION, headers=headers, verify=stranger)
        plain = httpx2.get(url.replace("https", "http") + QUESTION, headers=headers)
        assert plain.status_code == 404, "nothing without TLS"


@pytest.mark.chaos("kill", "API")
def test_no_request_is_lost_when_a_server_dies(whole):
    process, port, headers = whole
    url = f"http://127.0.0.1:{port}{QUESTION}"
    wait_for(url, 200, headers=headers)
    asked = threading.Semaphore(0)

    def ask(_):
        codes = []
        with httpx2.Client(headers=headers, timeout=20) as client:
            for _ in range(60):
                codes.append(client.get(url).status_code)
                asked.release()
        return codes

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(ask, range(4))
        for _ in range(60):  # a quarter of them: the others come while it dies
            assert asked.acquire(timeout=60)
        kill_server(process, port + 2)
        codes = [code for each in answers for code in each]
    assert codes == [200] * 240
    wait_for(f"http://127.0.0.1:{port + 2}/alive", 204)  # it is started again


@pytest.mark.chaos("kill", "API")
@pytest.mark.long
def test_the_breaker_opens_where_no_server_lives_and_closes_when_they_do(whole):
    process, port, headers = whole
    url = f"http://127.0.0.1:{port}{QUESTION}"
    wait_for(url, 200, headers=headers)
    told = set()
    with ThreadPoolExecutor(8) as pool:
        kill_server(process, port + 2)
        kill_server(process, port + 3)
        for answer in pool.map(lambda _: httpx2.get(url, headers=headers, timeout=20), range(40)):
            told.add(answer.text)
    assert "Service Unavailable" in told, "the breaker's words, at once"
    wait_for(url, 200, headers=headers)


@pytest.mark.long
@pytest.mark.chaos("stall", "API")
def test_no_request_is_lost_when_a_server_stalls(whole, tmp_path):
    process, port, headers = whole
    urls = tuple(f"http://127.0.0.1:{port + number}" for number in (2, 3))
    for url in urls:
        wait_for(f"{url}/alive", 204)
    stalled = pid_of(process, port + 2)

    def ask(url):
        with httpx2.Client(headers=headers, timeout=60) as client:
            return [client.get(url).status_code for _ in range(30)]

    options = {"answer_s": 1.0, "requests_per_s": 100_000}
    with opened(tmp_path, urls, **options) as url, ThreadPoolExecutor(2) as pool:
        os.kill(stalled, signal.SIGSTOP)
        try:
            answers = list(pool.map(ask, [url + QUESTION] * 2))
        finally:
            os.kill(stalled, signal.SIGCONT)
    assert answers == [[200] * 30] * 2


def whole_answer(client, url):
    """Return an answer, as whoever asks gets it who asks again.

    One that is torn in its middle the gateway cannot ask for again, and it says 503 while both
    servers seem dead.
    """
    for _ in range(20):
        with suppress(httpx2.TransportError):
            answer = client.get(url)
            if answer.status_code != 503:
                return answer
        time.sleep(0.2)
    raise AssertionError("no whole answer in twenty tries")


@pytest.mark.long
@pytest.mark.chaos("lossy wire", "API")
def test_no_request_is_lost_where_the_wires_to_the_servers_are_bad(whole, tmp_path):
    _, port, headers = whole
    with LossyWire(port + 2, seed=1) as first, LossyWire(port + 3, seed=2) as second:
        urls = tuple(f"http://127.0.0.1:{wire.port}" for wire in (first, second))
        options = {"answer_s": 2.0, "requests_per_s": 100_000}
        with (
            opened(tmp_path, urls, **options) as url,
            httpx2.Client(headers=headers, timeout=60) as client,
        ):
            answers = [whole_answer(client, url + QUESTION) for _ in range(100)]
        resets = first.resets + second.resets
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1, "none is cut"
    assert resets > 3


def lasting_in(folder):
    """Return a program that lasts, whatever its words."""
    program = folder / "lasting"
    program.write_text("#!/bin/sh\nexec sleep 120\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("gate", "server", "told"),
    [
        ("/bin/false", "", "traefik ended with 1"),
        ("", "/bin/false", "a server ended with 1 before any had answered"),
    ],
)
def test_a_gateway_ends_where_a_part_of_it_cannot_begin(gate, server, told, tmp_path, monkeypatch):
    lasting = lasting_in(tmp_path)
    monkeypatch.setattr(gateway, "traefik", lambda: gate or lasting)
    monkeypatch.setattr(sys, "executable", server or lasting)
    opened_at = Gateway("127.0.0.1", 1, 2, ("http://127.0.0.1:3",))
    with pytest.raises(WorkerError, match=told):
        gateway.run(opened_at, tmp_path, [], on_start=pytest.fail)


STARTS_THREE = """
import sys
from pathlib import Path
from pipelines.serve import gateway
lasting = sys.argv[1]
gateway.traefik = lambda: lasting
sys.executable = lasting
servers = ("http://127.0.0.1:3", "http://127.0.0.1:4")
gate = gateway.Gateway("127.0.0.1", 1, 2, servers)
gateway.run(gate, Path(sys.argv[2]), [], on_start=sys.exit)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_gateway_has_started_ends_with_it(number, tmp_path):
    words = [sys.executable, "-c", STARTS_THREE, lasting_in(tmp_path), str(tmp_path)]
    process = subprocess.Popen(words)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until = time.monotonic() + 60
    while len(started := listed.read_text().split()) < 3:
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(10) == -number
    while any(is_alive(child) for child in started):
        assert time.monotonic() < until, "they keep the ports"
        time.sleep(0.1)


def is_alive(child):
    with suppress(OSError):
        return Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def test_a_gateway_for_other_machines_needs_tls(capsys):
    assert cli.main(["gateway", "--host", "0.0.0.0"]) == 2
    assert "Give --cert and --key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"certificate": "cert.pem"}, "goes with its key"),
        ({"client_authority": "ca.pem"}, "over TLS alone"),
        ({"certificate": "none.pem", "key": "none.pem"}, "no file"),
    ],
)
def test_certificates_that_do_not_do_are_refused(options, told, tmp_path):
    files = {name: tmp_path / file for name, file in options.items()}
    with pytest.raises(ParameterError, match=told):
        Gateway("127.0.0.1", 1, 2, (), **files)


@pytest.mark.parametrize(
    ("wrong", "by"),
    [
        ("key", "cert.pem"),
        ("key", "other.pem"),
        ("certificate", "key.pem"),
        ("client_authority", "x"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused(wrong, by, tmp_path):
    authority = trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "x").write_text("no certificate")
    names = {"certificate": "cert.pem", "key": "key.pem", "client_authority": "ca.pem"}
    files = {name: tmp_path / file for name, file in names.items()}
    Gateway("127.0.0.1", 1, 2, (), **files)
    with pytest.raises(ParameterError, match="cannot be used"):
        Gateway("127.0.0.1", 1, 2, (), **{**files, wrong: tmp_path / by})
