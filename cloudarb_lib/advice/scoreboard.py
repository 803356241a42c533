"""What the policies of a look-back paid in all, and whether the advice was worth it."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.base.wording import day, dollars, percent

DRAW = 0.01
"""Relative difference of cost below which the advice made no difference."""


def scoreboard(paid: pd.DataFrame) -> pd.DataFrame:
    """Return table ``lookback`` by policy, cheapest first.

    Returns
    -------
    pd.DataFrame
        Indexed by policy: ``total_usd``, ``worst_step_usd`` and ``worst_step`` (its date),
        ``gpus_moved``, and ``over_advice``, how much more than the advice it cost (0.1: 10 % more).
    """
    board = paid.groupby("policy").agg(
        total_usd=("cost_usd", "sum"),
        worst_step_usd=("cost_usd", "max"),
        gpus_moved=("moves", "sum"),
    )
    worst = paid.loc[paid.groupby("policy")["cost_usd"].idxmax()].set_index("policy")["period_utc"]
    board["worst_step"] = worst.dt.strftime("%Y-%m-%d")
    board["over_advice"] = board["total_usd"] / board["total_usd"].loc["advice"] - 1
    return board.sort_values("total_usd")


def verdict(board: pd.DataFrame) -> str:
    """Return in a sentence whether the advice of a ``scoreboard`` paid.

    Within 1 % of the best simple policy it is a draw.
    """
    advice = board[board.index == "advice"].iloc[0]
    others = board.drop(index="advice")
    best = others.iloc[0]
    worst = others.iloc[-1]
    difference = advice["total_usd"] / best["total_usd"] - 1
    outcome = "paid" if difference < 0 else "did not pay"
    side = f"{percent(100 * abs(difference))} {'more' if difference < 0 else 'less'}"
    if abs(difference) < DRAW:
        outcome = "made no difference"
        side = f"as much, to {percent(100 * DRAW)}"
    return (
        f"Looking back, the forecast **{outcome}** beside the best simple policy: following the "
        f"advice would have cost {dollars(advice['total_usd'])}, {best.name} "
        f"{dollars(best['total_usd'])} ({side}), {worst.name} {dollars(worst['total_usd'])}. "
        f"The worst step of the advice, from {day(pd.Timestamp(advice['worst_step']))}, cost "
        f"{dollars(advice['worst_step_usd'])}."
    )
