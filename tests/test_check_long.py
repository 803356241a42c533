"""What may be asked of the checks that are too long for CI."""

import pytest

from benchmarks import check_long


def test_checks_are_named_and_all_are_run_without_a_name():
    assert check_long.asked(["explanations", "--tries", "5"]) == (["explanations"], 5)
    assert check_long.asked([]) == (list(check_long.CHECKS), None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explanation"], "no check is named explanation. Known: writer_kills, "),
        (["explanations", "50"], "no check is named 50."),
        (["--tries", "0"], "--tries is 0."),
        (["--trials", "5"], "unrecognized arguments: --trials"),
    ],
)
def test_what_names_no_check_is_refused(capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        check_long.asked(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_help_runs_nothing(capsys):
    with pytest.raises(SystemExit) as ended:
        check_long.asked(["--help"])
    assert ended.value.code == 0
    assert "explanations (1000)" in " ".join(capsys.readouterr().out.split())
