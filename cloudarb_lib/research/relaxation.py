"""The linear relaxation of a plan under a CVaR limit, written out, for methods that take it whole.

The product adds the tail as cuts, one choice of worst paths after the other. Here each sample path
has a row of its own, so that a first-order method has the whole program before it.

References
----------
Rockafellar and Uryasev, Journal of Risk 2, 2000 (CVaR as a linear program). Applegate et al.,
Practical large-scale linear programming using primal-dual hybrid gradient, NeurIPS 2021 (PDLP).
Oettli and Prager, Numerische Mathematik 6, 1964 (how far a point is from keeping a row).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver.highs import silent_highs, status_of
from cloudarb_lib.allocate.solver.milp import Milp
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.work import Allowance
from cloudarb_lib.base.errors import ParameterError, SolveError
from cloudarb_lib.research.costs import CpuClock

PRODUCT = "cuts and dual simplex (product)"
"""The product's own way."""
TOLERANCE = 1e-4
"""Relative, asked of every way but the product's: a tenth of the gap to which it proves plans."""
ITERATION_LIMIT = 20_000
"""Of first-order methods: a limit of time would have the answer depend on the machine's load."""
LIMIT_S = 120.0


@dataclass(frozen=True)
class TailProgram:
    """Minimise cost @ x, row_lower <= rows @ x <= row_upper, lower <= x <= upper.

    Columns are those of the ``Milp``, then a value at risk, then what each sample path costs beyond
    it. Money is in units of ``usd``, which brings all figures near to 1: first-order methods need
    that.
    """

    usd: float

    cost: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rows: sparse.csr_matrix
    row_lower: np.ndarray
    row_upper: np.ndarray
    tail: np.ndarray
    """CVaR as a sum over columns."""

    def violation(self, x: np.ndarray) -> float:
        """Return by how much a point violates a row or bound at most, relative to its size.

        The size of a row is its bound and its terms together, or 1: a row that says that 200,000
        machine-hours are those of so many machines has the bound 0.
        """
        value = self.rows @ x
        over = np.maximum(self.row_lower - value, value - self.row_upper)
        terms = abs(self.rows) @ np.abs(x)
        bound = np.where(value > self.row_upper, self.row_upper, self.row_lower)
        sizes = np.maximum(terms + np.where(np.isfinite(bound), np.abs(bound), 0.0), 1.0)
        outside = np.maximum(self.lower - x, x - self.upper)
        return float(max(np.max(over / sizes), np.max(outside / np.maximum(np.abs(x), 1.0)), 0.0))


def tail_program(problem: Problem) -> TailProgram:
    """Return the relaxation of a problem with a row for each sample path.

    Raises
    ------
    ParameterError
        Where the problem has no sample paths, or limits effective providers (no linear program).
    """
    if problem.paths is None or problem.limits.effective_providers is not None:
        what = "the program needs sample paths, and no limit on effective providers."
        raise ParameterError(what, "Build the problem with paths and Limits(cvar_usd=...).")
    milp = to_milp(problem)
    n_columns = len(milp.cost)
    n_paths = len(problem.paths)
    width = n_columns + 1 + n_paths
    tail = np.zeros(width)
    tail[n_columns] = 1.0
    tail[n_columns + 1 :] = 1.0 / ((1 - problem.limits.cvar_level) * n_paths)
    usd = float(np.abs(milp.cost).max(initial=1.0))
    limit = np.inf if problem.limits.cvar_usd is None else problem.limits.cvar_usd / usd
    blocks = [
        _wide(milp.rows, width),
        _wide(milp.links.matrix, width),
        _path_rows(milp, usd),
        sparse.csr_matrix(tail[None]),
    ]
    n_links = len(milp.links.upper)
    none = np.full(n_links + n_paths + 1, -np.inf)
    return TailProgram(
        usd=usd,
        cost=np.concatenate([milp.cost / usd, np.zeros(1 + n_paths)]),
        lower=np.concatenate([milp.lower, [-np.inf], np.zeros(n_paths)]),
        upper=np.concatenate([milp.upper, np.full(1 + n_paths, np.inf)]),
        rows=sparse.vstack(blocks, format="csr"),
        row_lower=np.concatenate([milp.row_lower, none]),
        row_upper=np.concatenate([milp.row_upper, milp.links.upper, np.zeros(n_paths), [limit]]),
        tail=tail,
    )


def _wide(matrix: sparse.csr_matrix, width: int) -> sparse.csr_matrix:
    """Return the matrix with columns of zeros up to a width."""
    return sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), (matrix.shape[0], width))


def _path_rows(milp: Milp, usd: float) -> sparse.csr_matrix:
    """Return the rows cost on a path - value at risk - cost beyond it <= 0, in units of ``usd``."""
    problem = milp.problem
    n_paths = len(problem.some_paths)
    cost = np.zeros((n_paths, len(milp.cost)))
    for path in range(n_paths):
        price, beside = problem.mean_over(np.array([path]), np.array([1.0 / usd]))
        cost[path, milp.usage_columns] = price
        cost[path, : len(beside)] = beside
    at_risk = -np.ones((n_paths, 1))
    return sparse.csr_matrix(sparse.hstack([cost, at_risk, -sparse.identity(n_paths)]))


def with_tail_limit(problem: Problem) -> Problem:
    """Return the problem with a CVaR limit that binds: midway to the least CVaR there can be.

    Raises
    ------
    SolveError
        Where the problem has no plan.
    """
    free = tail_program(problem.under(cvar_usd=None))
    cheapest = _with_highs(free, "simplex").x
    # its own tail: the program only keeps the columns above it
    cost = problem.path_costs(cheapest[: len(problem.assignments)])
    size = max(int((1 - problem.limits.cvar_level) * len(cost)), 1)
    cheapest_usd = float(np.sort(cost)[-size:].mean())
    safest = _with_highs(replace(free, cost=free.tail), "simplex").x
    least_usd = float(free.tail @ safest) * free.usd
    return problem.under(cvar_usd=(cheapest_usd + least_usd) / 2)


def compare(problem: Problem) -> pd.DataFrame:
    """Solve the relaxation of a problem with a CVaR limit in each way.

    Returns
    -------
    DataFrame
        Indexed by ``way``: ``value_usd`` of the relaxation, ``off`` from the product's (relative),
        ``violation`` (``TailProgram.violation``; NaN where no whole point is kept), ``ended``
        (false where a limit of iterations or time came before ``TOLERANCE``) and ``cpu_s``.

    Raises
    ------
    SolveError
        Where a way ends without a solution.
    """
    program = tail_program(problem)
    with CpuClock() as clock:
        relaxation = Relaxation(to_milp(problem))
        status = relaxation.solve_with_cuts(Allowance(LIMIT_S, LIMIT_S))
    if status != "optimal":
        raise SolveError(f"the relaxation is {status}.", "Loosen the CVaR limit.")
    found = [(PRODUCT, relaxation.value, np.nan, True, clock.seconds)]
    ways = {
        "HiGHS simplex, tail written out": lambda: _with_highs(program, "simplex"),
        "HiGHS interior point": lambda: _with_highs(program, "ipm"),
        "HiGHS PDLP": lambda: _with_highs(program, "pdlp"),
        "OR-Tools PDLP": lambda: _with_pdlp(program),
    }
    for way, solve in ways.items():
        with CpuClock() as clock:
            point = solve()
        value_usd = float(program.cost @ point.x) * program.usd
        violation = program.violation(point.x)
        found.append((way, value_usd, violation, point.has_ended, clock.seconds))
    table = pd.DataFrame(found, columns=["way", "value_usd", "violation", "ended", "cpu_s"])
    table["off"] = table["value_usd"] / relaxation.value - 1
    return table.set_index("way")[["value_usd", "off", "violation", "ended", "cpu_s"]]


@dataclass(frozen=True)
class _Point:
    """Where a way ended."""

    x: np.ndarray
    has_ended: bool
    """Whether within ``TOLERANCE``, not at a limit."""


def _with_highs(program: TailProgram, solver: str) -> _Point:
    """Return where one of HiGHS' solvers ended, on one thread."""
    import highspy

    highs = silent_highs()
    highs.setOptionValue("solver", solver)
    highs.setOptionValue("time_limit", LIMIT_S)
    # of all conditions at once: pdlp_optimality_tolerance alone leaves feasibility at 1e-7, which
    # first-order steps do not reach here
    highs.setOptionValue("kkt_tolerance", TOLERANCE)
    highs.setOptionValue("pdlp_iteration_limit", ITERATION_LIMIT)
    highs.setOptionValue("run_crossover", "off")  # a vertex is not asked for
    lp = highspy.HighsLp()
    lp.num_col_ = len(program.cost)
    lp.num_row_ = program.rows.shape[0]
    lp.col_cost_ = program.cost
    lp.col_lower_ = program.lower
    lp.col_upper_ = program.upper
    lp.row_lower_ = program.row_lower
    lp.row_upper_ = program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = program.rows.indptr
    lp.a_matrix_.index_ = program.rows.indices
    lp.a_matrix_.value_ = program.rows.data
    highs.passModel(lp)
    highs.run()
    status = status_of(highs)
    if status not in ("optimal", "limit"):
        raise SolveError(f"HiGHS ({solver}) says {status}.", "Loosen the CVaR limit.")
    return _Point(np.array(highs.getSolution().col_value), status == "optimal")


def _with_pdlp(program: TailProgram) -> _Point:
    """Return where OR-Tools' PDLP ended, on one thread."""
    from ortools.pdlp import solve_log_pb2, solvers_pb2
    from ortools.pdlp.python import pdlp

    given: Any = pdlp.QuadraticProgram()
    given.objective_vector = program.cost
    given.constraint_matrix = sparse.csc_matrix(program.rows)
    given.constraint_lower_bounds = program.row_lower
    given.constraint_upper_bounds = program.row_upper
    given.variable_lower_bounds = program.lower
    given.variable_upper_bounds = program.upper
    wanted: Any = solvers_pb2.PrimalDualHybridGradientParams()
    wanted.termination_criteria.simple_optimality_criteria.eps_optimal_relative = TOLERANCE
    wanted.termination_criteria.simple_optimality_criteria.eps_optimal_absolute = TOLERANCE
    wanted.termination_criteria.time_sec_limit = LIMIT_S
    wanted.termination_criteria.iteration_limit = ITERATION_LIMIT
    wanted.num_threads = 1
    result: Any = pdlp.primal_dual_hybrid_gradient(given, wanted)
    if result.primal_solution is None or not len(result.primal_solution):
        raise SolveError("PDLP has no solution.", "Loosen the CVaR limit.")
    reason = result.solve_log.termination_reason
    has_ended = reason == solve_log_pb2.TERMINATION_REASON_OPTIMAL
    return _Point(np.array(result.primal_solution), has_ended)
