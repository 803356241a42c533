"""``cloudarb quarantine``: prices found wrong and rows held back, and what is decided of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 50
"""Entries that a list shows before it says how many more there are."""

EntryArgument = Annotated[str, typer.Argument(metavar="ID", help="as listed, or its beginning")]
WhyOption = Annotated[str, typer.Option(metavar="TEXT", help="why, for whoever reads it later")]
SinceOption = Annotated[
    str, typer.Option(metavar="TIME", help="from when on the verdict counts  [default: now]")
]
AsOfOption = Annotated[
    str, typer.Option(metavar="DAY", help="what was held by then  [default: now]")
]


def quarantine_list(
    provider: Annotated[str, typer.Option(metavar="NAME", help="only offers of this one")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="also what keeps no offer out, and every line")
    ] = False,
    as_of: AsOfOption = "",
    store: StoreOption = "",
) -> int:
    """List what keeps offers out of plans, and why.

    Prices found wrong (far under what others ask, fallen by more than half, one price for several
    sizes, a commitment dearer than on demand) and rows held back whose offer can be read. --all
    lists decided, replaced and unreadable ones too.
    """
    table = _held(store, as_of)
    if provider:
        table = table[table["provider"] == provider.lower()]
    shown = table if everything else table[table["keeps_out"]]
    for _, entry in shown.iloc[: None if everything else SHOWN].iterrows():
        print(_line(entry))
        print(f"          {entry['reason']}: {entry['detail']}")
    if not everything and len(shown) > SHOWN:
        print(f"and {len(shown) - SHOWN:,} more (--all)")
    out = shown[shown["keeps_out"]]
    offers = len(out.drop_duplicates(_parts()))
    others = len(table) - len(out)
    unread = int(table["unread"].sum())
    of_these = f", {unread:,} of them of second hand that nobody reads" if unread else ""
    print(
        f"offers kept out of plans: {offers:,};"
        f" entries that keep none out (--all): {others:,}{of_these}"
    )
    return DONE


def quarantine_show(
    entry_id: EntryArgument, as_of: AsOfOption = "", store: StoreOption = ""
) -> int:
    """Show all of one entry.

    What was said, by which file, since when it is held, by which rule, and what was decided.
    """
    import pandas as pd

    from cloudarb_lib.store import conversion_of, held_entry, open_snapshot

    entry = held_entry(_held(store, as_of), entry_id)
    with open_snapshot(store) as snapshot:
        conversion = conversion_of(snapshot, entry)
    print(_line(entry))
    for name in entry.index.drop(["id", *_parts()]):
        if not pd.isna(entry[name]):
            print(f"  {name:<24}{entry[name]}")
    if conversion:
        print(f"  {'converted':<24}{conversion}")
    return DONE


def quarantine_release(
    entry_id: EntryArgument, why: WhyOption, since: SinceOption = "", store: StoreOption = ""
) -> int:
    """Say that a price found wrong is right.

    It counts from now on (--since: from another time, such as the day that a plan is made for). A
    price that fell by more than half takes those with it that followed at its level. A row that
    was held back is no price: bring a good one, or drop it.
    """
    return _decide(entry_id, "release", why, since, store)


def quarantine_drop(
    entry_id: EntryArgument, why: WhyOption, since: SinceOption = "", store: StoreOption = ""
) -> int:
    """Say that a price, or a row held back, was never said.

    The price before it stands again, from now on (--since: from another time).
    """
    return _decide(entry_id, "drop", why, since, store)


def _decide(entry_id: str, verdict: str, why: str, since: str, store: str) -> int:
    import pandas as pd

    from cloudarb_lib.base.units import ensure_utc
    from cloudarb_lib.store import decide

    decided_at = ensure_utc(since, "--since") if since else pd.Timestamp.now("UTC")
    ids = decide(store, entry_id, verdict=verdict, why=why, decided_at=decided_at)
    done = {"release": "released", "drop": "dropped"}[verdict]
    print(f"{done} {', '.join(ids)}: counts from {decided_at:%Y-%m-%d %H:%M} UTC")
    return DONE


def _held(store: str, as_of: str) -> pd.DataFrame:
    import pandas as pd

    from cloudarb_lib.store import held, open_snapshot

    with open_snapshot(store) as snapshot:
        return held(snapshot, as_of=as_of or pd.Timestamp.now("UTC"))


def _parts() -> list[str]:
    from cloudarb_lib.base.types import OFFER_PARTS

    return list(OFFER_PARTS)


def _line(entry: pd.Series) -> str:
    """Return an entry in a line: id, since when, what, and what was decided."""
    import pandas as pd

    since = f"{entry['since']:%Y-%m-%d %H:%M}"
    if pd.isna(entry["provider"]):
        what = f"{entry['file']}, line {entry['line']:.0f}"
    else:
        what = "/".join(entry[_parts()])
    price = entry["price_usd_per_hour"]
    said = "" if pd.isna(price) else f"  {price:.6g} USD/h"
    decided = "" if pd.isna(entry["verdict"]) else f"  [{entry['verdict']}: {entry['why']}]"
    return f"{entry['id']}  {since}  {what}{said}{decided}"
