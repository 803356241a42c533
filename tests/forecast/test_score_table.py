"""Half-years, best quarters and repricing events of table ``scores``."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.forecast.evaluate import score_models
from cloudarb_lib.forecast.score_table import headline, score_table
from cloudarb_lib.forecast.targets import Targets
from cloudarb_lib.plots import forecast as figures
from cloudarb_lib.testing import a_panel, stepping
from pipelines.cli import score_tables

TIMES = 100  # weekly from 2025-01-01
HORIZON = 2


def knowing(panel, until):
    """A forecaster that knows what comes within HORIZON, before ``until``; later nothing."""

    def forecaster(position):
        change = np.log(panel.price[position + HORIZON] / panel.price[position])
        knows = panel.times[position] < pd.Timestamp(until, tz="UTC")
        return (change if knows else 0 * change)[:, None, None]

    return forecaster


def nothing(position):
    return np.zeros((12, 1, 1))


@pytest.fixture(scope="module")
def table():
    panel = a_panel(stepping(times=TIMES), models=["H100", "L4"] * 6)
    targets = Targets.of(panel, {HORIZON: np.arange(10, TIMES - HORIZON)})
    models = {
        "knowing": knowing(panel, "2025-07-01"),
        "all_knowing": knowing(panel, "2030-01-01"),
        "last_value": nothing,
    }
    series = score_models(models, targets, seed=1)
    return pd.concat([score_table(each, targets, since="2026-06-01") for each in series])


@pytest.mark.slow
def test_half_years_hold_the_forecasts_made_in_them(table):
    spans = table.loc[table["model"] == "knowing", "span"].unique().tolist()
    assert spans == ["all", "2025H1", "2025H2", "2026H1", "2026H2", "from 2026-06-01"]
    ratio = {span: headline(table, span=span).loc[("knowing", 2), "mae_ratio"] for span in spans}
    assert ratio["2025H1"] == pytest.approx(0, abs=1e-9)
    assert ratio["2025H2"] == 1
    assert 0 < ratio["all"] < 1
    n = table[(table["target"] == "offer") & (table["series_group"] == "all")]
    n = n[n["model"] == "knowing"].set_index("span")["n"]
    assert n.filter(like="H").sum() == n["all"] == 12 * (TIMES - HORIZON - 10)


def test_the_best_quarter_is_told_where_something_is_gained(table):
    first = headline(table, span="2025H1").loc[("knowing", 2)]
    assert 0.5 < first["crps_best_quarter"] <= 1  # of two quarters, of which one is short
    every = headline(table).loc[("knowing", 2)]
    assert every["crps_best_quarter"] == pytest.approx(first["crps_best_quarter"])
    assert np.isnan(headline(table, span="2025H2").loc[("knowing", 2), "crps_best_quarter"])


def test_repricing_events_are_those_between_the_first_origin_and_the_last_outcome(table):
    """Prices step every fourth week: 12, 16 ... 96 lie after week 10 and up to week 99."""
    assert headline(table).loc[("knowing", 2), "n_repricings"] == 22


def test_a_gain_is_significant_where_it_recurs_and_no_difference_never(table):
    assert headline(table, span="2025H2").loc[("knowing", 2), "crps_p"] == 1
    assert headline(table).loc[("all_knowing", 2), "crps_p"] < 0.01
    assert headline(table).loc[("knowing", 2), "crps_p"] > 0.1  # all in one half-year of four


def test_groups_and_cheapest_places_have_rows_of_their_own(table):
    both = [headline(table, group=g).loc[("knowing", 2), "n"] for g in ("H100", "L4")]
    assert both == [6 * (TIMES - HORIZON - 10)] * 2
    basket = headline(table, target="cheapest 2", group="H100", span="2025H1")
    assert basket.loc[("knowing", 2), "mae_ratio"] == pytest.approx(0, abs=1e-9)


def test_of_a_few_offers_each_is_told(table):
    one = headline(table, group="o3").loc[("knowing", 2)]
    assert one["n"] == TIMES - HORIZON - 10
    assert "o3" in score_tables.by_group(table, "knowing")
    alone = [headline(table, group=f"o{k}").loc[("knowing", 2), "bias"] for k in range(12)]
    assert np.mean(alone) == pytest.approx(headline(table).loc[("knowing", 2), "bias"])


def test_at_a_terminal_a_line_is_a_span_and_none_is_too_long(table):
    text = score_tables.by_span(table, "knowing")
    for line, span in zip(text.splitlines()[2:5], ["2025H1", "2025H2", "2026H1"], strict=True):
        assert line.split()[0] == span
    assert max(map(len, text.splitlines())) <= 150
    assert "knowing" in score_tables.by_model(table)
    assert "cheapest" not in score_tables.of_cheapest(table, "knowing")


def test_the_figure_says_in_how_many_half_years_the_distribution_gained(table):
    of_ensemble = table.assign(model=table["model"].replace("knowing", "ensemble"))
    drawn = figures.half_years(of_ensemble, unit="week")
    assert "every horizon in 1 of 4 half-years" in drawn.layout.title.text
    (bars,) = drawn.data
    assert bars.name == "2 weeks ahead"
    np.testing.assert_allclose(bars.y, [100, 0, 0, 0], atol=1e-9)
