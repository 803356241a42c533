"""A circuit breaker for each provider, whose state outlives the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import Context, OpenedState

from cloudarb_lib.live.errors import ProviderClosed, TransientError
from cloudarb_lib.live.limits import Limits


@dataclass(frozen=True)
class BreakerState:
    """Where a circuit breaker stands.

    Parameters
    ----------
    provider : str
        Whose it is.
    state : str
        closed (requests pass), opened (none does) or half-opened (the next one decides).
    failures : int
        Requests that failed for good, in a row.
    opened_at : float, optional
        When it opened, in seconds since 1970.
    """

    provider: str
    state: str = "closed"
    failures: int = 0
    opened_at: float | None = None

    def no_later_than(self, now_s: float) -> BreakerState:
        """Return it as opened by now: a clock that was ahead would keep it open for as long.

        Parameters
        ----------
        now_s : float
            Seconds since 1970.
        """
        if self.opened_at is None or self.opened_at <= now_s:
            return self
        return replace(self, opened_at=now_s)


class Breakers:
    """The circuit breakers of all providers.

    Parameters
    ----------
    known : iterable of BreakerState
        Where they stood when a process ended.
    save : callable
        Is given each state that changed, at once.
    """

    def __init__(
        self, known: Iterable[BreakerState] = (), save: Callable[[BreakerState], None] | None = None
    ) -> None:
        self._states = {state.provider: state for state in known}
        self._save = save
        self._factory = AsyncCircuitBreakerFactory(
            exclude=[(BaseException, lambda cause: not isinstance(cause, TransientError))]
        )
        self._factory.add_listener(self._on_event)

    def state_of(self, provider: str) -> BreakerState:
        """Return where the breaker of a provider stands."""
        return self._states.get(provider, BreakerState(provider))

    @asynccontextmanager
    async def guard(self, provider: str, limits: Limits) -> AsyncIterator[None]:
        """Let a request through, and learn from how it ends.

        Raises
        ------
        ProviderClosed
            Where the breaker is open.
        """
        await self._restore(provider, limits)
        breaker = await self._factory.get_breaker(
            provider, threshold=limits.failures_to_open, ttl=limits.open_s
        )
        try:
            async with breaker:
                yield
        except OpenedState as cause:
            what = f"{provider} failed {limits.failures_to_open} times in a row and is not asked."
            way_out = f"It is tried again {limits.open_s:.0f} s after the last failure."
            raise ProviderClosed(what, way_out) from cause

    async def _restore(self, provider: str, limits: Limits) -> None:
        """Put a breaker that stood open before this process back to where it was."""
        contexts = self._factory.uow.contexts
        known = self._states.get(provider)
        if known is None or await contexts.get(provider) is not None:
            return
        context = Context(
            provider,
            limits.failures_to_open,
            limits.open_s,
            state=known.state,  # type: ignore[arg-type]
            failure_count=known.failures,
            opened_at=known.opened_at,
        )
        await contexts.register(context)

    def _on_event(self, provider: str, kind: str, event: Any) -> None:
        before = self.state_of(provider)
        if kind == "state_changed":
            failures = 0 if event.state == "closed" else before.failures
            state = BreakerState(provider, event.state, failures, event.opened_at)
        elif kind == "failed":
            state = BreakerState(provider, before.state, event.failure_count, before.opened_at)
        elif kind == "recovered":
            state = BreakerState(provider, before.state, 0, before.opened_at)
        else:
            return
        self._states[provider] = state
        if self._save is not None:
            self._save(state)
