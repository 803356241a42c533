"""``cloudarb allocate``: from a file of workloads to a plan that can be acted on."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""


def carry_out(given: argparse.Namespace) -> int:
    """Carry out the verb; return the exit code."""
    raise NotImplementedError
