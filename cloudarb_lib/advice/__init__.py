"""Decisions over time: the market at given times, and whether following the advice would have paid."""

from cloudarb_lib.advice.lookback import (
    Market,
    compare,
    cost_fan,
    look_back,
    markets,
    planned,
    scoreboard,
    verdict,
)
