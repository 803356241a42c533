"""The page docs/demand.md: ``python -m cloudarb_lib.allocate.demand_page`` prints it.

Keys, meanings, units and examples come from the schema that reads a demand file, the plans of the
worked examples from the solver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter

from cloudarb_lib.allocate.demand import Demand, load_demand
from cloudarb_lib.allocate.examples import EXAMPLES, WEEKS, Example, example_offers
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.priority import left_undone, solve_by_priority
from cloudarb_lib.allocate.problem.build import build_problem
from cloudarb_lib.allocate.problem.horizon import hours_of_periods
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.tables.run_tables import paid_usd

_HEAD = """# The demand file
<!-- python -m cloudarb_lib.allocate.demand_page writes this page -->

What has to run, and what a planner knows beside it, as YAML.
`cloudarb allocate FILE --as-of DAY --out FOLDER` plans it; [allocation](allocation.md) says how.
Whatever is mistaken (an unknown key, a missing one, a value of the wrong kind or size, a need that
no offer fits) is refused with its line, the nearest known name and the way out.

A GPU model stands for itself alone. H100 is the SXM module, or one whose source does not say which;
H100-PCIE, H100-NVL and H200-NVL are other machines at other prices, and serve a workload only where
its `accepts` names them (`cloudarb_lib/sources/names/gpus.csv` lists every model). A100 and V100 of
one memory size count as one model, whatever their board.

Periods follow from the demand: as many as `needs` lists, else one that ends with each deadline (and
each week before it where being `early` is worth something). `--periods` cuts equal ones instead."""
_EXAMPLES_HEAD = f"""## Worked examples
Each is planned for {WEEKS} weeks on this small market: its prices are made up, capacities and
hazards are those of `data/assumptions.csv`. USD is what a row costs over its period: rent, disks,
region fees, and hours that are taken away and bought elsewhere."""


Worked = tuple[Plan, list[str]]
"""The plan of an example, and in words what it leaves undone."""


def page(plans: Sequence[Worked]) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    plans
        Of the worked examples, in their order, as ``plan_of`` returns them.
    """
    worked = _worked(plans)
    return "\n".join([_HEAD, *_schema_lines(), "", _EXAMPLES_HEAD, *_market_lines(), *worked])


def problem_of(example: Example) -> Problem:
    """Return the problem of an example on the small market."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "demand.yaml"
        file.write_text(example.text, encoding="utf-8")
        demand = load_demand(file)
    hours = hours_of_periods(demand, WEEKS * HOURS_PER_WEEK)
    return build_problem(demand, example_offers(), assumptions=load_assumptions(), hours=hours)


def plan_of(example: Example) -> Worked:
    """Return the plan of an example, and in words what it leaves undone."""
    plan = solve_by_priority(problem_of(example))
    return plan, left_undone(plan)


def _schema_lines() -> Iterator[str]:
    """Yield a section for each key of the file, with a table of the keys of its entries."""
    schema = TypeAdapter(Demand).json_schema()
    for name, about in schema["properties"].items():
        entry = _resolved(schema, about.get("items", about))
        what = "A list." if "items" in about else "Keys and values."
        yield from ("", f"## `{name}`", f"{_sentence(about['description'])} {what}", "")
        yield from ("| key | meaning | unit | example | if left out |", "|---|---|---|---|---|")
        required = entry.get("required", [])
        for key, value in entry["properties"].items():
            yield _row(key, value, is_required=key in required)


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    resolved: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]] if reference else node
    return resolved


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _row(key: str, about: dict[str, Any], *, is_required: bool) -> str:
    """Return the row of a key."""
    default = about.get("default")
    is_told = isinstance(default, str | int | float) and not isinstance(default, bool)
    without = "refused" if is_required else f"`{default}`" if is_told and default else ""
    without = about["without"] or without
    example = f"`{about['examples'][0]}`"
    cells = (f"`{key}`", about["description"], about["unit"], example, without)
    return f"| {' | '.join(cells)} |"


def _market_lines() -> Iterator[str]:
    yield from ("", "| offer | GPU | USD per instance-hour |", "|---|---|---|")
    for row in example_offers().to_dict("records"):
        gpus = f"{row['gpu_count']:g} {row['gpu_model']}"
        yield f"| {row['offer_id']} | {gpus} | {row['price_usd_per_hour']:g} |"


def _worked(plans: Sequence[Worked]) -> Iterator[str]:
    """Yield each example with its plan."""
    for example, (plan, undone) in zip(EXAMPLES, plans, strict=True):
        yield from ("", f"### {example.title}", "```yaml", example.text.rstrip(), "```", "")
        yield from _plan_lines(plan)
        if undone:
            yield from ("", *(f"{_sentence(words)}" for words in undone))


def _plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the table of a plan."""
    has_periods = plan.table["period"].nunique() > 1
    when = "| period " if has_periods else ""
    yield f"| workload {when}| machines | offer | USD |"
    yield f"|---{'|---' if has_periods else ''}|---|---|---|"
    for row in plan.table.assign(usd=paid_usd(plan.table)).to_dict("records"):
        period = f"| {row['period'] + 1} " if has_periods else ""
        usd = f"{row['usd']:,.0f}"
        yield (f"| {row['workload']} {period}| {row['instances']:g} | {row['offer_id']} | {usd} |")


if __name__ == "__main__":
    print(page([plan_of(example) for example in EXAMPLES]))
