"""The solvers behind one door: an incremental LP (HiGHS), and a MIP by OR-Tools or HiGHS."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from cloudarb_lib.allocate.solver.milp import Cuts, Milp, join, separate
from cloudarb_lib.base.errors import SolveError
from cloudarb_lib.base.records import Number, Positive, record

Solver = Literal["highs", "mathopt_gscip", "mathopt_highs"]
Effort = Literal["default", "off", "low", "medium", "high"]
_STALLS = 3
"""So many rounds of cuts may go by without raising the bound."""
_SUB_PROGRAMS = ("rins", "rens", "root_reduced_cost")
_HEURISTIC_EFFORT = {"off": 0.0, "low": 0.02, "medium": 0.1, "high": 0.3}
"""Share of the time that HiGHS may spend on finding plans; 0.05 by default."""
_STATUS = {
    "optimal": "optimal",
    "unknown": "unknown",
    "infeasible": "infeasible",
    "unbounded": "unbounded",
    # every cost and column is bounded below, so a problem of ours is never unbounded
    "primal infeasible or unbounded": "infeasible",
    "infeasible or unbounded": "infeasible",
    "time limit reached": "limit",
    "interrupted by user": "limit",
    "solution limit reached": "limit",
    "iteration limit reached": "limit",
    "feasible": "limit",
    "no solution found": "limit",
}
"""What the words of HiGHS and of MathOpt for how they ended come to."""


@dataclass(frozen=True)
class Answer:
    """What a solver said: status (optimal, limit, infeasible, unbounded), point or None, bound."""

    status: str
    z: np.ndarray | None
    objective: float
    bound: float
    stopped: bool = False
    """By an interrupt (Ctrl-C)."""


def _until_stopped(run: Callable[[], Any], stop: Callable[[], None]) -> tuple[Any, bool]:
    """Return what ``run`` returns, and whether Ctrl-C came meanwhile: ``stop`` then ends it early.

    It runs in a thread of its own, since a solver lets no signal through to Python.
    """
    stopped = False
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        while True:
            try:
                return future.result(), stopped
            except KeyboardInterrupt:
                stopped = True
                stop()


class Relaxation:
    """The linear relaxation, warm from call to call; rows are added, bounds tightened.

    Kept in HiGHS through highspy, which re-solves in place with the dual simplex.
    """

    def __init__(self, milp: Milp) -> None:
        self.milp = milp
        self.highs = _highs(milp)
        self.cuts: list[Cuts] = []
        self.value = -np.inf
        self.z = np.zeros(len(milp.cost))
        self.reduced_cost = np.zeros(len(milp.cost))
        self.row_dual = np.zeros(0)

    def add(self, cuts: Cuts) -> None:
        self.cuts.append(cuts)
        add_rows(self.highs, cuts.matrix, np.full(len(cuts.upper), -np.inf), cuts.upper)

    def bound(self, columns: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        self.highs.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def settle(self, deadline: float, further: Callable[[np.ndarray], Cuts] | None = None) -> str:
        """Solve with every cut that is violated, and those of ``further`` as long as they raise the bound.

        Returns as ``solve`` does; ``deadline`` by ``time.perf_counter``. The cuts stay, in ``cuts`` too.
        """
        stalled, before = 0, -np.inf
        while (status := self.solve(deadline - time.perf_counter())) == "optimal":
            cuts = separate(self.milp, self.z, tolerance=1e-7)
            if further and not cuts.names and stalled < _STALLS:
                stalled = 0 if self.value - before > 1e-5 * abs(self.value) else stalled + 1
                before = self.value
                cuts = further(self.z)
            if not cuts.names:
                break
            self.add(cuts)
        return status

    def solve(self, time_limit_s: float) -> str:
        """Solve; return optimal, infeasible, unbounded, limit, or unknown where HiGHS comes to no verdict."""
        self.highs.setOptionValue("time_limit", self.highs.getRunTime() + max(time_limit_s, 0.01))
        self.highs.run()
        if (status := _status(self.highs)) == "unknown":
            self.highs.clearSolver()  # a basis gone stale: begin anew
            self.highs.run()
            status = _status(self.highs)
        if status == "unknown":
            self.highs.clearSolver()
        if status == "optimal":
            solution = self.highs.getSolution()
            self.value = self.highs.getObjectiveValue()
            self.z = np.array(solution.col_value)
            self.reduced_cost = np.array(solution.col_dual)
            self.row_dual = np.array(solution.row_dual)
        return status


def silent_highs() -> Any:
    """Return a HiGHS that prints nothing and uses one thread."""
    try:
        import highspy
    except ImportError as cause:
        raise SolveError("highspy is not installed.", "pip install highspy") from cause

    class Silent(highspy.Highs):
        # HiGHS prints its name when callbacks are first enabled, before any option can be set
        def enableCallbacks(self) -> None:
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    highs = Silent()
    highs.setOptionValue("threads", 1)
    return highs


def _highs(milp: Milp) -> Any:
    highs, rows = silent_highs(), milp.rows  # says so where it is missing
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(milp.cost), rows.shape[0]
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = milp.cost, milp.lower, milp.upper
    lp.row_lower_, lp.row_upper_ = milp.row_lower, milp.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = rows.indptr, rows.indices
    lp.a_matrix_.value_ = rows.data
    if highs.passModel(lp) == highspy.HighsStatus.kError:
        raise SolveError("HiGHS refuses the program.", "Look for a missing or infinite figure.")
    return highs


def add_rows(highs: Any, matrix: sparse.csr_matrix, lower: np.ndarray, upper: np.ndarray) -> None:
    """Add lower <= matrix @ z <= upper to a program of HiGHS."""
    if matrix.shape[0]:
        highs.addRows(
            matrix.shape[0],
            lower,
            upper,
            matrix.nnz,
            matrix.indptr[:-1].astype(np.int32),
            matrix.indices.astype(np.int32),
            matrix.data,
        )


def _status(highs: Any) -> str:
    return _known("HiGHS", highs.modelStatusToString(highs.getModelStatus()))


def _known(solver: str, said: str) -> str:
    if said.lower() not in _STATUS:
        raise SolveError(f"{solver} stopped: {said}.")
    return _STATUS[said.lower()]


@record
class SolveOptions:
    """How to solve. The default solver was chosen by measurement (docs/allocation.md); efforts are as the solver has them.

    ``gap``: relative distance of cost and proven bound at which to stop. ``solver``:
    highs (highspy), mathopt_gscip or mathopt_highs (OR-Tools). ``presolve``, ``cuts`` and
    ``heuristics``: the solver's effort for each, ``default``, ``off``, ``low``, ``medium`` or ``high``;
    ``cuts="off"`` leaves out the library's own strengthening rows as well.
    ``progress`` is told seconds, cost of the best plan and proven bound whenever a better plan is found.
    """

    gap: Annotated[Number, Field(ge=0, lt=1)] = 1e-4
    time_limit_s: Positive = 60.0
    threads: Annotated[int, Field(ge=1)] = 1
    solver: Solver = "highs"
    presolve: Effort = "default"
    cuts: Effort = "default"
    heuristics: Effort = "default"
    progress: Callable[[float, float, float], None] | None = None


def solve_mip(
    milp: Milp,
    cuts: list[Cuts],
    *,
    upper: np.ndarray,
    options: SolveOptions,
    start: np.ndarray | None = None,
    seen: Callable[[np.ndarray, float], bool] | None = None,
) -> Answer:
    """Solve the program with ``cuts`` to the options' gap in their time, under column bounds ``upper``.

    ``seen`` is shown each better point on the way and the bound proven by then (HiGHS); where it
    returns true the search ends. Raises SolveError where a solver is missing or fails; its own
    exceptions are translated.
    """
    cut = join(cuts, len(milp.cost))
    rows = sparse.vstack([milp.rows, cut.matrix], format="csr")
    rows.sort_indices()
    program = replace(
        milp,
        rows=rows,
        row_lower=np.r_[milp.row_lower, np.full(len(cut.upper), -np.inf)],
        row_upper=np.r_[milp.row_upper, cut.upper],
        upper=upper,
    )
    for warm in (start, None) if start is not None else (None,):
        if options.solver == "highs":
            answer = _with_highspy(program, options, warm, seen)
        else:
            answer = _with_mathopt(program, options, warm)
        # HiGHS 1.16 was seen to call a start "optimal" at a cost that it does not have
        wrong = 0.0 if answer.z is None else abs(milp.cost @ answer.z - answer.objective)
        if wrong <= 1e-5 * max(1.0, abs(answer.objective)):
            return answer
    raise SolveError(
        f"{options.solver} reports a cost of {answer.objective:g} for a point of {milp.cost @ answer.z:g}."
    )


def _with_highspy(
    milp: Milp, options: SolveOptions, start: np.ndarray | None, seen: Callable | None
) -> Answer:
    highs = _highs(milp)
    import highspy

    whole = np.flatnonzero(milp.integer).astype(np.int32)
    highs.changeColsIntegrality(
        len(whole), whole, np.array([highspy.HighsVarType.kInteger] * len(whole))
    )
    given: dict[str, Any] = {"threads": options.threads, "time_limit": options.time_limit_s}
    given |= {"mip_rel_gap": options.gap, "mip_abs_gap": 0.0}
    if options.presolve != "default":
        given["presolve"] = "off" if options.presolve == "off" else "on"
    if options.cuts != "default":
        given["mip_allow_cut_separation_at_nodes"] = options.cuts != "off"
    if options.heuristics != "default":
        given["mip_heuristic_effort"] = _HEURISTIC_EFFORT[options.heuristics]
        # at no effort HiGHS would still run them once at the root
        given |= {
            f"mip_heuristic_run_{name}": options.heuristics != "off" for name in _SUB_PROGRAMS
        }
    for name, value in given.items():
        highs.setOptionValue(name, value)
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = list(start)
        highs.setSolution(solution)
    ended: list[bool] = []

    def better(event: Any) -> None:
        if seen and seen(np.array(event.data_out.mip_solution), event.data_out.mip_dual_bound):
            ended.append(True)

    highs.cbMipInterrupt += lambda event: event.interrupt(bool(ended))
    highs.cbMipImprovingSolution += better
    _, stopped = _until_stopped(highs.run, lambda: ended.append(True))
    status = _status(highs)
    info = highs.getInfo()
    if status in ("infeasible", "unbounded") or info.primal_solution_status != 2:
        return Answer(status, None, np.inf, float(info.mip_dual_bound), stopped)
    z = np.array(highs.getSolution().col_value)
    return Answer(
        status, z, float(info.objective_function_value), float(info.mip_dual_bound), stopped
    )


def _with_mathopt(milp: Milp, options: SolveOptions, start: np.ndarray | None) -> Answer:
    if "tensorflow" in sys.modules:
        raise SolveError(
            "TensorFlow is loaded in this process, where OR-Tools crashes.",
            "Use solver highs, or a process without it: a forecast does not need the import.",
        )
    try:
        from ortools.math_opt import model_pb2
        from ortools.math_opt.python import mathopt
    except ImportError as cause:
        raise SolveError("OR-Tools is not installed.", "pip install ortools") from cause
    n, entries = np.arange(len(milp.cost)), milp.rows.tocoo()
    proto = model_pb2.ModelProto(
        variables={
            "ids": n,
            "lower_bounds": milp.lower,
            "upper_bounds": milp.upper,
            "integers": milp.integer,
        },
        objective={"linear_coefficients": {"ids": n, "values": milp.cost}},
        linear_constraints={
            "ids": np.arange(entries.shape[0]),
            "lower_bounds": milp.row_lower,
            "upper_bounds": milp.row_upper,
        },
        linear_constraint_matrix={
            "row_ids": entries.row,
            "column_ids": entries.col,
            "coefficients": entries.data,
        },
    )
    model = mathopt.Model.from_model_proto(proto)
    variables = list(model.variables())
    gscip = options.solver == "mathopt_gscip"
    parameters = mathopt.SolveParameters(
        time_limit=datetime.timedelta(seconds=options.time_limit_s),
        relative_gap_tolerance=options.gap,
        absolute_gap_tolerance=0.0,
        threads=options.threads if gscip else None,  # refused by HiGHS behind MathOpt
        **{
            name: mathopt.Emphasis[getattr(options, name).upper()]
            for name in ("presolve", "cuts", "heuristics")
            if getattr(options, name) != "default" and (gscip or name != "cuts")
        },
    )
    model_parameters = mathopt.ModelSolveParameters()
    if start is not None:
        hint = mathopt.SolutionHint(
            variable_values=dict(zip(variables, start.tolist(), strict=True))
        )
        model_parameters.solution_hints.append(hint)
    kind = mathopt.SolverType.GSCIP if gscip else mathopt.SolverType.HIGHS

    def run() -> Any:
        return mathopt.solve(model, kind, params=parameters, model_params=model_parameters)

    try:
        result, stopped = _until_stopped(
            run, lambda: None
        )  # it heeds no interrupt: it ends in time
    # OR-Tools 9.15 breaks while raising its own error (issue 4606): an AttributeError comes out
    except (AttributeError, RuntimeError, ValueError) as cause:
        said = cause.__context__ or cause
        raise SolveError(f"{options.solver} failed: {said}.", "Try another solver.") from cause
    reason = result.termination.reason.name.replace("_", " ")
    status = _known(f"{options.solver} ({result.termination.detail})", reason)
    bound = result.termination.objective_bounds.dual_bound
    if not result.has_primal_feasible_solution():
        return Answer(status, None, np.inf, bound, stopped)
    z = np.array(result.variable_values(variables))
    return Answer(status, z, result.objective_value(), bound, stopped)
