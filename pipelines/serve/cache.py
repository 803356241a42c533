"""Answers remembered in memory for a minute, in Redis for an hour, else made of snapshots.

A key carries what the answer rests on (a snapshot, or the runs), so a new snapshot is answered from
at once. In memory an answer is fresh for a minute; then it is given once more while a new one is
made. Whoever asks for what is being made waits for it: it is made once. Redis holds bytes that are
never unpickled, and without it, or where it fails, answers are made of snapshots. What was given
within the last second is at hand, and nothing else is asked: to ask takes longer than to answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cashews import Cache

from cloudarb_lib import __version__

_REDIS_LOG = logging.getLogger("cashews.backends.redis.client")
_TOLD_AGAIN_S = 60.0
Make = Callable[[Any], Awaitable[bytes]]


class _Seldom(logging.Filter):
    """Lets a fault of Redis into the log once a minute, in a line; cashews tells each at length."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if time.monotonic() - self._told_s < _TOLD_AGAIN_S:
            return False
        self._told_s = time.monotonic()
        why = record.exc_info[1] if record.exc_info else record.getMessage()
        record.msg = f"answers are made without Redis: {why}"
        record.args = None
        record.exc_info = None
        return True


@dataclass
class Remembered:
    """Answers by key.

    Parameters
    ----------
    make : callable
        Makes an answer of a question; where it raises, nothing is remembered.
    redis_url : str
        Such as redis://127.0.0.1:6379; '' for none.
    fresh_s, shared_s : float
        How long an answer is fresh in memory, and how long Redis keeps it.
    at_hand_s : float
        How long what was just given is given again without looking whether it is fresh.
    most_answers : int
        Of these in memory; the one asked for longest ago goes first.

    Attributes
    ----------
    asked, made : int
        How often an answer was asked for, and how often one had to be made, in the background too.
    at_hand : dict
        By key until when (of the monotonic clock, s) which answer is given again at once.
    """

    make: Make
    redis_url: str = ""
    fresh_s: float = 60.0
    shared_s: float = 3600.0
    at_hand_s: float = 1.0
    most_answers: int = 512
    asked: int = field(default=0, init=False)
    made: int = field(default=0, init=False)
    at_hand: dict[str, tuple[float, bytes]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._memory = Cache()
        self._memory.setup(f"mem://?size={self.most_answers}&check_interval=10")
        self._redis = Cache()
        self._seldom = _Seldom()
        shared = self._make
        if self.redis_url:
            self._redis.setup(self.redis_url, suppress=True)
            _REDIS_LOG.addFilter(self._seldom)
            shared = self._redis(ttl=self.shared_s, key="{key}", prefix="")(self._make)
        self._answer = self._memory.early(ttl=self.shared_s, early_ttl=self.fresh_s, key="{key}")(
            shared
        )

    async def answer(self, key: str, question: Any) -> bytes:
        """Return the answer to a question, remembered or made.

        Parameters
        ----------
        key : str
            Names the question and what its answer rests on.
        question : object
            What ``make`` takes.
        """
        self.asked += 1
        now_s = time.monotonic()
        until_s, answer = self.at_hand.get(key, (now_s, b""))
        if now_s < until_s:
            return answer
        answer = await self._answer(f"cloudarb:{__version__}:{key}", question)
        if len(self.at_hand) >= self.most_answers:
            self.at_hand.clear()
        self.at_hand[key] = (now_s + self.at_hand_s, answer)
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        await self._memory.close()
        if self.redis_url:
            await self._redis.close()
            _REDIS_LOG.removeFilter(self._seldom)

    async def _make(self, key: str, question: Any) -> bytes:
        self.made += 1
        return await self.make(question)
