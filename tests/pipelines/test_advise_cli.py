"""``cloudarb advise``: each decision says what to do, and refuses what it cannot answer."""

import pytest

from pipelines import cli

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


def test_a_provider_without_evidence_of_sale_is_told(capsys):
    words = ("--as-of", "2026-04-02", "--need-weeks", "52", "--prices", "today")
    assert advise("commit", "azure/eastus/Standard_ND96isr_H100_v5", *words) == 2
    assert "azure" in (told := capsys.readouterr().err)
    assert "known to be sold" in told


def test_an_unknown_decision_is_answered_with_the_nearest(capsys, tmp_path):
    assert advise("backtest", "--decision", "comit", "--out", str(tmp_path)) == 2
    assert "no decision 'comit'" in capsys.readouterr().err
