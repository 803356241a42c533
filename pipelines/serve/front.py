"""What every request passes: no token, no answer; then what is remembered, then the routes.

It stands before the framework, since looking up a remembered answer takes less than finding its
route. It knows paths alone by their beginning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from cloudarb_lib.base.errors import CloudArbError, DataError, StoreError
from pipelines.serve import faults
from pipelines.serve.answers import FACT
from pipelines.serve.cache import Remembered
from pipelines.serve.tokens import Token, Tokens

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
ALIVE = "/alive"
"""Says that the server lives, and nothing else; the one path that needs no token."""
MAY_I = "/may-i"
"""Says whether a token is good, for a gateway that asks before it lets a request pass."""
MOST_BODY_BYTES = 131_072
_CLIENT = f"{FACT}client".encode()
_READS = ("/offers", "/panels", "/exports", "/runs")
ROUTES = (*_READS, "/plans", "/metrics", "/openapi.json", MAY_I)
"""By whose first word latency is told; any other path is one: whoever asks chooses no label."""
_OK = 200
_FACT = FACT.encode()
Headers = tuple[tuple[bytes, bytes], ...]
"""Names, in lower case, and values."""


class _NotRemembered(Exception):
    """An answer other than 200, which goes to whoever asked and is then forgotten."""

    def __init__(self, status: int, kind: bytes, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.kind = kind
        self.body = body


class Front:
    """The application that a server runs.

    Parameters
    ----------
    app : callable
        The routes, an ASGI application.
    tokens : Tokens
        Who may ask for what.
    edition : callable
        Returns what answers to a path rest on, at this moment.
    redis_url : str
        See ``Remembered``.
    warm : sequence of str
        Paths that are asked for when the server starts.
    timed : callable
        Is told of each answer: first word of the path, status, seconds that it took.

    Attributes
    ----------
    waiting : int
        Requests that wait for their answer now.
    """

    def __init__(
        self,
        app: App,
        tokens: Tokens,
        edition: Callable[[str], str],
        *,
        redis_url: str = "",
        warm: Sequence[str] = (),
        timed: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._edition = edition
        self._warm = warm
        self._timed = timed
        self.waiting = 0
        self.remembered = Remembered(self._made, redis_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or take part in start and end of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == ALIVE:
            await _reply(send, HTTPStatus.NO_CONTENT)
        else:
            await self._answer_timed(scope, receive, send)

    async def _answer_timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        self.waiting += 1
        status = 0

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._answer(scope, receive, noting)
        except CloudArbError as error:
            body = faults.problem(faults.status_of(error), error.what, error.way_out)
            await _reply(noting, faults.status_of(error), faults.MEDIA_TYPE.encode(), body)
        except Exception:
            if not status:
                kind = faults.MEDIA_TYPE.encode()
                await _reply(noting, HTTPStatus.INTERNAL_SERVER_ERROR, kind, faults.unforeseen())
            raise  # to the log
        finally:
            self.waiting -= 1
            first = scope["path"].split("/", 2)[1]
            route = first if f"/{first}" in ROUTES else "other"
            self._timed(route, status or 500, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        token = self._let_in(scope)
        if path == MAY_I:
            await _reply(send, HTTPStatus.NO_CONTENT, facts=((_CLIENT, token.name.encode()),))
        elif scope["method"] == "GET" and path.startswith(_READS):
            try:
                answer = await self.remembered.answer(self._key(scope), scope)
            except _NotRemembered as other:
                await _reply(send, other.status, other.kind, other.body)
            else:
                first, _, body = answer.partition(b"\n")
                kind, facts = _read_first(first)
                await _reply(send, _OK, kind, body, facts=facts)
        else:
            _check_size(scope)
            await self._app(scope, receive, send)

    def _key(self, scope: Scope) -> str:
        """Return what names a question, whatever the order of its parameters, and its edition."""
        path = scope["path"]
        query = b"&".join(sorted(scope["query_string"].split(b"&"))).decode("latin-1")
        return f"{self._edition(path)}:{path}?{query}"

    def _let_in(self, scope: Scope) -> Token:
        """Return who asks; NoToken or NotAllowed where the request may not pass.

        StoreError where nobody can be known.
        """
        header = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        try:
            token = self._tokens.holder(header)
        except DataError as cause:  # where they lie is nothing for a stranger
            what = "no token can be looked up."
            raise StoreError(what, "Whoever runs it sees why: cloudarb tokens list.") from cause
        if token is None:
            raise faults.NoToken(
                "no token, or none that is good.",
                "Send Authorization: Bearer TOKEN; cloudarb tokens add makes one.",
            )
        needed = "plan" if scope["path"].startswith("/plans") else "read"
        if needed not in token.scopes and scope["path"] != MAY_I:
            what = f"the token of {token.name} does not allow to {needed}."
            raise faults.NotAllowed(what, f"Ask for a token with scope {needed}.")
        return token

    async def _made(self, scope: Scope) -> bytes:
        """Return the routes' answer to a request, behind a line of what is told in headers."""
        parts: list[MutableMapping[str, Any]] = []

        async def take(message: MutableMapping[str, Any]) -> None:
            parts.append(message)

        await self._app(dict(scope), _nothing_more, take)
        headers: Headers = tuple(parts[0]["headers"])
        kind = dict(headers).get(b"content-type", b"")
        body = b"".join(part.get("body", b"") for part in parts)
        if parts[0]["status"] != _OK:
            raise _NotRemembered(parts[0]["status"], kind, body)
        return _first_line(kind, headers) + b"\n" + body

    async def _live(self, receive: Receive, send: Send) -> None:
        """Warm the memory up behind a server that answers already; let go at its end."""
        await receive()
        warming = asyncio.create_task(self.warm_up())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        warming.cancel()
        await self.remembered.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def warm_up(self) -> None:
        """Ask for what is likely to be asked for."""
        for path in self._warm:
            where, _, query = path.partition("?")
            scope: Scope = {
                "type": "http",
                "method": "GET",
                "path": where,
                "raw_path": where.encode(),
                "query_string": query.encode(),
                "headers": [],
                "root_path": "",
            }
            try:
                await self.remembered.answer(self._key(scope), scope)
            except _NotRemembered:
                continue  # the run has no such table: whoever asks is told


def _first_line(kind: bytes, headers: Headers) -> bytes:
    """Return the type of an answer, and behind tabs its headers of what it rests on."""
    facts = [name + b": " + value for name, value in headers if name.startswith(_FACT)]
    return b"\t".join([kind, *facts])


@lru_cache(maxsize=512)
def _read_first(line: bytes) -> tuple[bytes, Headers]:
    """Return what ``_first_line`` was made of."""
    kind, *facts = line.split(b"\t")
    pairs = (fact.partition(b": ") for fact in facts)
    return kind, tuple((name, value) for name, _, value in pairs)


def _check_size(scope: Scope) -> None:
    """Refuse a body that is too large, or does not say how large it is; TooLarge."""
    headers = dict(scope["headers"])
    size_bytes = int(headers.get(b"content-length", b"0"))
    if size_bytes > MOST_BODY_BYTES or b"transfer-encoding" in headers:
        what = f"a body of {size_bytes or 'unknown'} bytes is more than {MOST_BODY_BYTES:,}."
        raise faults.TooLarge(what, "Send less, with its content-length.")


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _reply(
    send: Send, status: int, kind: bytes = b"", body: bytes = b"", *, facts: Headers = ()
) -> None:
    headers = [*facts]
    if kind:
        headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"content-type", kind))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
