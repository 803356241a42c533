"""How a plan is to be solved for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.base.records import Number, Positive, record

Solver = Literal["highs", "mathopt_gscip", "mathopt_highs"]
Effort = Literal["default", "off", "low", "medium", "high"]


@record
class SolveOptions:
    """How to solve. The default solver was chosen by measurement (docs/allocation.md).

    Parameters
    ----------
    gap
        Relative distance of cost and proven bound at which to stop.
    gap_usd
        Distance at which to stop too, USD.
    work_limit
        Units of work (``solver.work``) after which to stop with the best plan so far: each about a
        second of one core of a quiet machine, but counted, so that the same problem ends at the
        same plan and bound however busy the machine is.
    time_limit_s
        Seconds after which to stop all the same, by the clock: for a person in a hurry. A plan
        that it cuts short says so (``time_limit_with_plan``).
    threads
        Threads of the solver; ``mathopt_highs`` takes one. With more than one, the plan may differ
        from one solve to the next.
    solver
        ``highs`` (highspy), or ``mathopt_gscip`` or ``mathopt_highs`` (OR-Tools), whose work is
        their seconds: it can not be counted.
    presolve, cuts, heuristics
        The solver's effort for each, as far as it has such an option; ``cuts="off"`` leaves out
        the library's own strengthening rows as well.
    progress
        Is called with the best plan so far (status ``searching``), whose cost, gap, bound and
        seconds tell how far the search is: for every better plan, and for better bounds.
    stop
        Is asked now and then; where it returns true the search ends with the best plan so far
        (status ``interrupted``).
    """

    gap: Annotated[Number, Field(ge=0, lt=1)] = 1e-4
    gap_usd: Annotated[Number, Field(ge=0)] = 0.0
    work_limit: Positive = 60.0
    time_limit_s: Positive = 600.0
    threads: Annotated[int, Field(ge=1)] = 1
    solver: Solver = "highs"
    presolve: Effort = "default"
    cuts: Effort = "default"
    heuristics: Effort = "default"
    progress: Callable[[Plan], None] | None = None
    stop: Callable[[], bool] | None = None
