"""``cloudarb tokens``: who may ask the server for what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    from pipelines.serve.tokens import Tokens

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="whose it is")]


def tokens_add(
    name: NameArgument,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="read|plan ...", help="what it allows  [default: read]"),
    ] = None,
) -> int:
    """Make a token, and print it once.

    Only its digest is stored. With scope plan its holder may have plans made.
    """
    print(_tokens().add(name, scopes or ["read"], _now()))
    return DONE


def tokens_list() -> int:
    """List who has a token, what it allows, and since when.

    Revoked tokens stay in the list.
    """
    tokens = _tokens().all()
    if not tokens:
        print("nobody has a token: cloudarb tokens add NAME")
    for token in tokens:
        ended = f", revoked {token.revoked_at}" if token.revoked_at else ""
        print(f"{token.name:<24}{' '.join(token.scopes):<12}since {token.created_at}{ended}")
    return DONE


def tokens_revoke(name: NameArgument) -> int:
    """Refuse a token from now on.

    Running servers refuse it with the next request.
    """
    _tokens().revoke(name, _now())
    print(f"revoked the token of {name}")
    return DONE


def _tokens() -> Tokens:
    from pipelines.serve.tokens import Tokens, tokens_file

    return Tokens(tokens_file())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
