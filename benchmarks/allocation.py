"""How fast allocations are proven: ``python -m benchmarks.allocation [FILE.npz ...] --limits cvar``.

One JSON line an instance, by the product's own solve. Without files: the bundled instances under
each of the three sets of limits. The format of the files is in benchmarks/instances/README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib import allocate

INSTANCES = Path(__file__).parent / "instances"
LIMITS = ("none", "cvar", "cvar+diversification")


def load_instance(file: Path, limits: str) -> allocate.Problem:
    """Return the problem of an instance file under ``limits``."""
    d = np.load(file)
    offers, sites, workloads = len(d["offer_site"]), len(d["site_fee"]), int(d["pair_workload"].max()) + 1
    mean_price = d["scenario_price"].mean(axis=0)
    hours, offer = d["pair_instance_hours"], d["pair_offer"]
    sure = d["pair_expected_cost"] - mean_price[offer] * hours  # egress and the like
    slots = pd.DataFrame(
        {
            "offer_id": [f"offer {j}" for j in range(offers)], "period": 0, "pool": np.arange(offers),
            "provider": d["offer_provider"], "region": d["offer_site"], "site": d["offer_site"],
            "on_demand": ~d["offer_is_spot"], "gpus": 1.0, "list_price": d["offer_list_price"],
            "mean_price": mean_price,
        }
    )  # fmt: skip
    pairs = pd.DataFrame(
        {
            "demand": d["pair_workload"], "slot": offer, "cover": 1.0, "hours": hours,
            "instances": d["pair_instances"].astype(float), "pool_use": d["pair_instances"].astype(float),
            "sure_usd": np.where(np.abs(sure) < 1e-6, 0.0, sure), "most": 1.0,
        }
    )  # fmt: skip
    return allocate.Problem(
        demands=pd.DataFrame(
            {"workload": [f"workload {i}" for i in range(workloads)], "need": 1.0, "unmet_usd": np.inf}
        ),
        slots=slots,
        pairs=pairs,
        pools=pd.DataFrame({"name": slots["offer_id"], "capacity": d["offer_capacity"].astype(float)}),
        sites=pd.DataFrame({"name": [f"site {k}" for k in range(sites)], "fee_usd": d["site_fee"]}),
        paths=d["scenario_price"],
        limits=allocate.Limits(
            budget_usd=float(d["budget"]),
            cvar_usd=float(d["cvar_limit"]) if "cvar" in limits else None,
            cvar_level=float(d["cvar_level"]),
            effective_providers=1 / float(d["hhi_limit"]) if "diversification" in limits else None,
        ),
        exact=True,
    )


def measure(file: Path, limits: str, options: allocate.SolveOptions) -> dict[str, object]:
    """Return one line of the report: the instance solved, timed and checked."""
    cpu = time.process_time()
    plan = allocate.solve(load_instance(file, limits), options)
    line: dict[str, object] = {"file": file.name, "limits": limits, "status": plan.status}
    line["bound"] = round(plan.bound_usd, 2)
    if plan.has_plan:
        line |= {"objective": round(plan.objective_usd, 2), "gap": float(f"{plan.gap:.3g}")}
        line["check"] = not plan.verdict.broken
    return line | {
        "seconds": round(plan.seconds, 2), "cpu_seconds": round(time.process_time() - cpu, 2)
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--limits", choices=LIMITS)
    parser.add_argument("--gap", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--solver", default=allocate.SolveOptions.solver)
    given = parser.parse_args()
    options = allocate.SolveOptions(gap=given.gap, time_limit_s=given.time_limit, solver=given.solver)
    for limits in [given.limits] if given.limits else LIMITS:
        for file in given.files or sorted(INSTANCES.glob("*.npz")):
            print(json.dumps(measure(file, limits, options)), flush=True)


if __name__ == "__main__":
    main()
