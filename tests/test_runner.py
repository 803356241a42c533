"""The runner of one notebook: its exit codes tell apart what happened, tried for real."""

import threading
import time
from pathlib import Path

from pipeline_toys import notebook

from pipelines import runner

PARAMETERS = "x: float = 1.0\nrun_dir: str = ''"


def go(path: Path, run_dir: Path, timeout_s: float = 90.0, stop: threading.Event | None = None, **more):
    """Run the notebook; return exit code, what is said of it, and its status."""
    watch = runner.Watch(timeout_s, stop or threading.Event())
    status = runner.run(path, run_dir, {"run_dir": "..", **more}, watch)
    return status["exit_code"], status["error"], status


def kept(run_dir: Path, name: str) -> str:
    """Return the failed notebook, and make sure that nothing else was left."""
    assert not (run_dir / "notebooks").exists()
    assert not (run_dir / "tables").exists()
    assert not list(run_dir.glob(".work*"))
    return (run_dir / "failed" / f"{name}.ipynb").read_text()


def test_done(tmp_path):
    code = "from pathlib import Path\nassert type(x) is float\nprint(x, Path.cwd(), Path.home())\nPath(run_dir, 'tables', 'moves.parquet').touch()"
    path = notebook(tmp_path / "fine.ipynb", PARAMETERS, code)
    (tmp_path / "run/failed").mkdir(parents=True)
    (tmp_path / "run/failed/fine.ipynb").touch()
    rc, _, status = go(path, tmp_path / "run", x=20.0)
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
    assert (rc, status["exit_code"]) == (runner.NOTEBOOK_ERROR, 10)
    assert "KeyError: 'no such offer' (in [4])" in said
    assert "no such offer" in kept(tmp_path / "run", "bad")


def test_out_of_time_is_for_the_whole_notebook(tmp_path):
    wait = "import time\nfor _ in range(40): time.sleep(0.1)"
    path = notebook(tmp_path / "slow.ipynb", PARAMETERS, *[wait] * 15)
    began = time.monotonic()
    rc, said, status = go(path, tmp_path / "run", timeout_s=10.0)
    assert (rc, status["status"]) == (runner.TIMEOUT, "failed")
    assert "not done after 10 s" in said
    assert time.monotonic() - began < 50
    assert "KeyboardInterrupt" in kept(tmp_path / "run", "slow")


def test_a_kernel_that_dies(tmp_path):
    path = notebook(tmp_path / "dead.ipynb", PARAMETERS, "import os\nos.kill(os.getpid(), 9)")
    rc, said, status = go(path, tmp_path / "run")
    assert (rc, status["status"]) == (runner.DEAD_KERNEL, "failed")
    assert "the kernel died" in said
    kept(tmp_path / "run", "dead")


def test_it_is_stopped_from_outside(tmp_path):
    path = notebook(tmp_path / "long.ipynb", PARAMETERS, "import time\ntime.sleep(60)")
    stop, began = threading.Event(), time.monotonic()
    threading.Timer(4.0, stop.set).start()
    rc, said, status = go(path, tmp_path / "run", stop=stop)
    assert (rc, status["status"], said) == (runner.STOPPED, "stopped", "stopped from outside.")
    assert time.monotonic() - began < 50
    assert not (tmp_path / "run/failed").exists()
