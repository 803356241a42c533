"""HiGHS through highspy: a program loaded, rows added to it, and solved as a MIP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.solver import work
from cloudarb_lib.allocate.solver.answer import Answer, run_interruptibly, shared_status
from cloudarb_lib.allocate.solver.milp import Milp
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.base.errors import SolveError

_ROOT_PROGRAMS = ("rens", "root_reduced_cost")
_SUB_PROGRAMS = {
    "default": _ROOT_PROGRAMS,
    "off": ("rins", *_ROOT_PROGRAMS),
    "low": (),
    "medium": (),
    "high": (),
}
"""Heuristics of HiGHS that are left out. It runs those of the root even at no effort; a dive
(``descent``) finds as good a plan in less time."""
_PLAIN = {"mip_allow_restart": False, "mip_detect_symmetry": False, "mip_pscost_minreliable": 0}
"""With neither cuts nor heuristics nothing else is tried before a branch is taken: the quickest for
a bound over few whole columns."""
_HEURISTIC_EFFORT = {"off": 0.0, "low": 0.02, "medium": 0.1, "high": 0.3}
"""Share of the time that HiGHS may spend on finding plans; 0.05 by default."""
_ABOVE_ALL_PLANS = 10.0
"""So many times what all columns cost at their most: no plan costs more, whatever presolve does to
the program's offset."""
_FEASIBLE = 2
"""What HiGHS calls a primal solution that keeps all rows."""


def silent_highs() -> Any:
    """Return a HiGHS that prints nothing and uses one thread."""
    try:
        import highspy
    except ImportError as cause:
        raise SolveError("highspy is not installed.", "pip install highspy") from cause
    highs = _silent(highspy.Highs)()
    highs.setOptionValue("threads", 1)
    return highs


@cache
def _silent(kind: Any) -> Any:
    """The kind of HiGHS that prints nothing; made once, as it takes longer than a small solve."""

    class Silent(kind):
        # HiGHS prints its name when callbacks are first enabled, before any option can be set
        def enableCallbacks(self) -> None:
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    return Silent


def load_relaxation(milp: Milp) -> Any:
    """Return a HiGHS that holds the program without its integrality."""
    highs = silent_highs()  # says so where it is missing
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_ = len(milp.cost)
    lp.num_row_ = milp.rows.shape[0]
    lp.col_cost_ = milp.cost
    lp.col_lower_ = milp.lower
    lp.col_upper_ = milp.upper
    lp.row_lower_ = milp.row_lower
    lp.row_upper_ = milp.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = milp.rows.indptr
    lp.a_matrix_.index_ = milp.rows.indices
    lp.a_matrix_.value_ = milp.rows.data
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


def status_of(highs: Any) -> str:
    return shared_status("HiGHS", highs.modelStatusToString(highs.getModelStatus()))


def solve_with_highs(
    milp: Milp,
    options: SolveOptions,
    start: np.ndarray | None,
    on_news: Callable[[np.ndarray | None, float], bool] | None,
) -> Answer:
    """Solve the program from the point ``start``; end early where ``on_news`` returns true.

    HiGHS limits time, nodes and leaves, none of which is work: a root may take as long as a
    thousand nodes. It asks whether to go on at the same points of each solve, and these are
    counted.
    """
    highs = load_relaxation(milp)
    _require_whole(highs, milp)
    for name, value in _option_values(options).items():
        highs.setOptionValue(name, value)
    highs.setOptionValue("objective_bound", _ABOVE_ALL_PLANS * most_cost(milp))
    if start is not None:
        _set_start(highs, start)
    ended: list[bool] = []
    stopped: list[bool] = []
    bound = -np.inf
    checks = 0

    def show_better(event: Any) -> None:
        z = np.array(event.data_out.mip_solution)
        if on_news and on_news(z, event.data_out.mip_dual_bound):
            ended.append(True)

    def end_where_asked(event: Any) -> None:
        nonlocal bound, checks
        checks += 1
        if work.of_mip(milp.rows.nnz, checks) >= options.work_limit:
            ended.append(True)
        if options.stop is not None and options.stop():
            stopped.append(True)
        if event.data_out.mip_dual_bound > bound:
            bound = event.data_out.mip_dual_bound
            if on_news and on_news(None, bound):
                ended.append(True)
        event.interrupt(bool(ended or stopped))

    highs.cbMipInterrupt += end_where_asked
    highs.cbMipImprovingSolution += show_better
    _, by_signal = run_interruptibly(highs.run, lambda: ended.append(True))
    answer = _answer(highs, by_signal or bool(stopped))
    return replace(answer, work=work.of_mip(milp.rows.nnz, checks))


def _require_whole(highs: Any, milp: Milp) -> None:
    import highspy

    whole = np.flatnonzero(milp.integer).astype(np.int32)
    kinds = np.array([highspy.HighsVarType.kInteger] * len(whole))
    highs.changeColsIntegrality(len(whole), whole, kinds)


def _option_values(options: SolveOptions) -> dict[str, Any]:
    """The options under the names that HiGHS has for them."""
    values: dict[str, Any] = {
        "threads": options.threads,
        "time_limit": options.time_limit_s,
        "mip_rel_gap": options.gap,
        "mip_abs_gap": 0.0,
    }
    if options.presolve != "default":
        values["presolve"] = "off" if options.presolve == "off" else "on"
    if options.cuts != "default":
        values["mip_allow_cut_separation_at_nodes"] = options.cuts != "off"
    if options.heuristics != "default":
        values["mip_heuristic_effort"] = _HEURISTIC_EFFORT[options.heuristics]
    if options.cuts == options.heuristics == "off":
        values |= _PLAIN
    for name in _SUB_PROGRAMS[options.heuristics]:
        values[f"mip_heuristic_run_{name}"] = False
    return values


def most_cost(milp: Milp) -> float:
    """Return what all columns of a program cost at their most; infinite where one has no end.

    HiGHS that is told of a finite bound leaves out its feasibility pump, which under limits on
    shares learns thousands of conflicts from one small root, and spends minutes in them.
    """
    at_most = np.where(milp.cost > 0, milp.upper, milp.lower)
    costs = milp.cost != 0
    return float(milp.cost[costs] @ at_most[costs])


def _set_start(highs: Any, start: np.ndarray) -> None:
    import highspy

    solution = highspy.HighsSolution()
    solution.col_value = list(start)
    highs.setSolution(solution)


def _answer(highs: Any, stopped: bool) -> Answer:
    status = status_of(highs)
    info = highs.getInfo()
    bound = float(info.mip_dual_bound)
    has_point = info.primal_solution_status == _FEASIBLE
    if status == "limit" and bound == np.inf and not has_point:
        status = "infeasible"  # ended by us when the bound of the last node told it
    if status in ("infeasible", "unbounded") or not has_point:
        return Answer(status, None, np.inf, bound, stopped)
    z = np.array(highs.getSolution().col_value)
    return Answer(status, z, float(info.objective_function_value), bound, stopped)
