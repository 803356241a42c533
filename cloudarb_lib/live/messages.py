"""Messages to people and their tools: JSON to an address, and mail. Bounded, and tried again."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage

import httpx2
import stamina

from cloudarb_lib.base.errors import CloudArbError

TIMEOUT_S = 10.0
"""Seconds for an answer, at each attempt."""
ATTEMPTS = 3
FIRST_WAIT_S = 0.5
"""Before the second attempt; twice that before the third."""


class DeliveryError(CloudArbError):
    """A message could not be delivered."""

    exit_code = 13


class _TryAgain(Exception):
    """A fault that may pass."""


@dataclass(frozen=True)
class MailServer:
    """A server that takes mail.

    Parameters
    ----------
    host, port : str, int
        Where it listens.
    security : str
        ``starttls``, ``tls`` or ``none``.
    login : tuple of str, optional
        User and password; not shown.
    """

    host: str
    port: int
    security: str
    login: tuple[str, str] | None = field(default=None, repr=False)


def post(address: str, body: Mapping[str, object], *, timeout_s: float = TIMEOUT_S) -> None:
    """Send JSON to an address, which is a secret: no message of ours names it.

    Raises
    ------
    DeliveryError
        Where no attempt was answered well.
    """

    def once() -> None:
        try:
            with httpx2.stream("POST", address, json=body, timeout=timeout_s) as answer:
                status = answer.status_code  # the body says nothing that we need
        except (httpx2.HTTPError, httpx2.InvalidURL) as cause:
            raise _TryAgain(type(cause).__name__) from None  # its text may hold the address
        if status >= 500 or status == 429:
            raise _TryAgain(f"it answered {status}")
        if not 200 <= status < 300:
            raise DeliveryError(f"the webhook answered {status}.", "Check its address.")

    _tried("the webhook", once)


def mail(
    server: MailServer,
    *,
    sender: str,
    to: Sequence[str],
    subject: str,
    text: str,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Send a mail of plain text.

    Raises
    ------
    DeliveryError
        Where the server could not be reached, or did not take it.
    """
    letter = EmailMessage()
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    letter["Subject"] = subject
    letter.set_content(text)

    def once() -> None:
        try:
            session = _connected(server, timeout_s)
            if server.login:
                session.login(*server.login)
            session.send_message(letter)
            with suppress(smtplib.SMTPException, OSError):  # it has taken the mail already
                session.quit()
        except smtplib.SMTPResponseException as cause:
            answered = f"it answered {cause.smtp_code}"
            if 400 <= cause.smtp_code < 500:
                raise _TryAgain(answered) from None
            what = f"the mail server {server.host} does not take the mail: {answered}."
            raise DeliveryError(what, "Check sender, user and password.") from None
        except (OSError, smtplib.SMTPException) as cause:
            raise _TryAgain(type(cause).__name__) from None

    _tried(f"the mail server {server.host}", once)


def _connected(server: MailServer, timeout_s: float) -> smtplib.SMTP:
    """Return a session with a server, secured as it asks."""
    context = ssl.create_default_context()
    if server.security == "tls":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_s, context=context)
    session = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    if server.security == "starttls":
        session.starttls(context=context)
    return session


def _tried(who: str, once: Callable[[], None]) -> None:
    """Call ``once`` until it does not ask to try again."""
    attempts = stamina.retry_context(
        on=_TryAgain, attempts=ATTEMPTS, timeout=None, wait_initial=FIRST_WAIT_S, wait_jitter=0.0
    )
    try:
        for attempt in attempts:
            with attempt:
                once()
    except _TryAgain as fault:
        what = f"{who} could not be told in {ATTEMPTS} attempts: {fault}."
        raise DeliveryError(what, "Is it up? The next look tries again.") from None
