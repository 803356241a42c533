"""The one door to the network: requests to a provider, bounded, tried again, and counted."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import httpx2
import pandas as pd
import stamina
from aiolimiter import AsyncLimiter

from cloudarb_lib.live.breakers import Breakers
from cloudarb_lib.live.errors import FetchError, TransientError
from cloudarb_lib.live.limits import Limits
from cloudarb_lib.live.secrets import without_secrets

Result = TypeVar("Result")

TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_REFUSED_STATUSES = (401, 403)
_CHUNK_BYTES = 2**16
logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes addresses with their keys
stamina.instrumentation.set_on_retry_hooks([])  # retries are counted here, not logged


@dataclass(frozen=True)
class Answer:
    """What a service answered.

    Parameters
    ----------
    url : str
        What was asked, without secrets.
    headers : mapping
        By name, in lower case.
    body : bytes
        Decompressed.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; ``Client.get_json`` has seen that it is."""
        return json.loads(self.body)


@dataclass
class Traffic:
    """What the requests to a provider cost.

    Parameters
    ----------
    latencies_s : list of float
        Of each attempt that was answered to its end.
    clock_off_s : float
        By how much the provider's clock is ahead of ours, the largest that was seen.
    """

    requests: int = 0
    retries: int = 0
    failures: int = 0
    bytes: int = 0
    latencies_s: list[float] = field(default_factory=list)
    clock_off_s: float = 0.0


class Client(AbstractAsyncContextManager["Client"]):
    """Asks one provider.

    Parameters
    ----------
    provider : str
        Whose breaker counts the failures.
    limits : Limits
        What bounds the requests.
    breakers : Breakers
        Those of all providers.
    clock : callable
        Returns the time, in UTC.
    folder : Path
        Where files are streamed to; they are the caller's to remove.

    Attributes
    ----------
    traffic : Traffic
        What was asked so far.
    notices : list of str
        Sentences of the feeds for whoever reads the summary.
    """

    def __init__(
        self,
        provider: str,
        limits: Limits,
        breakers: Breakers,
        *,
        clock: Callable[[], pd.Timestamp],
        folder: Path,
    ) -> None:
        self.provider = provider
        self.limits = limits
        self.traffic = Traffic()
        self.notices: list[str] = []
        self._breakers = breakers
        self._clock = clock
        self._folder = folder
        self._slots = asyncio.Semaphore(limits.concurrent)
        self._rate = AsyncLimiter(max(1.0, limits.per_second), max(1.0, 1 / limits.per_second))
        self._threads = ThreadPoolExecutor(limits.concurrent, thread_name_prefix=provider)
        self._http = httpx2.AsyncClient(
            follow_redirects=True, max_redirects=5, timeout=limits.timeout_s
        )

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._http.aclose()

    def notice(self, sentence: str) -> None:
        """Tell whoever reads the summary something that is no failure."""
        self.notices.append(sentence)

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return what is at an address.

        Raises
        ------
        FetchError
            Where it is refused or not there, or fails at every attempt.
        """
        request = self._http.build_request("GET", url, params=params, headers=headers)
        return await self._tried(lambda: self._read(request))

    async def get_json(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        """Return what is at an address, and what is no whole JSON is asked for again.

        Parameters
        ----------
        url : str
            The address.
        params, headers : mapping, optional
            As the service wants them.
        body : object, optional
            What is sent (POST) as JSON.

        Raises
        ------
        FetchError
            As ``get``; also where the answer is no JSON at any attempt.
        """
        method = "GET" if body is None else "POST"
        request = self._http.build_request(method, url, params=params, headers=headers, json=body)

        async def once() -> Answer:
            answer = await self._read(request)
            try:
                answer.json()
            except ValueError as cause:
                kind = answer.headers.get("content-type", "no content type")
                what = f"{answer.url} answered no whole JSON ({kind}, {len(answer.body)} bytes)."
                raise TransientError(what, "Look at what it answers.") from cause
            return answer

        return await self._tried(once)

    async def download(self, url: str, *, headers: Mapping[str, str] | None = None) -> Path:
        """Stream what is at an address into a file and return it; it is the caller's to remove.

        Raises
        ------
        FetchError
            As ``get``.
        """
        request = self._http.build_request("GET", url, headers=headers)

        async def once() -> Path:
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                path = Path(file.name)
                try:
                    async with self._answer(request) as response:
                        async for chunk in response.aiter_bytes(_CHUNK_BYTES):
                            file.write(chunk)
                            self.traffic.bytes += len(chunk)
                except BaseException:
                    path.unlink()
                    raise
            return path

        return await self._tried(once, timeout_s=self.limits.download_timeout_s)

    async def call(
        self, function: Callable[[], Result], *, fault: Callable[[Exception], FetchError]
    ) -> Result:
        """Return what a function of another client says, run in a thread under the same bounds.

        Parameters
        ----------
        function : callable
            One request, which that client must not try again itself.
        fault : callable
            Makes of what it raises a ``FetchError``, or a ``TransientError`` where another attempt
            may help.

        Raises
        ------
        FetchError
            As ``fault`` has it.
        """

        async def once() -> Result:
            loop = asyncio.get_running_loop()
            try:
                return await loop.run_in_executor(self._threads, function)
            except Exception as cause:
                raise fault(cause) from cause

        return await self._tried(once)

    async def _tried(
        self, once: Callable[[], Awaitable[Result]], *, timeout_s: float | None = None
    ) -> Result:
        """Carry out a request, again where that helps, under the breaker of the provider."""
        limits = self.limits
        self.traffic.requests += 1
        attempts = stamina.retry_context(
            on=self._wait_before_another,
            attempts=limits.attempts,
            timeout=None,
            wait_initial=limits.first_wait_s,
            wait_max=limits.longest_wait_s,
            wait_jitter=limits.first_wait_s,
        )
        try:
            async with self._breakers.guard(self.provider, limits):
                async for attempt in attempts:
                    with attempt:
                        self.traffic.retries += attempt.num > 1
                        return await self._once(once, timeout_s or limits.timeout_s)
        except FetchError:
            self.traffic.failures += 1
            raise
        raise AssertionError("stamina tries at least once")

    async def _once(self, once: Callable[[], Awaitable[Result]], timeout_s: float) -> Result:
        """Carry out one attempt when there is room for it; time it."""
        async with self._slots:
            await self._rate.acquire()
            began = monotonic()
            try:
                async with asyncio.timeout(timeout_s):
                    result = await once()
            except TimeoutError as cause:
                what = f"{self.provider} did not answer within {timeout_s:g} s."
                raise TransientError(what, "Try again later.") from cause
        self.traffic.latencies_s.append(monotonic() - began)
        return result

    def _wait_before_another(self, cause: Exception) -> bool | float:
        """Tell whether another attempt may help, or how many seconds to wait for it."""
        if not isinstance(cause, TransientError):
            return False
        if cause.retry_after_s is None:
            return True
        return cause.retry_after_s if cause.retry_after_s <= self.limits.longest_wait_s else False

    async def _read(self, request: httpx2.Request) -> Answer:
        """Return an answer whose body fits into memory."""
        async with self._answer(request) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes(_CHUNK_BYTES):
                body += chunk
                if len(body) > self.limits.largest_body:
                    url = without_secrets(str(request.url))
                    what = f"{url} answered more than {self.limits.largest_body} bytes."
                    raise FetchError(what, "Look at what it answers.")
        self.traffic.bytes += len(body)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(without_secrets(str(request.url)), headers, bytes(body))

    @asynccontextmanager
    async def _answer(self, request: httpx2.Request) -> AsyncIterator[httpx2.Response]:
        """Send a request; yield the answer, its body to be read, where it is a good one."""
        url = without_secrets(str(request.url))
        try:
            response = await self._http.send(request, stream=True)
            try:
                self._note_clock(response)
                self._check(response, url)
                yield response
            finally:
                await response.aclose()
        except httpx2.TransportError as cause:
            what = f"{url} could not be read: {type(cause).__name__}."
            raise TransientError(what, "Check the network, or try again later.") from cause
        except (httpx2.HTTPError, httpx2.InvalidURL) as cause:
            raise FetchError(f"{url} could not be read: {type(cause).__name__}.") from cause

    def _check(self, response: httpx2.Response, url: str) -> None:
        """Raise FetchError where the status is none of success."""
        status = response.status_code
        if status in TRANSIENT_STATUSES:
            wait_s = retry_after_s(response.headers.get("retry-after", ""), self._clock())
            raise TransientError(
                f"{url} answered {status}.", "Try again later.", retry_after_s=wait_s
            )
        if status in _REFUSED_STATUSES:
            raise FetchError(f"{url} refused us ({status}).", "Check the credentials.")
        if not 200 <= status < 300:
            raise FetchError(f"{url} answered {status}.", "Look at what it answers.")

    def _note_clock(self, response: httpx2.Response) -> None:
        try:
            theirs = pd.Timestamp(parsedate_to_datetime(response.headers["date"]))
            off_s = (theirs - self._clock()).total_seconds()
        except (KeyError, ValueError, TypeError):  # none, or one that is no time
            return
        if abs(off_s) > abs(self.traffic.clock_off_s):
            self.traffic.clock_off_s = off_s


def retry_after_s(value: str, now: pd.Timestamp) -> float | None:
    """Return how many seconds a header Retry-After wants us to wait; None where it says nothing.

    Parameters
    ----------
    value : str
        Seconds, or a date of HTTP.
    now : Timestamp
        Time of the answer, in UTC.
    """
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (pd.Timestamp(parsedate_to_datetime(value)) - now).total_seconds())
    except (ValueError, TypeError):
        return None
