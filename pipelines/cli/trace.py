"""``cloudarb trace``: from an offer to the answers that told of it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from pipelines.cli.live import utc_now
from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DONE

PRICES_SHOWN = 10
ROWS_SHOWN = 20


def trace(
    offer: Annotated[
        str,
        typer.Argument(
            metavar="OFFER", help="provider/region/zone/instance_type/purchase_option/term"
        ),
    ],
    store: StoreOption = "",
) -> int:
    """Show where the prices of an offer come from.

    Prints its newest prices with the record that each is from, the rate by which it came to USD
    where it was told in another currency, and of the answers that are kept
    (cloudarb collect) the rows that tell of its machine in its region: file, line, and what stands
    there. Prices that were taken in by hand name their record; table ingest_log has the files.
    """
    from cloudarb_lib.base.errors import ParameterError
    from cloudarb_lib.base.types import OFFER_PARTS
    from cloudarb_lib.live.collect import opened
    from cloudarb_lib.live.origins import origins
    from cloudarb_lib.store import conversion_of, open_snapshot

    parts = dict(zip(OFFER_PARTS, offer.split("/"), strict=False))
    if len(parts) != len(OFFER_PARTS) or offer.count("/") != len(OFFER_PARTS) - 1:
        raise ParameterError(
            f"{offer!r} is no offer.", f"Write {'/'.join(OFFER_PARTS)}; empty parts stay empty."
        )
    with open_snapshot(store) as snapshot:
        events = snapshot.events(
            as_of=utc_now(), providers=[parts["provider"]], include_flagged=True
        )
        of_offer = events[events["offer_id"] == offer]
        newest = of_offer.tail(PRICES_SHOWN).to_dict("records")
        conversions = [conversion_of(snapshot, event) for event in newest]
    if of_offer.empty:
        raise ParameterError(f"the store has no price of {offer}.", "See table offer_states.")
    for event, conversion in zip(newest, conversions, strict=True):
        print(
            f"{event['price_usd_per_hour']:g} USD/h from {event['effective_at']:%Y-%m-%d %H:%M},"
            f" seen {event['observed_at']:%Y-%m-%d %H:%M}, source {event['source']}"
        )
        if conversion:
            print(f"  {conversion}")
    with opened(store, [], clock=utc_now) as collector:
        found = origins(
            collector.journal,
            store,
            instance_type=parts["instance_type"],
            region=parts["region"],
            sources=set(of_offer["source"]),
        )
        rows = list(islice(found, ROWS_SHOWN))
    for row in rows:
        print(f"{row.path}, line {row.line} ({row.feed} {row.part}, {row.seen_at:%Y-%m-%d %H:%M})")
        print(f"  {row.row}")
    if not rows:
        print("no kept answer tells of it")
    return DONE
