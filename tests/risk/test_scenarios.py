"""Scenario files: the bundled ones, and mistakes told with their line."""

import pytest

from cloudarb_lib import risk
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.risk.scenarios import OffersHit
from cloudarb_lib.risk.shocks import (
    AvailabilityShock,
    CostShock,
    DemandShock,
    PriceShock,
    VolatilityShock,
)


def test_the_four_named_scenarios_hold_their_parameters():
    four = {s.name: s for s in risk.load_scenarios()[:4]}
    assert list(four) == ["market_crash", "provider_outage", "demand_spike", "regulatory_change"]
    crash = (PriceShock(0.7), VolatilityShock(2.0))
    assert four["market_crash"].shocks == crash
    assert four["provider_outage"].shocks == (AvailabilityShock(0.5),)
    assert four["provider_outage"].offers_hit == OffersHit(provider="largest")
    assert four["demand_spike"].shocks == (DemandShock(2.0),)
    assert four["regulatory_change"].shocks == (CostShock(1.2),)


@pytest.mark.parametrize(
    "bad",
    [
        {"price": -1.0},
        {"price": 0.0},
        {"availability": 1.5},
        {"demand": float("nan")},
        {"demand": 0.5},
        {"cost": 0.0},
        {"volatility": -1.0},
        {"since": "2025-08-06"},
        {"until": "2025-08-06"},
        {"record": "gcp/*"},
        {"since": "2025-08-06", "until": "2025-08-06"},
    ],
)
def test_a_scenario_that_cannot_be_is_refused(bad):
    with pytest.raises(ParameterError, match=f"scenario: .*{next(iter(bad))}"):
        risk.StressScenario.of("x", **bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scenarios:\n- name: a\n  prise: 2",
            r"mine.yaml, line 3: key 'prise' .*did you mean 'price'",
        ),
        (
            "scenarios:\n- name: a\n  3: 2",
            "line 3: scenarios is 3. Way out: Keys should be strings",
        ),
        ("scenarios:\n- name: a\n  price: dear", "line 3: price is 'dear'.*Write a number"),
        ("scenarios:\n- name: a\n  price: yes", "line 3: price is True.*Write a number"),
        ("scenarios:\n- name: a\n- name: a", "line 3: scenario 'a': name repeats"),
        ("scenarios:\n- price: 2", "line 2: name is missing"),
        ("scenarios:\n- name: 3", "line 2: name is 3.*Write a text"),
        ("scenarios:\n- name: a\n  provider: 3", "line 3: provider is 3"),
        ("scenarios:\n- name: a\n  availability: 2", "line 3: availability is 2"),
        ("scenarios:\n- name: a\n  since: 2025-08-06", "line 2: scenario 'a': since '2025-08-06'"),
        (
            "scenarios:\n- name: a\n  since: soon\n  until: 2025-01-01",
            "line 2: as_of 'soon' is not a time",
        ),
        (
            "scenarios:\n- name: a\n- name: b\n  all_of: [a, c]",
            "line 4: scenario 'b': all_of: 'c' is not an entry above",
        ),
        ("scenarios:\n- name: a\n- name: b\n  all_of: a", "line 4: all_of is 'a'"),
        ("scenarios:\n- 3", "line 2: scenarios is 3"),
        ("name: x", "line 1: key 'name' is not known"),
        ("scenarios: [", "mine.yaml, line 1: expected the node content"),
    ],
)
def test_mistakes_in_a_scenario_file_are_named(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ParameterError, match=message):
        risk.load_scenarios(file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aws_price_cut_june_2025", "AWS price cut June 2025"),
        ("h100_spot_nov_2025_apr_2026", "H100 spot Nov 2025 Apr 2026"),
        ("spike_and_demand", "spike and demand"),
    ],
)
def test_a_scenario_is_told_in_words(name, words):
    assert risk.scenario_in_words(name) == words


def test_a_scenario_file_that_is_not_there(tmp_path):
    with pytest.raises(ParameterError, match=r"There are data/scenarios\.yaml"):
        risk.load_scenarios(tmp_path / "none.yaml")
