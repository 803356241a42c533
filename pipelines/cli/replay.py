"""``cloudarb replay``: kept answers read again."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.live import start_of, utc_now
from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DONE


def replay(
    feed: Annotated[
        list[str] | None, typer.Option(metavar="FEED", help="feeds  [default: each]")
    ] = None,
    since: Annotated[str, typer.Option(metavar="DATE", help="answers from then on")] = "",
    into: Annotated[
        str, typer.Option(metavar="FOLDER", help="another store to fill  [default: the same]")
    ] = "",
    store: StoreOption = "",
) -> int:
    """Read the kept answers again, as the sources now read them.

    In the same store, rows that were held back before land now, and what is there already changes
    nothing. A price that is now read otherwise than it was stored is held back, since the two
    disagree: for a corrected record fill another store.
    """
    from cloudarb_lib.live.collect import opened
    from cloudarb_lib.live.replay import replay as read_again

    with opened(store, [], clock=utc_now) as collector:
        publication = read_again(
            collector.journal,
            store,
            into=into or None,
            feeds=feed or (),
            since=start_of(since) if since else None,
            now=utc_now(),
        )
    outcomes = publication.outcomes
    print(
        f"{len(outcomes)} answers, {sum(one.rows for one in outcomes):,} rows:"
        f" changed {sum(one.changed for one in outcomes):,},"
        f" unchanged {sum(one.unchanged for one in outcomes):,},"
        f" held {sum(one.held for one in outcomes):,}"
    )
    for one in outcomes:
        if one.finding is not None:
            print(f"{one.response.feed} {one.response.part.name}: {one.finding.what}")
    print("\n".join([*publication.notices, f"snapshot {publication.digest}"]))
    return DONE
