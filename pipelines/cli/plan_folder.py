"""The folder of a plan: whether it can be written, what lies there, and what an older plan left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli import folders

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.allocate import Demand

FOLDERS = ("tables", "sky", "dstack")
FILES = ("plan.csv", "plan.txt", "changes.csv", "launches.csv")
_OF_AN_EARLIER_PLAN = (
    "tables/plan.parquet",
    "tables/plan_summary.parquet",
    "tables/plan_runners_up.parquet",
    "tables/commitment_*.parquet",
    "tables/cost_of_not_knowing.parquet",
    "tables/frontier_*.parquet",
    "tables/assumptions.parquet",
    "tables/offer_states.parquet",
    *FILES,
    "sky/*.yaml",
    "dstack/*.dstack.yml",
)
"""Files that go before a new plan is written, which they would mix with."""


def refuse_unwritable(out: Path) -> None:
    """Raise where a plan could not be written, before it is looked for.

    Parameters
    ----------
    out : Path
        The folder, which need not exist.

    Raises
    ------
    ParameterError
        As ``folders.refuse_unwritable``.
    """
    folders.refuse_unwritable(out, inner_folders=FOLDERS, files=FILES)


def write_plan(table: pd.DataFrame, out: Path) -> None:
    """Write the plan as a table and as CSV, in place of an earlier one and what explained it.

    Parameters
    ----------
    table : DataFrame
        Table ``plan``.
    out : Path
        The folder; made if need be.
    """
    from cloudarb_lib.tables import run_tables

    for pattern in _OF_AN_EARLIER_PLAN:
        for old in out.glob(pattern):
            old.unlink()
    run_tables.save_table(table, "plan", out)
    write_csv(table, out / "plan.csv")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, whole or not at all."""
    from cloudarb_lib.base.files import replaced

    with replaced(path) as unfinished:
        table.to_csv(unfinished, index=False)


def last_plan(folder: Path) -> pd.DataFrame:
    """Return table ``plan`` of a folder.

    Raises
    ------
    ParameterError
        Where there is none.
    """
    from cloudarb_lib.tables.run_tables import load_table

    plan = load_table("plan", folder)
    if plan is None:
        raise ParameterError(f"{folder} holds no plan.", "Name the folder given to --out.")
    return plan


def running(demand: Demand, plan: pd.DataFrame, scenario: str | None) -> tuple[Demand, str]:
    """Return a demand with what runs now by its last plan, and the scenario that has come.

    Says which, where the last plan has several.

    Parameters
    ----------
    demand : Demand
        What has to run.
    plan : DataFrame
        Table ``plan`` of the last one.
    scenario : str or None
        The one that came; None: the likeliest.

    Raises
    ------
    ParameterError
        Where the last plan has no such scenario.
    """
    from cloudarb_lib.advice.move import scenario_running, with_current

    came = scenario_running(demand, plan) if scenario is None else scenario
    demand = with_current(demand, plan, came)
    if came:
        print(f"what runs now: that of scenario {came!r} of the last plan (--scenario NAME)")
    return demand, came
