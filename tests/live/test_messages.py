"""Messages against servers that are well, slow, gone, or answer with faults."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from werkzeug import Response

from cloudarb_lib.live import messages
from cloudarb_lib.live.messages import DeliveryError, MailServer, mail, post


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "FIRST_WAIT_S", 0.0)


class Mailbox(socketserver.ThreadingTCPServer):
    """A mail server of a few lines: keeps what it is sent, and answers as it is told."""

    daemon_threads = True

    def __init__(self, answers: dict[str, str], wait_s: float) -> None:
        self.letters: list[str] = []
        self.greetings = 0
        self.answers = answers
        self.wait_s = wait_s
        super().__init__(("127.0.0.1", 0), Session)


class Session(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.server.greetings += 1
        time.sleep(self.server.wait_s)
        self.say(self.server.answers.get("GREET", "220 here"))
        for line in self.rfile:
            verb = line.decode().split()[0].upper()
            self.say(self.server.answers.get(verb, "354 go on" if verb == "DATA" else "250 well"))
            if verb == "DATA":
                self.server.letters.append(self.letter())
                self.say("250 kept")
            if verb == "QUIT":  # answered wrongly: the mail is delivered all the same
                return

    def letter(self) -> str:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(lines).decode()

    def say(self, answer: str) -> None:
        self.wfile.write(f"{answer}\r\n".encode())


@contextmanager
def mailbox(answers: dict[str, str] | None = None, wait_s: float = 0.0) -> Iterator[Mailbox]:
    with Mailbox(answers or {}, wait_s) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def send(port: int, timeout_s: float = 5.0, login: tuple[str, str] | None = None) -> None:
    server = MailServer("127.0.0.1", port, "none", login)
    letter = {"sender": "a@b.c", "to": ["d@e.f", "g@h.i"], "subject": "Prices", "text": "rose"}
    mail(server, **letter, timeout_s=timeout_s)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_mail_arrives() -> None:
    with mailbox() as box:
        send(box.server_address[1])
    (letter,) = box.letters
    assert "To: d@e.f, g@h.i" in letter
    assert "Subject: Prices" in letter
    assert "rose" in letter


@pytest.mark.parametrize(
    ("answers", "told", "greetings"),
    [
        ({"RCPT": "550 nobody here"}, "could not be told in 3 attempts: SMTPRec", 3),
        ({"MAIL": "451 later"}, "could not be told in 3 attempts", 3),
        ({"GREET": "421 full"}, "could not be told in 3 attempts", 3),
        ({"DATA": "554 no"}, "does not take the mail: it answered 554", 1),
    ],
)
def test_a_mail_server_with_faults(answers: dict[str, str], told: str, greetings: int) -> None:
    with mailbox(answers) as box, pytest.raises(DeliveryError, match=told):
        send(box.server_address[1])
    assert greetings == box.greetings
    assert box.letters == []


@pytest.mark.slow
def test_a_slow_mail_server_is_given_up() -> None:
    with (
        mailbox(wait_s=0.3) as box,
        pytest.raises(DeliveryError, match="in 3 attempts: SMTPServer"),
    ):
        send(box.server_address[1], timeout_s=0.05)


def test_a_mail_server_that_is_not_there() -> None:
    with pytest.raises(DeliveryError, match="in 3 attempts: ConnectionRefusedError"):
        send(closed_port())


def test_a_password_is_not_sent_in_the_open() -> None:
    server = MailServer("127.0.0.1", 0, "starttls", ("user", "hidden"))
    assert "hidden" not in repr(server)
    with mailbox() as box:  # it offers no TLS
        secured = MailServer("127.0.0.1", box.server_address[1], "starttls", ("user", "hidden"))
        with pytest.raises(DeliveryError):
            mail(secured, sender="a@b.c", to=["d@e.f"], subject="s", text="t")
    assert box.letters == []


@pytest.mark.slow
def test_a_webhook_that_is_slow_or_gone(httpserver) -> None:
    httpserver.expect_request("/slow").respond_with_handler(lambda _: time.sleep(0.3) or "")
    with pytest.raises(DeliveryError, match="in 3 attempts: ReadTimeout"):
        post(httpserver.url_for("/slow"), {}, timeout_s=0.05)
    with pytest.raises(DeliveryError, match="in 3 attempts: ConnectError"):
        post(f"http://127.0.0.1:{closed_port()}/x", {})


def test_a_webhook_that_is_well_again(httpserver) -> None:
    answers = [Response(status=500), Response("fine")]
    hook = httpserver.expect_request("/hook", json={"a": 1})
    hook.respond_with_handler(lambda _: answers.pop(0))
    post(httpserver.url_for("/hook"), {"a": 1})
    assert not answers


def test_a_webhook_that_leads_elsewhere_is_not_followed(httpserver) -> None:
    elsewhere = {"Location": "http://example.org/"}
    httpserver.expect_request("/moved").respond_with_data(status=302, headers=elsewhere)
    with pytest.raises(DeliveryError, match="answered 302"):
        post(httpserver.url_for("/moved"), {})
