"""The one door to the MIP solvers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import sparse

from cloudarb_lib.allocate.solver.answer import Answer
from cloudarb_lib.allocate.solver.highs import solve_with_highs
from cloudarb_lib.allocate.solver.mathopt import solve_with_mathopt
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, join
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.base.errors import SolveError

_COST_TOLERANCE = 1e-5


def solve_mip(
    milp: Milp,
    cuts: list[Cuts],
    *,
    upper: np.ndarray,
    options: SolveOptions,
    start: np.ndarray | None = None,
    on_news: Callable[[np.ndarray | None, float], bool] | None = None,
) -> Answer:
    """Solve the program with ``cuts``, under column bounds ``upper``, within the options.

    Parameters
    ----------
    start
        A point to begin with.
    on_news
        Is called with each better point on the way, or None, and the bound proven by then
        (``highs`` alone); where it returns true the search ends.

    Raises
    ------
    SolveError
        A solver is missing or fails (its own exceptions are translated), or reports a cost that
        its point does not have.
    """
    program = _with_cuts(milp, cuts, upper)
    work = 0.0
    for warm_start in (start, None) if start is not None else (None,):
        if options.solver == "highs":
            answer = solve_with_highs(program, options, warm_start, on_news)
        else:
            answer = solve_with_mathopt(program, options, warm_start)
        work += answer.work
        # HiGHS 1.16 was seen to call a start "optimal" at a cost that it does not have
        error = 0.0 if answer.z is None else abs(milp.cost @ answer.z - answer.objective)
        if error <= _COST_TOLERANCE * max(1.0, abs(answer.objective)):
            return replace(answer, work=work)
    cost = milp.cost @ answer.z
    raise SolveError(
        f"{options.solver} reports a cost of {answer.objective:g} for a point of {cost:g}."
    )


def _with_cuts(milp: Milp, cuts: list[Cuts], upper: np.ndarray) -> Milp:
    cut = join(cuts, len(milp.cost))
    rows = sparse.vstack([milp.rows, cut.matrix], format="csr")
    rows.sort_indices()
    return replace(
        milp,
        rows=rows,
        row_lower=np.r_[milp.row_lower, np.full(len(cut.upper), -np.inf)],
        row_upper=np.r_[milp.row_upper, cut.upper],
        upper=upper,
    )
