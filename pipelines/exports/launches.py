"""What a plan asks to be launched, alike for every launcher: machines of one kind, so many."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = dict[Any, Any]
_OF_THE_OFFER = ("offer_id", "provider", "region", "gpu_model", "purchase_option")
LAUNCH_COLUMNS = ("name", "machines", "gpus_each", "together", *_OF_THE_OFFER, "other_offers")
"""Columns of the table of launches."""


@dataclass(frozen=True)
class Launch:
    """Machines that are launched together.

    Attributes
    ----------
    name
        Of the workload, with a number.
    nodes
        How many machines.
    kinds
        Rows of the plan whose machine may serve: the one meant first, then others with as many
        GPUs.
    is_together
        Whether they are one job, that stands in one place.
    """

    name: str
    nodes: int
    kinds: list[Row]
    is_together: bool

    @property
    def provider(self) -> str:
        return str(self.kinds[0]["provider"])

    @property
    def gpus(self) -> float:
        """GPUs of a machine."""
        return gpus_each(self.kinds[0])


def launches(table: pd.DataFrame, jobs: Mapping[str, int] | None = None) -> Iterator[Launch]:
    """Yield what a plan asks to be launched.

    Work that may be split is a launch for each row of the plan. A job that stays together is one
    launch, of machines of one kind: where the plan mixes kinds, as many of that with most GPUs as
    make up the job.

    Parameters
    ----------
    table : DataFrame
        Rows of table ``plan`` of one period; what idles is not launched.
    jobs : mapping of str to int, optional
        Workloads whose jobs each stay together, and how many jobs they are.
    """
    from cloudarb_lib.allocate import is_idle

    rented = table[(table["instances"] > 0) & ~is_idle(table)]
    jobs = jobs or {}
    for workload, rows in rented.groupby("workload"):
        name = re.sub("[^A-Za-z0-9.-]+", "-", str(workload)).strip("-.")
        plain = rows.to_dict("records")
        units = [(int(row["instances"]), row) for row in plain]
        is_together = workload in jobs
        if is_together:
            units = list(_jobs(rows, jobs[str(workload)]))
        for number, (nodes, first) in enumerate(units, 1):
            others = [row for row in plain if _may_stand_in(row, first)]
            yield Launch(f"{name}-{number}", nodes, [first, *others], is_together)


def launch_table(table: pd.DataFrame, jobs: Mapping[str, int] | None = None) -> pd.DataFrame:
    """Return what a plan asks to be launched as a table, for programs that launch by themselves.

    Parameters
    ----------
    table, jobs
        As of ``launches``.

    Returns
    -------
    DataFrame
        A row for each launch: ``LAUNCH_COLUMNS``; other offers that may serve are separated by
        blanks, the best first.
    """
    import pandas as pd

    rows = [
        (
            launch.name,
            launch.nodes,
            launch.gpus,
            launch.is_together,
            *(launch.kinds[0][column] for column in _OF_THE_OFFER),
            " ".join(str(row["offer_id"]) for row in launch.kinds[1:]),
        )
        for launch in launches(table, jobs)
    ]
    return pd.DataFrame(rows, columns=list(LAUNCH_COLUMNS))


def gpus_each(row: Row) -> float:
    """Return the GPUs of a machine of a row of a plan."""
    return float(row["gpus"] / row["instances"])


def _may_stand_in(row: Row, first: Row) -> bool:
    """Return whether another row of a plan has machines with as many GPUs."""
    return row["offer_id"] != first["offer_id"] and gpus_each(row) == gpus_each(first)


def _jobs(rows: pd.DataFrame, jobs: int) -> Iterator[tuple[int, Row]]:
    """Yield machines of each job that stays together, and the row whose kind they are of."""
    gpus_of_job = rows["gpus"].sum() / jobs
    place = rows["provider"] + "/" + rows["region"]
    for _, there in rows.groupby(place, sort=False):
        first = there.sort_values("gpus", ascending=False).iloc[0].to_dict()
        size = gpus_each(first)
        for _ in range(max(round(there["gpus"].sum() / gpus_of_job), 1)):
            yield math.ceil(gpus_of_job / size - 1e-9), first
