"""``cloudarb advise``: each decision says what to do, and refuses what it cannot answer."""

import pandas as pd
import pytest

from cloudarb_lib.tables.run_tables import save_table
from pipelines import cli

pytestmark = pytest.mark.slow

MACHINE = "gcp/us-central1/a3-highgpu-8g"
DAY = ("--as-of", "2026-04-29")


def advise(*words):
    return cli.main(["advise", *words])


def test_commit_says_what_to_do_and_how_little_is_known(capsys):
    assert advise("commit", MACHINE, *DAY, "--need-weeks", "52", "--prices", "today") == 0
    told = capsys.readouterr().out
    assert "1y pays from 69% utilisation on" in told
    assert "A commitment for 3y is longer than the record" in told
    assert "at most 2 times the least in hindsight" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gcp/us-central1/a3-highgpu-8"], "did you mean 'gcp/us-central1/a3-highgpu-8g'?"),
        (["gcp/us-west2/a3-highgpu-8g"], "no evidence of sale names a3-highgpu-8g in us-west2"),
        ([MACHINE, "--prices", "dear"], "--prices 'dear' is unknown"),
        ([MACHINE, "--utilisation", "2"], "utilisation 2 is outside 0 to 1"),
        (["gcp/us-central1/a2-ultragpu-8g"], "no commitment is sold for this machine"),
    ],
)
def test_commit_refuses_what_it_cannot_answer(words, told, capsys):
    assert advise("commit", "--need-weeks", "52", "--prices", "today", *DAY, *words) == 2
    assert told in capsys.readouterr().err


def test_what_is_listed_and_not_known_to_be_sold_is_taken_where_asked_for(capsys):
    words = ("commit", "gcp/us-west2/a3-highgpu-8g", *DAY, "--need-weeks", "52")
    assert advise(*words, "--prices", "today") == 2
    assert "--listed-too" in capsys.readouterr().err
    assert advise(*words, "--prices", "today", "--listed-too") == 0
    assert "expected_usd" in capsys.readouterr().out


def test_a_provider_without_evidence_of_sale_is_told(capsys):
    words = ("--as-of", "2026-04-02", "--need-weeks", "52", "--prices", "today")
    assert advise("commit", "azure/eastus/Standard_ND96isr_H100_v5", *words) == 2
    assert "azure" in (told := capsys.readouterr().err)
    assert "known to be sold" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workload", "train-lm", "--by", "2026-06-30"], "did you mean 'train-llm'?"),
        (["--workload", "train-llm", "--by", "2026-04-20"], "not after 2026-04-30"),
        (["--workload", "train-llm", "--by", "2026-06-30", "--prices", "today"], "nothing to wait"),
    ],
)
def test_start_refuses_what_it_cannot_answer(words, told, capsys):
    assert advise("start", "data/demand.yaml", *DAY, *words) == 2
    assert told in capsys.readouterr().err


def test_move_refuses_a_demand_that_does_not_run(capsys, tmp_path):
    assert advise("move", "data/demand.yaml", *DAY) == 2
    assert "nothing runs now: the demand has no 'current'" in capsys.readouterr().err
    assert advise("move", "data/demand.yaml", *DAY, "--last-plan", str(tmp_path)) == 2
    assert "holds no plan" in capsys.readouterr().err


def test_move_from_a_plan_with_scenarios_says_which_of_them_runs(capsys, tmp_path):
    offer_id = "gcp/us-central1//a3-highgpu-8g/spot/"
    last = {"period": 0, "instances": 1.0, "hours": 672.0, "expected_cost_usd": 1.0}
    last |= {"fees_usd": 0.0, "offer_id": offer_id, "gpu_model": "H100"}
    last |= {"observed_at": pd.Timestamp("2026-04-29", tz="UTC")}
    futures = [{"workload": f"train in {name}", "scenario": name} for name in ("base", "surge")]
    save_table(pd.DataFrame([future | last for future in futures]), "plan", tmp_path)
    file = tmp_path / "demand.yaml"
    file.write_text("demand:\n  - {workload: train, needs: 8 H100, interruptible: yes}\n")
    asked = (*DAY, "--last-plan", str(tmp_path))
    assert advise("move", str(file), *asked) == 0
    told = capsys.readouterr().out
    assert "what runs now: that of scenario 'base' of the last plan" in told
    assert "what runs now cannot go on" not in told
    assert advise("move", str(file), *asked, "--scenario", "surg") == 2
    assert "no scenario 'surg' (did you mean 'surge'?)" in capsys.readouterr().err


def test_an_unknown_decision_is_answered_with_the_nearest(capsys, tmp_path):
    assert advise("backtest", "--decision", "comit", "--out", str(tmp_path)) == 2
    assert "no decision 'comit'" in capsys.readouterr().err


RUN = ("--work-h", "20", "--deadline", "2026-05-01T12:00Z", "--n-paths", "200")


def test_dated_run_says_what_to_do_at_once_and_how_likely_it_is_late(capsys):
    assert advise("dated-run", MACHINE, *DAY, *RUN) == 0
    told = capsys.readouterr().out
    assert "now: spot where spot is to be had, else wait; if none comes, on-demand from" in told
    assert "best policy" in told
    assert "uniform progress" in told


def test_dated_run_without_on_demand_states_a_chance_to_be_late(capsys):
    words = ("--no-on-demand", "--availability", "trace:k80_8")
    assert advise("dated-run", MACHINE, *DAY, *RUN, *words) == 0
    told = capsys.readouterr().out
    assert "on-demand none; aws-10-26-2022 k80_8" in told
    assert "uniform progress" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--deadline", "2026-04-01T00:00Z"], "the deadline is past by"),
        (["--work-h", "40"], "the work and one start take 40.2 h"),
        (["--deadline", "2026-05-01"], "has no time zone"),
        (["--availability", "trace:h100_8"], "no availability is on record for 'h100_8'"),
        (["--availability", "sunny"], "--availability 'sunny' is unknown"),
    ],
)
def test_dated_run_refuses_what_it_cannot_answer(words, told, capsys):
    assert advise("dated-run", MACHINE, *DAY, *RUN, *words) == 2
    assert told in capsys.readouterr().err


@pytest.fixture
def plan(tmp_path):
    rent = {
        "offer_id": "gcp/us-central1//a3-highgpu-8g/spot/",
        "workload": "train",
        "period": 0,
        "instances": 2.0,
        "hours": 13 * 168.0,
        "expected_cost_usd": 1.0,
        "fees_usd": 0.0,
        "observed_at": pd.Timestamp("2026-04-29", tz="UTC"),
    }
    save_table(pd.DataFrame([rent]), "plan", tmp_path)
    return tmp_path


BUDGET = (*DAY, "--prices", "today")


def test_budget_says_how_likely_it_is_to_be_over(plan, capsys):
    assert advise("budget", str(plan), *BUDGET, "--budget", "152000") == 0
    told = capsys.readouterr().out
    assert "in 91.0 days: P10" in told
    assert "P(over)" in told
    words = ("--budget", "40000", "--until", "2026-05-31", "--volume-sd", "0.1")
    assert advise("budget", str(plan), *BUDGET, *words) == 0
    assert "in 32.0 days: P10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--budget", "0"], "is none"),
        (["--budget", "1", "--until", "2026-04-01"], "none of it"),
        (["--budget", "1", "--until", "2026-12-31"], "none of it"),
    ],
)
def test_budget_refuses_what_it_cannot_answer(plan, words, told, capsys):
    assert advise("budget", str(plan), *BUDGET, *words) == 2
    assert told in capsys.readouterr().err


def test_budget_of_no_plan_or_of_one_that_is_no_longer_offered_is_refused(plan, tmp_path, capsys):
    assert advise("budget", str(tmp_path / "none"), *BUDGET, "--budget", "1") == 2
    assert "holds no plan" in capsys.readouterr().err
    table = pd.read_parquet(plan / "tables" / "plan.parquet")
    gone = table.assign(offer_id="gcp/us-west2//a3-highgpu-8g/spot/")
    save_table(gone, "plan", plan)
    assert advise("budget", str(plan), *BUDGET, "--budget", "1") == 2
    assert "which is not offered on 2026-04-29" in capsys.readouterr().err


def test_reserve_says_up_to_which_price_a_block_pays_in_each_view(capsys):
    assert advise("reserve", MACHINE, *DAY, *RUN, "--block-usd-per-hour", "60") == 0
    told = capsys.readouterr().out
    assert "the block is paid for 24 h at 60.00 USD/h" in told
    assert "break_even_usd_per_hour" in told
    for view in ("calm", "typical", "stressed"):
        assert view in told


def test_reserve_refuses_a_block_that_is_none(capsys):
    assert advise("reserve", MACHINE, *DAY, *RUN, "--block-usd-per-hour", "0") == 2
    assert "is none" in capsys.readouterr().err
