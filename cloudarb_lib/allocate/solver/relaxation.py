"""The linear relaxation of a program, solved again and again as cuts are added to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cloudarb_lib.allocate.solver import work
from cloudarb_lib.allocate.solver.highs import add_rows, load_relaxation, status_of
from cloudarb_lib.allocate.solver.knapsack import WHOLE
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, separate
from cloudarb_lib.allocate.solver.work import Allowance

_MOST_STALLED_ROUNDS = 3
"""So many rounds of cuts may go by without raising the bound."""
_LEAST_RAISE = 1e-5
"""By less than this share of its value, a round of cuts does not raise the bound."""


class Relaxation:
    """The linear relaxation, warm from call to call; rows are added, bounds tightened.

    Kept in HiGHS through highspy, which re-solves in place with the dual simplex.
    """

    def __init__(self, milp: Milp) -> None:
        self.milp = milp
        self.highs = load_relaxation(milp)
        self.cuts: list[Cuts] = []
        self.usages_cut_off: list[np.ndarray] = []
        """Usage at each point that tail cuts or tangents cut off."""
        self.value = -np.inf
        self.z = np.zeros(len(milp.cost))
        self.reduced_cost = np.zeros(len(milp.cost))
        self.row_dual = np.zeros(0)
        of_demand = [i for i, key in enumerate(milp.row_keys) if key and key[0] == "demand"]
        self._demand_rows = [(np.array(of_demand, int), milp.rows[of_demand])]
        """Rows of one demand alone: where they stand, and their values."""

    @property
    def price(self) -> np.ndarray:
        """What each column costs, USD, by all but the rows of a demand alone, shape (columns,)."""
        price = self.reduced_cost.copy()
        for at, matrix in self._demand_rows:
            price += matrix.T @ self.row_dual[at]
        return price

    def add(self, cuts: Cuts) -> None:
        self.cuts.append(cuts)
        whole = np.flatnonzero([name == WHOLE for name in cuts.names])
        self._demand_rows.append((self.highs.getNumRow() + whole, cuts.matrix[whole]))
        add_rows(self.highs, cuts.matrix, np.full(len(cuts.upper), -np.inf), cuts.upper)

    def bound(self, columns: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        self.highs.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def solve_with_cuts(
        self, allowance: Allowance, strengthen: Callable[[np.ndarray], Cuts] | None = None
    ) -> str:
        """Solve with every cut that is violated.

        Parameters
        ----------
        allowance
            Work and time, of which this takes its part.
        strengthen
            Returns further cuts for a point, asked for as long as they raise the bound.

        Returns
        -------
        str
            As ``solve`` does. The cuts stay, in ``cuts`` too.
        """
        stalled_rounds = 0
        value_before = -np.inf
        while (status := self.solve(allowance)) == "optimal":
            cuts = separate(self.milp, self.z, tolerance=1e-7)
            if {*cuts.names} - {"link"}:
                self.usages_cut_off.append(self.z[self.milp.usage_columns])
            if strengthen and not cuts.names and stalled_rounds < _MOST_STALLED_ROUNDS:
                is_raised = self.value - value_before > _LEAST_RAISE * abs(self.value)
                stalled_rounds = 0 if is_raised else stalled_rounds + 1
                value_before = self.value
                cuts = strengthen(self.z)
            if not cuts.names:
                break
            self.add(cuts)
        return status

    def solve(self, allowance: Allowance) -> str:
        """Solve; return optimal, infeasible, unbounded, limit, or unknown: HiGHS has no verdict."""
        status = self._run(allowance)
        if status == "unknown":
            self.highs.clearSolver()  # a basis gone stale: begin anew
            status = self._run(allowance)
        if status == "unknown":
            self.highs.clearSolver()
        if status == "optimal":
            solution = self.highs.getSolution()
            self.value = self.highs.getObjectiveValue()
            self.z = np.array(solution.col_value)
            self.reduced_cost = np.array(solution.col_dual)
            self.row_dual = np.array(solution.row_dual)
        return status

    def _run(self, allowance: Allowance) -> str:
        """Run HiGHS within an allowance, and spend of it."""
        entries = self.highs.getNumNz()
        left_s = max(allowance.time_limit_s - allowance.seconds, 0.01)
        most = work.iterations_within(entries, allowance.left)
        self.highs.setOptionValue("time_limit", self.highs.getRunTime() + left_s)
        self.highs.setOptionValue("simplex_iteration_limit", most)
        self.highs.run()
        iterations = max(self.highs.getInfo().simplex_iteration_count, 0)
        allowance.spend(work.of_relaxation(entries, iterations))
        return status_of(self.highs)
