"""docs/add-a-scenario.md is true: its scenario and its kind of shock need no other file."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from cloudarb_lib import risk
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Positive, record
from cloudarb_lib.risk.scenarios import OffersHit
from cloudarb_lib.risk.shocks import SHOCK_KINDS, CostShock, PriceShock
from cloudarb_lib.testing import AWS_SPOT, GCP_COMMITMENT, GCP_SPOT, stressed

PAGE = Path(__file__).parents[2] / "docs" / "add-a-scenario.md"


def written_to(folder: Path, name: str, *, language: str) -> Path:
    """Write the page's block of a language to a file and return it."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.S)
    file = folder / name
    file.write_text(block)
    return file


@pytest.fixture
def surge(tmp_path):
    """The kind of shock of the page, in the registry until the test ends."""
    before = list(SHOCK_KINDS)
    yield runpy.run_path(str(written_to(tmp_path, "surge.py", language="python")))["Surge"]
    SHOCK_KINDS[:] = before


def test_a_scenario_is_an_entry_of_a_file(tmp_path):
    (cheap,) = risk.load_scenarios(written_to(tmp_path, "mine.yaml", language="yaml"))
    assert cheap.shocks == (PriceShock(0.8), CostShock(1.1))
    assert cheap.offers_hit == OffersHit(purchase_option="spot", region="largest")
    held = {GCP_SPOT: 4.0, AWS_SPOT: 1.0, GCP_COMMITMENT: 1.0}
    table = stressed(cheap, spread=0.0, instances=held)
    expected = 1.1 * 672 * (0.8 * 4 * 20.0 + 30.0 + 50.0)
    assert table.loc[cheap.name, "expected_cost_usd"] == pytest.approx(expected)


def test_a_kind_of_shock_is_a_class(tmp_path, surge):
    file = tmp_path / "mine.yaml"
    text = "scenarios:\n- name: rush\n  surge: 3\n  surge_share: 0.5\n  cost: 2\n  provider: gcp\n"
    file.write_text(text)
    (rush,) = risk.load_scenarios(file)
    assert rush == risk.StressScenario.of(
        "rush", surge=3.0, surge_share=0.5, cost=2.0, provider="gcp"
    )
    assert rush.shocks == (CostShock(2.0), surge(3.0, 0.5))
    table = stressed(rush, spread=0.0, instances={GCP_SPOT: 1.0, AWS_SPOT: 1.0, GCP_COMMITMENT: 1})
    expected = 2 * 672 * (2 * 20.0 + 30.0 + 50.0)  # GCP's spot price triples for half the time
    assert table.loc["rush", "expected_cost_usd"] == pytest.approx(expected)


def test_its_keys_are_checked_as_all_others_are(tmp_path, surge):
    file = tmp_path / "mine.yaml"
    for line, message in (
        ("surge: steep", "mine.yaml, line 3: surge is 'steep'.*Write a number"),
        ("surge_share: 2", "mine.yaml, line 3: surge_share is 2"),
        ("surges: 2", "line 3: key 'surges' is not known.*did you mean 'surge'"),
    ):
        file.write_text(f"scenarios:\n- name: rush\n  {line}\n")
        with pytest.raises(ParameterError, match=message):
            risk.load_scenarios(file)


def test_without_the_class_its_keys_are_not_known():
    with pytest.raises(ParameterError, match="key 'surge' is not known"):
        risk.StressScenario.of("rush", surge=3.0)


def test_a_key_belongs_to_one_kind():
    with pytest.raises(ValueError, match="Twice: PriceShock has key 'price' already"):

        @risk.shock_kind
        @record
        class Twice(risk.Shock):
            price: Positive = 1.0

            def effect(self, inputs, offer_ids):
                return risk.Effect()

    assert len(SHOCK_KINDS) == len(np.unique([kind.__name__ for kind in SHOCK_KINDS]))
