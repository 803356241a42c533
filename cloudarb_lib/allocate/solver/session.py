"""Plans for a problem that is changed a little, solved, and changed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.search import solve_from


class PlanSession:
    """Solves one problem after another, each from what the one before left.

    A person moves a slider: a limit, a price or a workload changes, and the plan must follow. What
    the last solve found is repaired and beaten; the answer is as good, and as well proven, as one
    from nothing. Any problem may follow any other: what does not fit is left out.

    Parameters
    ----------
    options
        How to solve each: gap and time are what a person would wait for.

    Examples
    --------
    >>> session = PlanSession(SolveOptions(gap=1e-3, time_limit_s=10.0))
    >>> plan = session.solve(problem)
    >>> tighter = session.solve(problem.under(budget_usd=20_000.0), on_progress=draw)
    """

    def __init__(self, options: SolveOptions | None = None) -> None:
        self.options = options or SolveOptions()
        self._known = Known()

    def solve(
        self,
        problem: Problem,
        *,
        on_progress: Callable[[Plan], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Plan:
        """Return the best plan found, as ``allocate.solve`` does.

        Parameters
        ----------
        problem
            That of before with something changed (``Problem.under`` for limits, ``build_problem``
            for prices and workloads), or another one.
        on_progress
            Is called with the best plan so far (status ``searching``): its cost, proven bound, gap
            and seconds.
        stop
            Is asked now and then, from the thread of ``solve`` or one that it starts; where it
            returns true the best plan so far is returned (status ``interrupted``), or one without
            counts where none was found yet.
        """
        options = replace(self.options, progress=on_progress, stop=stop)
        return solve_from(problem, options, self._known, None)
