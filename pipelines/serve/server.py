"""A server of it all: which parts stand together, and on which address it listens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pandas as pd
import uvicorn
from prometheus_client import Histogram

from cloudarb_lib.base import locations
from cloudarb_lib.store import open_snapshot
from pipelines.observe.metrics import Observed, latency, registry, waiting
from pipelines.serve.api import api
from pipelines.serve.front import Front
from pipelines.serve.plans import Plans
from pipelines.serve.protocol import WholeAnswers
from pipelines.serve.records import NEWEST, Folders, Records, Run
from pipelines.serve.tokens import Tokens, tokens_file

WARM_TABLES = ("plan", "plan/explanation", "risk", "alarms", "lookback", "forecast")


def front(folders: Folders, redis_url: str = "") -> Front:
    """Return the application that a server runs.

    Parameters
    ----------
    folders : Folders
        What is served; the bundled store is built where data/store is not there yet.
    redis_url : str
        Where answers are shared with other servers; '' for nowhere.
    """
    is_default = folders.store == locations.store()
    open_snapshot("" if is_default else folders.store).close()  # there, and readable
    folders.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    records = Records(folders.store, folders.reports, clock=utc_now)
    metrics = registry(Observed(folders.store, folders.reports))
    seconds = latency(metrics)
    application = api(records, Plans(folders.state / "plans", folders.store), metrics)
    stands = Front(
        application,
        Tokens(tokens_file(folders.state)),
        records.edition,
        redis_url=redis_url,
        warm=warm_paths(records.runs()),
        timed=_timer(seconds),
    )
    waiting(metrics, lambda: float(stands.waiting))
    return stands


def _timer(seconds: Histogram) -> Callable[[str, int, float], None]:
    """Return what notes an answer; to find the part of a histogram takes as long as to note."""
    of = lru_cache(maxsize=256)(lambda route, status: seconds.labels(route, status))
    return lambda route, status, taken_s: of(route, status).observe(taken_s)


def utc_now() -> pd.Timestamp:
    """Return the time, in UTC."""
    return pd.Timestamp.now("UTC")


def warm_paths(runs: list[Run]) -> list[str]:
    """Return what is likely to be asked for: the newest run, and the market that it saw."""
    if not runs:
        return ["/offers", "/runs"]
    of_run = [f"/runs/{NEWEST}/{table}" for table in WARM_TABLES]
    return ["/runs", *of_run, f"/offers?as_of={runs[0].head['as_of']}", "/offers"]


class _Told(uvicorn.Server):
    """uvicorn's server, which tells that it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._on_start()


def serve(
    folders: Folders, *, host: str, port: int, on_start: Callable[[], None], redis_url: str = ""
) -> None:
    """Answer requests until stopped.

    Parameters
    ----------
    folders : Folders
        What is served.
    host : str
        Address to listen on.
    port : int
        Port.
    on_start : callable
        Is called once the server listens: whoever asks from then on is answered.
    redis_url : str
        As ``front``.

    Raises
    ------
    StoreError
        Where the store cannot be opened; nothing listens then.
    """
    config = uvicorn.Config(
        front(folders, redis_url),
        http=WholeAnswers,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        lifespan="on",
    )
    with suppress(KeyboardInterrupt):  # it has ended as asked
        _Told(config, on_start).run()
