"""How soon plan, risk and prices follow a control, on the default configuration's day.

usage: python -m benchmarks.controls

A line for each control that is moved: seconds until the picture is drawn in the kernel (what a
browser adds is not in it), and CPU seconds of the kernel's process. For plans the search runs in
its own process: seconds to the first plan shown, and to one proven within 0.1 %.
"""

from __future__ import annotations

import time

from benchmarks.command_line import names_of
from cloudarb_lib import advice, allocate, risk, store
from cloudarb_lib.base import units
from cloudarb_lib.base.locations import find
from cloudarb_lib.controls.costs import RiskControl
from cloudarb_lib.controls.plans import AllocationControl
from cloudarb_lib.controls.prices import ExploreControl
from cloudarb_lib.controls.replanning import Case
from cloudarb_lib.market import read_market
from cloudarb_lib.tables.assumptions import load_assumptions

AS_OF = "2026-04-02"
PROVIDERS = ["gcp", "azure", "aws"]
AGES = {"*": 14.0}
STEPS = 13
HOURS = STEPS * units.HOURS_PER_WEEK
LIMITS = allocate.Limits(budget_usd=1_350_000.0, diversify="region")
WAIT_S = 120.0


def moved(name, field, value):
    """Move a control that is answered in the kernel, and print how long that took."""
    began = time.perf_counter()
    cpu_began = time.process_time()
    field.value = value
    cpu_s = time.process_time() - cpu_began
    print(f"{name:<38}{time.perf_counter() - began:>8.2f}{cpu_s:>8.2f}", flush=True)


def planned(control, name, field, value):
    """Move a control of the plan, and print when the first plan and the proven one are shown."""
    shown = []
    began = time.perf_counter()

    def note(_):
        shown.append(time.perf_counter() - began)

    control.status.observe(note, "value")
    field.value = value
    control.background.wait(WAIT_S)
    control.status.unobserve(note, "value")
    first = shown[min(1, len(shown) - 1)]  # before it says that it plans
    answer = control.answer
    ended = f"{answer.status}, {answer.gap:.2%}"
    if "No plan" in control.status.value:  # first: that there is none; done: what would mend it
        ended = "no plan, and what would mend it"
    print(f"{name:<38}{first:>8.2f}{shown[-1]:>8.2f}   {ended}", flush=True)


def main():
    """Print the tables."""
    now = units.parse_as_of(AS_OF)
    with store.open_snapshot("") as snapshot:
        market = read_market(snapshot, now, providers=PROVIDERS, stale_after_days=AGES)
    work = allocate.load_demand(find("data/demand.yaml"))
    chosen = market.offers_of(advice.accepted_models(work.workloads), [])
    assumptions = load_assumptions()
    size = {"freq": "7D", "horizon_steps": STEPS, "n_paths": 500, "seed": 7}
    paths = advice.sample_paths(market, chosen["offer_id"], assumptions, **size)
    terms = {"limits": LIMITS, "assumptions": assumptions, "hours": [HOURS]}
    plan = allocate.solve(allocate.build_problem(work, market.offers, paths=paths, **terms)).table

    print(f"{'prices and risk: moved':<38}{'s':>8}{'CPU s':>8}")
    prices = ExploreControl(market.offers, market.panel("7D"))
    moved("GPU model", prices.gpu_model, "H100")
    moved("provider", prices.provider, "gcp")
    inputs = risk.RiskInputs(market.offers, paths, assumptions, HOURS, 7)
    costs = RiskControl(inputs, plan, budget_usd=1_350_000.0, scenarios=risk.load_scenarios())
    costs.drawing.join()
    moved("level", costs.level, 0.99)
    moved("hazard", costs.hazard, "stressed")
    moved("chance of a provider's outage", costs.chances["provider_outage"], 2)
    moved("chance of a market crash too", costs.chances["market_crash"], 2)
    moved("hazard, with both", costs.hazard, "calm")
    moved("horizon, with both", costs.horizon, 8)

    print(f"\n{'plan: moved':<38}{'first s':>8}{'done s':>8}")
    control = AllocationControl(
        Case(work, market.offers, paths, assumptions, LIMITS, [HOURS], plan)
    )
    control.background.wait(WAIT_S)
    planned(control, "budget lifted", control.budget, 0.0)
    for share in (0.997, 0.98):  # the second below that of every plan
        tail_usd = share * control.answer.cvar_usd
        with control.cvar.hold_trait_notifications():
            control.cvar.options = [*control.cvar.options, (f"{tail_usd:,.0f}", tail_usd)]
            control.cvar.value = 0.0
        control.background.wait(WAIT_S)
        planned(control, f"worst 5 % limited to {share:.1%}", control.cvar, tail_usd)
        planned(control, "worst 5 % unlimited", control.cvar, 0.0)
    planned(control, "spot 70 % at most", control.spot, 0.3)
    planned(control, "carbon at $100 a tonne", control.carbon, 100.0)
    places = control.places["train-llm"]
    planned(control, "train-llm: a place less", places, places.value[1:])
    planned(control, "1.5 effective regions", control.spread, 1.5)
    control.background.worker.close()


if __name__ == "__main__":
    names_of(__doc__)
    main()
