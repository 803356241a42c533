"""A plan as a text for the person who rents the machines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.run_tables import paid_usd

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.allocate.difference import Difference

_OPTIONS = {"on_demand": "on demand", "spot": "spot", "reserved": "committed"}


def plan_in_words(
    table: pd.DataFrame, *, gap: float, ends_h: list[float], left_undone: list[str]
) -> str:
    """Return what to rent where and when, what it costs, and what is left undone.

    Parameters
    ----------
    table : DataFrame
        Table ``plan``.
    gap : float
        What it may cost more than the best, at most, as a share; NaN where that is not known.
    ends_h : list of float
        When each period ends, in hours from the start.
    left_undone : list of str
        Sentences of what a plan by priorities cuts.
    """
    return "\n".join(_lines(table, gap, ends_h, left_undone)) + "\n"


def _lines(
    table: pd.DataFrame, gap: float, ends_h: list[float], left_undone: list[str]
) -> Iterator[str]:
    weeks = [end / HOURS_PER_WEEK for end in ends_h]
    proven = "" if math.isnan(gap) else f", at most {gap:.2%} above the best"
    elsewhere_usd = _usd(table) - table["expected_cost_usd"].sum()
    elsewhere = f", {elsewhere_usd:,.0f} of it for hours bought elsewhere" if elsewhere_usd else ""
    yield f"Plan for {weeks[-1]:g} weeks: {_usd(table):,.0f} USD expected{elsewhere}{proven}."
    starts = [0.0, *weeks[:-1]]
    for period, (start, end) in enumerate(zip(starts, weeks, strict=True)):
        rows = table[table["period"] == period]
        if len(weeks) > 1:
            yield ""
            yield f"From week {start:g} to week {end:g}"
        for workload, mine in rows.groupby("workload"):
            yield ""
            yield f"{workload}: {mine['gpus'].sum():g} GPUs, {_usd(mine):,.0f} USD"
            yield from (f"  {_machines_in_words(row)}" for _, row in mine.iterrows())
    if left_undone:
        yield ""
        yield "Left undone"
        yield from (f"  {sentence}" for sentence in left_undone)


def _usd(rows: pd.DataFrame) -> float:
    return float(paid_usd(rows).sum())


def _machines_in_words(row: pd.Series) -> str:
    """Return a row of a plan as a line."""
    _, _, zone, machine, _, term = str(row["offer_id"]).split("/")
    where = " ".join(part for part in (row["provider"], row["region"], zone) if part)
    option = _OPTIONS[row["purchase_option"]]
    if term:
        option = "held already" if term == "held" else f"{option} for {term}"
    each = row["expected_cost_usd"] / (row["instances"] * row["hours"])
    return (
        f"{row['instances']:g} x {machine} ({row['gpus'] / row['instances']:g} {row['gpu_model']}) "
        f"in {where}, {option}: {row['hours']:,.0f} h each at {each:,.2f} USD/h with fees, "
        f"{row['expected_cost_usd']:,.0f} USD"
    )


def difference_in_words(found: Difference) -> str:
    """Return how a plan differs from the last one."""
    now = f"this plan costs {found.now_usd:,.0f} USD, moving included"
    if found.must:
        return f"Last plan: it cannot go on ({'; '.join(found.must)}); {now}."
    if found.table.empty:
        return f"Last plan: nothing changes; {now}."
    saved = found.keep_usd - found.now_usd
    word = f"{saved:,.0f} less" if saved >= 0 else f"{-saved:,.0f} more"
    return f"Last plan: going on as now costs {found.keep_usd:,.0f} USD; {now}, {word}."
