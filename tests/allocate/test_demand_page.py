"""docs/demand.md is what the schema and the solver say."""

from pathlib import Path

import pytest

from cloudarb_lib.allocate import demand_page
from cloudarb_lib.allocate.examples import EXAMPLES
from cloudarb_lib.base.records import record

pytestmark = pytest.mark.solver
COMMAND = "python -m cloudarb_lib.allocate.demand_page"
PAGE = Path(__file__).parents[2] / "docs" / "demand.md"


@pytest.fixture(scope="module")
def plans():
    return [demand_page.plan_of(example) for example in EXAMPLES]


def test_every_example_has_a_plan_that_keeps_all_limits(plans):
    for example, (plan, _) in zip(EXAMPLES, plans, strict=True):
        assert plan.verdict.broken == (), example.title


def test_the_page_is_current(plans):
    printed = demand_page.page(plans) + "\n"
    assert PAGE.read_text() == printed, f"write what {COMMAND} prints into docs/demand.md"


def test_every_key_that_a_file_may_hold_says_what_it_means(plans):
    """A field without ``base.records.key`` has no meaning to print, and fails here."""
    for row in demand_page.page(plans).splitlines():
        if row.startswith("| `"):
            assert len(row.split(" | ")) == 5
            assert row.split(" | ")[1].strip()


def test_a_key_without_a_meaning_is_found(monkeypatch):
    @record
    class Silent:
        workload: str = ""

    @record
    class Demand:
        demand: Silent

    monkeypatch.setattr(demand_page, "Demand", Demand)
    with pytest.raises(KeyError, match="description"):
        demand_page.page([])
