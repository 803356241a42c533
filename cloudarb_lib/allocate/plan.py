"""A plan: status, proven bound, gap, what it costs and what binds; as a table and back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import TOLERANCE, Verdict, check
from cloudarb_lib.allocate.problem.assign import IDLE
from cloudarb_lib.allocate.problem.model import Consumption, Problem
from cloudarb_lib.allocate.problem.row import NOT_PAID, Row
from cloudarb_lib.base.errors import InfeasibleError, ParameterError, SolveError, did_you_mean

_COLUMNS = [
    "offer_id",
    "workload",
    "period",
    "instances",
    "hours",
    "expected_cost_usd",
    "fees_usd",
    "fallback_usd",
    "provider",
    "region",
    "gpu_model",
    "purchase_option",
    "gpus",
    "scenario",
    "observed_at",
]


OUT_OF_TIME = ", out of time"
"""Is added to how a figure is known where the clock cut its solve short."""
_TIMED = f"time[_ ]limit[_ ]with|{OUT_OF_TIME}$"
"""What tables say of solves that the clock ended."""


@dataclass(frozen=True)
class Plan:
    """The outcome of a solve: a plan, or the reason why there is none.

    Reading ``table``, ``objective_usd`` or ``verdict`` where there is no plan raises SolveError.

    Parameters
    ----------
    problem
        What was solved.
    status
        ``optimal``, ``within_gap``, ``work_limit_with_plan``, ``work_limit_without_plan``,
        ``time_limit_with_plan``, ``time_limit_without_plan`` (ended by the clock: another solve may
        find another plan), ``infeasible``, ``unbounded``, ``interrupted`` or ``var_repaired``;
        ``searching`` of the best so far, while a search goes on.
    bound_usd
        A proven lower bound of the cost.
    seconds
        That the solve took.
    counts
        Units of each assignment; None where there is no plan.
    work
        Units of work (``solver.work``) that the solve took.
    """

    problem: Problem = field(repr=False)
    status: str
    bound_usd: float
    seconds: float
    counts: np.ndarray | None = field(repr=False)
    work: float = 0.0

    @property
    def has_plan(self) -> bool:
        return self.counts is not None

    @property
    def is_timed(self) -> bool:
        """Whether the clock ended the search, so that another solve may end elsewhere."""
        return self.status.startswith("time_limit")

    @property
    def verdict(self) -> Verdict:
        """What ``check`` says of the plan."""
        return check(self.problem, self.units)

    @property
    def units(self) -> np.ndarray:
        """The counts of the assignments; SolveError where there are none."""
        if self.counts is not None:
            return self.counts
        if self.status == "infeasible":
            raise InfeasibleError(
                "there is no plan: infeasible.",
                "Ask allocate.conflicts which limits are in the way.",
            )
        reason = self.status.replace("_", " ")
        raise SolveError(
            f"no plan was found in {self.seconds:.0f} s ({reason}), "
            "which is no proof that there is none.",
            "Allow more work and time, or loosen a limit.",
        )

    @property
    def objective_usd(self) -> float:
        return self.verdict.objective_usd

    @property
    def gap(self) -> float:
        """Relative distance of cost and bound; infinite where there is no plan."""
        if self.counts is None:
            return np.inf
        cost = self.objective_usd
        return max(0.0, (cost - self.bound_usd) / max(abs(cost), 1e-9))

    @property
    def table(self) -> pd.DataFrame:
        """The plan as table ``plan``, with provider, region, GPUs and scenario of the demand.

        ``fallback_usd``, what hours taken away are expected to cost elsewhere, is beside
        ``expected_cost_usd``: rent and fees.
        """
        units = self.units
        at = np.flatnonzero(units)
        sure_usd = self.problem.assignments["sure_usd"].to_numpy(float)
        fees = units * sure_usd + self._fees_usd()
        elsewhere = units * self.problem.fallback_usd
        rent = units * (self.problem.unit_cost - sure_usd) - elsewhere
        details = self.problem.assignment_details.iloc[at]
        instances = units[at] * details["instances"]
        rows = details.assign(
            instances=instances,
            hours=details["hours"] / details["instances"],
            gpus=instances * details["gpus"],
            expected_cost_usd=rent[at] + fees[at],
            fees_usd=fees[at],
            fallback_usd=elsewhere[at],
        ).filter(items=_COLUMNS)
        order = ["workload", "period", "expected_cost_usd"]
        return rows.sort_values(order, ascending=[True, True, False]).reset_index(drop=True)

    @property
    def undone_usd(self) -> pd.Series:
        """Worth of what is left undone of each workload, USD; those alone of which some is."""
        problem = self.problem
        unmet = np.maximum(problem.need - Consumption(problem, self.units).served, 0.0)
        unmet[unmet <= TOLERANCE * np.maximum(1.0, problem.need)] = 0.0
        usd = pd.Series(unmet * np.where(unmet > 0, problem.unmet_usd, 0.0))
        workload = problem.demands["workload"].to_numpy()
        by_workload = usd.groupby(workload, sort=False).sum()
        return by_workload[by_workload > 0]

    def _fees_usd(self) -> np.ndarray:
        """Return what each assignment bears of fees and charges.

        Fees of a site are shared by rent, charges by what each assignment adds to the sum.
        """
        units = self.units
        problem = self.problem
        cost = units * problem.unit_cost
        site = problem.site_of
        total = np.bincount(site, cost, len(problem.sites))
        fee = problem.fee_usd
        borne = cost * (fee / np.where(total > 0, total, 1.0))[site]
        for row, usd in zip(problem.rows, self.verdict.charges_usd, strict=True):
            if usd > 0 and row.kind not in NOT_PAID:
                added = np.maximum(_added(problem, row, units), 0.0)
                borne += usd * added / max(added.sum(), 1e-9)
        return borne


def _added(problem: Problem, row: Row, units: np.ndarray) -> np.ndarray:
    """Return what the units of each assignment add to a sum."""
    if not row.on_usage:
        values = np.bincount(row.at, row.values, len(units))
        return values * units
    of_slot = np.bincount(row.at, row.values, len(problem.slots))
    assignments = problem.assignments
    return of_slot[assignments["slot"].to_numpy()] * assignments["hours"].to_numpy(float) * units


def changes(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return what differs between two plans in their first period.

    Parameters
    ----------
    before, now
        Tables ``plan``.

    Returns
    -------
    pd.DataFrame
        ``workload``, ``offer_id``, and instances ``before`` and ``now``, where they differ.
    """
    instances = {}
    for name, table in (("before", before), ("now", now)):
        first = table[table["period"] == 0]
        instances[name] = first.groupby(["workload", "offer_id"])["instances"].sum()
    both = pd.concat(instances, axis=1).fillna(0.0).sort_index()
    return both[both["before"] != both["now"]].reset_index()


def counts_of(problem: Problem, table: pd.DataFrame) -> np.ndarray:
    """Return the counts of each assignment that a plan holds.

    Parameters
    ----------
    problem
        Perhaps of another day: offers gone are left out.
    table
        Table ``plan``.

    Returns
    -------
    np.ndarray
        Whole units, no more than each assignment's bound, shape (assignments,).
    """
    keys = ["workload", "offer_id", "period"]
    instances = table.set_index(keys)["instances"].groupby(level=[0, 1, 2]).sum()
    wanted = pd.MultiIndex.from_frame(problem.assignment_details[keys])
    planned = instances.reindex(wanted).fillna(0.0).to_numpy()
    units = np.floor(planned / problem.assignments["instances"].to_numpy(float) + 1e-9)
    return np.minimum(units, problem.assignments["most"]).to_numpy(float)


def is_timed(table: pd.DataFrame) -> bool:
    """Return whether a table about plans tells that the clock ended a solve.

    Parameters
    ----------
    table
        ``plan_summary``, ``plan_binding``, ``plan_frontier`` or ``runners_up``. What is in it may
        come out otherwise where the machine is less busy.
    """
    texts = table.select_dtypes(exclude=["number", "bool"]).astype(str)
    says_so = [texts[name].str.contains(_TIMED).any() for name in texts]
    return any(says_so)


def is_idle(table: pd.DataFrame) -> pd.Series:
    """Return which rows of a plan are machines committed to that no work uses.

    Parameters
    ----------
    table
        Table ``plan``.

    Returns
    -------
    pd.Series
        Boolean. By the whole label, which names the scenario where the demand has some: a workload
        whose name begins alike is work.
    """
    if "scenario" not in table:
        return table["workload"] == IDLE
    scenario = table["scenario"].fillna("").astype(str)
    label = IDLE + (" in " + scenario).where(scenario != "", "")
    return table["workload"].astype(str) == label


def scenarios_in(table: pd.DataFrame) -> list[str]:
    """Return the names of the scenarios of a plan, in order; none where it has one future."""
    if "scenario" not in table:
        return []
    return sorted(set(table["scenario"].dropna().astype(str)) - {""})


def rows_in_scenario(table: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Return what works in one scenario of a plan, under the names that workloads have without it.

    Parameters
    ----------
    table
        Table ``plan``.
    scenario
        Its name; empty for a plan without scenarios.

    Raises
    ------
    ParameterError
        Where the plan has no such scenario.
    """
    planned = scenarios_in(table)
    if scenario not in (planned or [""]):
        there_are = f"It has {', '.join(planned)}." if planned else "It has no scenarios."
        close = did_you_mean(scenario, planned)
        raise ParameterError(f"the plan has no scenario {scenario!r}{close}.", there_are)
    working = table[~is_idle(table)]
    if not scenario:
        return working
    mine = working[working["scenario"].astype(str) == scenario]
    names = mine["workload"].astype(str).str.removesuffix(f" in {scenario}")
    return mine.assign(workload=names)


def first_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return what a plan holds first: its first period, in one scenario (the first by name).

    Parameters
    ----------
    table
        Table ``plan``.
    """
    first = table[table["period"] == table["period"].min()]
    if "scenario" not in first:
        return first
    scenario = first["scenario"].fillna("").astype(str)
    return first[scenario == scenario.min()]
