"""The solvers of OR-Tools, through MathOpt."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import numpy as np

from cloudarb_lib.allocate.solver.answer import Answer, run_interruptibly, shared_status
from cloudarb_lib.allocate.solver.milp import Milp
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.base.errors import SolveError


def solve_with_mathopt(milp: Milp, options: SolveOptions, start: np.ndarray | None) -> Answer:
    """Solve the program from the point ``start`` with the solver that the options name."""
    mathopt, model_pb2 = _import_mathopt()
    model = mathopt.Model.from_model_proto(_model_proto(model_pb2, milp))
    variables = list(model.variables())
    model_parameters = mathopt.ModelSolveParameters()
    if start is not None:
        values = dict(zip(variables, start.tolist(), strict=True))
        model_parameters.solution_hints.append(mathopt.SolutionHint(variable_values=values))
    parameters = _parameters(mathopt, options)
    solver_type = mathopt.SolverType.GSCIP if _is_gscip(options) else mathopt.SolverType.HIGHS

    def run() -> Any:
        return mathopt.solve(model, solver_type, params=parameters, model_params=model_parameters)

    try:
        # it heeds no interrupt: it ends in time
        result, stopped = run_interruptibly(run, lambda: None)
    # OR-Tools 9.15 breaks while raising its own error (issue 4606): an AttributeError comes out
    except (AttributeError, RuntimeError, ValueError) as cause:
        error = cause.__context__ or cause
        raise SolveError(f"{options.solver} failed: {error}.", "Try another solver.") from cause
    termination = result.termination
    reason = termination.reason.name.replace("_", " ")
    status = shared_status(f"{options.solver} ({termination.detail})", reason)
    bound = termination.objective_bounds.dual_bound
    seconds = result.solve_stats.solve_time.total_seconds()
    if not result.has_primal_feasible_solution():
        return Answer(status, None, np.inf, bound, stopped, seconds)
    z = np.array(result.variable_values(variables))
    return Answer(status, z, result.objective_value(), bound, stopped, seconds)


def _import_mathopt() -> tuple[Any, Any]:
    """MathOpt, and the form of its programs."""
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
    return mathopt, model_pb2


def _is_gscip(options: SolveOptions) -> bool:
    return options.solver == "mathopt_gscip"


def _model_proto(model_pb2: Any, milp: Milp) -> Any:
    columns = np.arange(len(milp.cost))
    entries = milp.rows.tocoo()
    return model_pb2.ModelProto(
        variables={
            "ids": columns,
            "lower_bounds": milp.lower,
            "upper_bounds": milp.upper,
            "integers": milp.integer,
        },
        objective={"linear_coefficients": {"ids": columns, "values": milp.cost}},
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


def _parameters(mathopt: Any, options: SolveOptions) -> Any:
    """The options as MathOpt takes them; HiGHS behind it refuses threads and cuts."""
    efforts = {"presolve": options.presolve, "heuristics": options.heuristics}
    if _is_gscip(options):
        efforts["cuts"] = options.cuts
    return mathopt.SolveParameters(
        time_limit=datetime.timedelta(seconds=min(options.time_limit_s, options.work_limit)),
        relative_gap_tolerance=options.gap,
        absolute_gap_tolerance=0.0,
        threads=options.threads if _is_gscip(options) else None,
        **{
            name: mathopt.Emphasis[effort.upper()]
            for name, effort in efforts.items()
            if effort != "default"
        },
    )
