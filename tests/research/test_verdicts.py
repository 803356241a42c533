"""Verdicts: what counts as help, and what is said of what does not."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.plots import research as plots
from cloudarb_lib.research import verdicts
from cloudarb_lib.research.annealing import Assignment
from cloudarb_lib.research.relaxation import PRODUCT


def board(errors, p):
    rows = [("ensemble", h, 0.9, 0.9, np.nan, 10.0) for h in (1, 24)]
    rows += [("new", h, error, 0.9, p, 3.0) for h, error in zip((1, 24), errors, strict=True)]
    columns = ["model", "horizon", "mae_ratio", "crps_ratio", "p_ensemble", "cpu_s"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    ("errors", "p", "is_worth"),
    [((0.8, 0.8), 0.01, True), ((0.8, 0.8), 0.4, False), ((0.95, 0.6), 0.01, False)],
)
def test_a_forecaster_helps_at_every_horizon_and_beyond_chance(errors, p, is_worth):
    said = verdicts.of_forecaster(board(errors, p), "new")
    assert ("worth wiring in" in said.verdict) == is_worth
    assert (said.its_figure, said.product_figure) == (errors[1], 0.9)
    assert (said.its_cpu_s, said.product_cpu_s) == (3.0, 10.0)


@pytest.mark.parametrize(
    ("off", "violation", "ended", "cpu_s", "says"),
    [
        (0.0, 0.0, True, 0.1, "quicker: worth wiring in"),
        (0.0, 0.0, True, 9.0, "as good, 9 times the CPU: not wired in"),
        (-0.02, 0.0, True, 0.1, "off by 2 %, a row by 0 %"),
        (0.0, 0.2, True, 0.1, "off by 0 %, a row by 20 %"),
        (0.0, 0.0, False, 0.1, "not done: off by 0 %"),
    ],
)
def test_a_way_to_solve_helps_where_it_is_right_and_quicker(off, violation, ended, cpu_s, says):
    table = pd.DataFrame(
        {"value_usd": [1.0, 1.0 + off], "off": [0.0, off], "violation": [np.nan, violation]},
        index=[PRODUCT, "new"],
    ).assign(ended=[True, ended], cpu_s=[1.0, cpu_s])
    assert says in verdicts.of_relaxation(table, "new").verdict


@pytest.mark.parametrize(
    ("cost", "cpu_s", "says"),
    [
        (100.0, 0.1, "reaches the optimum: worth wiring in"),
        (100.0, 9.0, "reaches the optimum: not wired in"),
        (103.0, 0.1, "3.0 % above the proven optimum: not wired in"),
        (np.nan, 0.1, "no sample is a plan: not wired in"),
    ],
)
def test_annealing_is_held_against_the_proven_optimum(cost, cpu_s, says):
    found = Assignment(np.zeros(1), cost, 7, 0.5)
    said = verdicts.of_annealing(found, 100.0, its_cpu_s=cpu_s, product_cpu_s=1.0)
    assert said.verdict == says
    assert "7 variables" in said.method


@pytest.mark.parametrize(("federated", "says"), [(0.9, "loses nothing"), (0.95, "errs more")])
def test_federated_averaging_is_held_against_pooled_training(federated, says):
    errors = {"pooled": 0.9, "federated": federated}
    assert verdicts.of_federated(errors, {"pooled": 1.0, "federated": 2.0}).verdict.startswith(says)


def test_the_table_has_what_was_not_run_and_the_figure_leaves_it_out():
    told = [verdicts.of_forecaster(board((0.8, 0.8), 0.01), "new")]
    told.append(verdicts.not_run("cuOpt", "simplex", "needs a GPU"))
    table = verdicts.table(told)
    assert table["verdict"][1] == "not run: needs a GPU"
    assert len(plots.costs(table).data[0].y) == 1
    assert "No method" in plots.costs(table[1:]).layout.title.text
