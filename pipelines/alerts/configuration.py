"""Files of alerts: what is watched, by which rules, and who is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from cloudarb_lib.base.discovery import classes_in
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Names, Text, read, record
from cloudarb_lib.live.messages import MailServer
from pipelines.alerts import kinds
from pipelines.alerts.rule import Rule

FILES = "data/alerts*.yaml"
"""The project's own files of alerts."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_Variable = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable, which holds what no file should."""


@record
class Webhook:
    """An address to which alerts are posted as JSON, such as that of a chat."""

    address_from: _Variable


@record
class Mail:
    """To whom alerts are mailed, and by which server."""

    to: Annotated[Names, Field(min_length=1)]
    sender: Text
    server: Text
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user_from: _Variable | None = None
    password_from: _Variable | None = None

    def __post_init__(self) -> None:
        if self.security == "none" and self.server not in LOOPBACK:
            what = f"security is none, but {self.server} is not this machine."
            raise ParameterError(what, "Use starttls or tls.")
        if (self.user_from is None) != (self.password_from is None):
            raise ParameterError(
                "user_from and password_from go together.", "Give both, or neither."
            )


@dataclasses.dataclass(frozen=True)
class Alerts:
    """A checked file of alerts.

    Parameters
    ----------
    watch : str
        Name of the configuration whose runs are watched.
    rules : tuple of Rule
        In the file's order of kinds.
    webhook : Webhook or None
        Where alerts are posted.
    mail : Mail or None
        To whom alerts are mailed.
    """

    watch: str
    rules: tuple[Rule, ...]
    webhook: Webhook | None
    mail: Mail | None


def load_alerts(path: Path) -> Alerts:
    """Read and check a file of alerts.

    Raises
    ------
    ParameterError
        Naming file, line and key.
    """
    of_key = {kind.key: kind for kind in classes_in(kinds, Rule)}  # type: ignore[type-abstract]
    rules: Any = record(
        dataclasses.make_dataclass(
            "Rules", [(key, kind | None, None) for key, kind in of_key.items()], frozen=True
        )
    )
    fields: list[Any] = [
        ("watch", Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")]),
        ("rules", rules),
        ("webhook", Webhook | None, None),
        ("mail", Mail | None, None),
    ]
    file: Any = read(record(dataclasses.make_dataclass("File", fields, frozen=True)), path, FILES)
    given = tuple(rule for rule in vars(file.rules).values() if rule is not None)
    if not given:
        raise ParameterError(f"{path.name} has no rule.", f"Use {', '.join(of_key)}.")
    return Alerts(file.watch, given, file.webhook, file.mail)


def webhook_address(webhook: Webhook, environment: Mapping[str, str]) -> str:
    """Return the address of a webhook.

    Raises
    ------
    ParameterError
        Where the environment variable is not set, or holds no address that may be used. The
        address itself is never told.
    """
    address = _secret(webhook.address_from, environment)
    parts = urlsplit(address)
    is_ours = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (is_ours or (parts.scheme == "https" and parts.hostname)):
        what = f"{webhook.address_from} holds no address that starts with https://."
        raise ParameterError(what, "http:// is for this machine alone.")
    return address


def mail_server(mail: Mail, environment: Mapping[str, str]) -> MailServer:
    """Return the server by which alerts are mailed; ParameterError where a variable is not set."""
    login = None
    if mail.user_from and mail.password_from:
        user = _secret(mail.user_from, environment)
        login = (user, _secret(mail.password_from, environment))
    return MailServer(mail.server, mail.port, mail.security, login)


def _secret(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name, "")
    if not value:
        what = f"the environment variable {name}, which the file of alerts names, is not set."
        raise ParameterError(what, f"Set it: export {name}=...")
    return value
