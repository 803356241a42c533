"""``cloudarb backtest``: what the forecasts of the past were worth."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""


def carry_out(given: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    raise NotImplementedError
