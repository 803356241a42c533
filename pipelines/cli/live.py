"""What the verbs of live prices share: the clock, the options, and how progress is shown."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from cloudarb_lib.base.errors import ParameterError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.live.fetching import Fetched

EndpointOption = Annotated[
    list[str] | None,
    typer.Option(metavar="FEED=URL", help="ask a feed's service there: a mirror, or a test"),
]
_LINE_EVERY_S = 15.0


def utc_now() -> pd.Timestamp:
    """Return the time, in UTC."""
    import pandas as pd

    return pd.Timestamp.now("UTC")


def environment() -> dict[str, str]:
    """Return the environment variables, for feeds that find their keys there."""
    return dict(os.environ)


def endpoints_of(words: Sequence[str] | None) -> dict[str, str]:
    """Return addresses by feed.

    Parameters
    ----------
    words : sequence of str, optional
        Each FEED=URL.

    Raises
    ------
    ParameterError
        Where one has no address, or names no feed.
    """
    from cloudarb_lib.live.registry import registered

    names = [feed.name for feed in registered()]
    endpoints = {}
    for word in words or ():
        name, _, url = word.partition("=")
        if name not in names:
            raise ParameterError(
                f"no feed {name!r}{did_you_mean(name, names)}.", f"Use {', '.join(names)}."
            )
        if not url.startswith(("http://", "https://")):
            raise ParameterError(f"{word!r} names no address.", f"Write {name}=https://...")
        endpoints[name] = url.rstrip("/")
    return endpoints


def start_of(text: str) -> pd.Timestamp:
    """Return when a day of UTC begins, or the time that is given with its zone."""
    from cloudarb_lib.base.units import ensure_utc

    is_day = len(text) == len("2026-01-01")
    return ensure_utc(f"{text}T00:00Z" if is_day else text, "since")


@contextmanager
def shown_progress() -> Iterator[Callable[[Fetched], None]]:
    """Yield what is told of each part that was fetched, and shows how far it is on stderr.

    A terminal gets a bar; elsewhere a line is written now and then.
    """
    bar = tqdm(desc="fetching", unit="part", disable=not sys.stderr.isatty(), leave=False)
    began = time.monotonic()
    written = began
    ended = 0

    def tell(fetched: Fetched) -> None:
        nonlocal ended, written
        ended += 1
        bar.update()
        now = time.monotonic()
        if bar.disable and now - written >= _LINE_EVERY_S:
            last = f"{fetched.feed.name} {fetched.part.name}"
            print(f"fetching, part {ended} ({last}), {now - began:.0f} s", file=sys.stderr)
            written = now

    with bar:
        yield tell
