"""What may be asked of ``make golden``."""

import pytest

from benchmarks import refresh_golden


def test_notebooks_are_named_and_all_are_run_without_a_name():
    (path,), timeout_s = refresh_golden.asked(["05_summary.ipynb", "--timeout", "5"])
    assert (path.name, timeout_s) == ("05_summary.ipynb", 5.0)
    everything, timeout_s = refresh_golden.asked([])
    assert everything == sorted(refresh_golden.NOTEBOOKS.glob("*.ipynb"))
    assert timeout_s == refresh_golden.TIMEOUT_S


@pytest.mark.parametrize(
    ("words", "code"), [(["5_summary"], 2), (["--all"], 2), (["05_summary", "6"], 2), (["-h"], 0)]
)
def test_what_names_no_notebook_is_refused_and_help_runs_nothing(words, code):
    with pytest.raises(SystemExit) as ended:
        refresh_golden.asked(words)
    assert ended.value.code == code
