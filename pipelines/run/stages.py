"""The notebooks of a run. One more notebook is one more entry of ``STAGES``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """What a run has to know about one notebook.

    Parameters
    ----------
    title : str
        What a reader of the report calls it.
    after : tuple of str
        Names of the stages before it: it may read their tables, and runs when they are done.
    tables : tuple of str
        Tables that it must leave behind, each as ``tables/NAME.parquet`` of the run.
    """

    title: str
    after: tuple[str, ...]
    tables: tuple[str, ...]


STAGES: dict[str, Stage] = {
    "01_explore_prices": Stage(
        title="Prices", after=(), tables=("offers", "offer_states", "sources")
    ),
    "02_train_ensemble": Stage(
        title="Forecast", after=(), tables=("forecast", "paths", "scores", "weights")
    ),
    "03_allocate": Stage(
        title="Allocation",
        after=("01_explore_prices", "02_train_ensemble"),
        tables=("plan", "assumptions"),
    ),
    "04_risk_and_stress": Stage(
        title="Risk",
        after=("01_explore_prices", "02_train_ensemble", "03_allocate"),
        tables=("risk",),
    ),
    "05_summary": Stage(
        title="Summary",
        after=("01_explore_prices", "02_train_ensemble", "03_allocate", "04_risk_and_stress"),
        tables=("lookback",),
    ),
}
"""The stages of a run by the name of their notebook, in order.

Read by the configuration (which parameters there are), the graph (what runs when), the manifest
and the pages of a report.
"""
STUDIES: dict[str, Stage] = {
    "06_research": Stage(title="Research", after=(), tables=("methods", "explanations"))
}
"""Notebooks that only a configuration runs that names them (key ``notebooks``), as ``STAGES``."""
FRONT_PAGE = "05_summary"
"""The stage whose page opens a report, and comes first among its links."""


def every_stage() -> dict[str, Stage]:
    """Return the stages, and the studies after them."""
    return STAGES | STUDIES


def stages_named(names: Collection[str]) -> dict[str, Stage]:
    """Return the stages and studies of these names, in order."""
    return {name: stage for name, stage in every_stage().items() if name in names}


def in_reading_order() -> list[str]:
    """Return the names of all stages as a reader meets them: the front page, then the others."""
    return [FRONT_PAGE, *(name for name in every_stage() if name != FRONT_PAGE)]


def front_page(names: Collection[str]) -> str:
    """Return which of these stages opens a report: the front page, else the first of them."""
    return next((name for name in in_reading_order() if name in names), FRONT_PAGE)
