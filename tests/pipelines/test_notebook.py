"""The runner of one notebook: its exit codes tell apart what happened, tried for real."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloudarb_lib.base.errors import ParameterError
from pipelines import exit_codes
from pipelines.run import notebook as runner
from pipelines.run.owner import OWNER, place
from pipelines.testing import notebook

pytestmark = pytest.mark.kernel

PARAMETERS = "x: float = 1.0\nrun_dir: str = ''"


def go(path: Path, run_dir: Path, *more: str, parameters: object = None, env: dict | None = None):
    """Run the notebook as a process of its own; return exit code, what it said, and its status."""
    values = path.with_suffix(".json")
    values.write_text(json.dumps({} if parameters is None else parameters))
    command = [sys.executable, "-m", "pipelines.run.notebook", str(path), "--run-dir", str(run_dir)]
    done = subprocess.run(
        [*command, "--parameters", str(values), *more],
        capture_output=True,
        text=True,
        timeout=90,
        env=env,
    )
    log = run_dir / "logs" / f"{path.stem}.json"
    return (
        done.returncode,
        done.stdout + done.stderr,
        json.loads(log.read_text()) if log.exists() else None,
    )


def kept(run_dir: Path, name: str) -> str:
    """Return the failed notebook, and make sure that nothing else was left."""
    assert not (run_dir / "notebooks").exists()
    assert not (run_dir / "tables").exists()
    assert not list(run_dir.glob(".work*"))
    return (run_dir / "failed" / f"{name}.ipynb").read_text()


def test_done(tmp_path):
    code = (
        "from pathlib import Path\n"
        "assert type(x) is float\n"
        "print(x, Path.cwd(), Path.home())\n"
        "Path(run_dir, 'tables', 'moves.parquet').touch()"
    )
    path = notebook(tmp_path / "fine.ipynb", PARAMETERS, code)
    (tmp_path / "run/failed").mkdir(parents=True)
    (tmp_path / "run/failed/fine.ipynb").touch()
    rc, _, status = go(path, tmp_path / "run", parameters={"x": 20})
    assert (rc, status["status"], status["tables"]) == (0, "succeeded", ["moves"])
    text = (tmp_path / "run/notebooks/fine.ipynb").read_text()
    assert "20.0 ./notebooks ~" in text
    assert str(tmp_path) not in text
    assert (tmp_path / "run/tables/moves.parquet").exists()
    assert not (tmp_path / "run/failed/fine.ipynb").exists()


def test_a_cell_that_raises(tmp_path):
    save = "open(run_dir + '/tables/moves.parquet', 'w')"
    path = notebook(tmp_path / "bad.ipynb", PARAMETERS, save, "raise KeyError('no such offer')")
    rc, said, status = go(path, tmp_path / "run")
    assert (rc, status["exit_code"]) == (exit_codes.NOTEBOOK_ERROR, 10)
    assert "KeyError: 'no such offer' (in [4])" in said
    assert "no such offer" in kept(tmp_path / "run", "bad")


@pytest.mark.chaos("stall", "run")
def test_out_of_time_is_for_the_whole_notebook(tmp_path):
    wait = "import time\nfor _ in range(40): time.sleep(0.1)"
    path = notebook(tmp_path / "slow.ipynb", PARAMETERS, *[wait] * 15)
    began = time.monotonic()
    rc, said, status = go(path, tmp_path / "run", "--timeout", "10")
    assert (rc, status["status"]) == (exit_codes.TIMEOUT, "failed")
    assert "not done after 10 s" in said
    assert time.monotonic() - began < 50
    assert "KeyboardInterrupt" in kept(tmp_path / "run", "slow")


@pytest.mark.chaos("kill", "run")
def test_a_kernel_that_dies(tmp_path):
    path = notebook(tmp_path / "dead.ipynb", PARAMETERS, "import os\nos.kill(os.getpid(), 9)")
    rc, said, status = go(path, tmp_path / "run")
    assert (rc, status["status"]) == (exit_codes.DEAD_KERNEL, "failed")
    assert "the kernel died" in said
    kept(tmp_path / "run", "dead")


def test_without_a_plan_it_says_what_is_in_the_way(tmp_path):
    infeasible = "from cloudarb_lib.base.errors import InfeasibleError\n"
    infeasible += "raise InfeasibleError('no plan keeps every limit.', 'Budget 1 is short by 2.')"
    rc, said, status = go(notebook(tmp_path / "p.ipynb", PARAMETERS, infeasible), tmp_path / "run")
    assert (rc, status["exit_code"], status["status"]) == (7, 7, "failed")
    assert status["error"] == "no plan keeps every limit. Way out: Budget 1 is short by 2."
    assert status["error"] in said
    kept(tmp_path / "run", "p")


@pytest.mark.chaos("kill", "run")
def test_nobody_waits_for_it_any_more(tmp_path):
    path = notebook(tmp_path / "alone.ipynb", PARAMETERS, "import time\ntime.sleep(60)")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environment = {"PATH": "/usr/bin:/bin", OWNER: f"{place()} {gone.pid}"}
    rc, _, status = go(path, tmp_path / "run", env=environment)
    assert (rc, status["status"]) == (exit_codes.STOPPED, "stopped")
    assert not (tmp_path / "run/failed").exists()


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"X": 1.0}, "'X' is not known"),
        ({"x": "1.0"}, "x is '1.0'. Way out: Write a number."),
        ({"x": True}, "x is True. Way out: Write a number."),
        ({"run_dir": "/tmp"}, "'run_dir' is not known"),
        ([1], "holds no JSON object"),
    ],
)
def test_bad_parameters_start_nothing(tmp_path, parameters, told, capsys):
    path = notebook(tmp_path / "fine.ipynb", PARAMETERS, "1")
    (tmp_path / "p.json").write_text(json.dumps(parameters))
    arguments = [
        str(path),
        "--run-dir",
        str(tmp_path / "run"),
        "--parameters",
        str(tmp_path / "p.json"),
    ]
    assert runner.main(arguments) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_notebook_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"no notebook none\.ipynb"):
        runner.run_notebook(tmp_path / "none.ipynb", tmp_path / "run", {}, timeout_s=1.0)
