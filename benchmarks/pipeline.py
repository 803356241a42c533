"""What the pipeline costs: notebooks through the runner beside the same code as plain scripts.

usage: python -m benchmarks.pipeline [NOTEBOOK ...]      (default: all five; several minutes)

Also printed: what `cloudarb run` takes when there is nothing to do, how the code reads, import
times.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import house
from benchmarks.command_line import names_of
from pipelines.run.config import load_config
from pipelines.run.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def timed(command: list[str], **options: object) -> tuple[float, float]:
    """Run a command; return wall-clock and CPU seconds, those of its children included."""
    began = time.perf_counter()
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ONE_THREAD, **options)
    after = os.times()
    user_s = after.children_user - before.children_user
    system_s = after.children_system - before.children_system
    return time.perf_counter() - began, user_s + system_s


def as_script(notebook: Path, values: dict[str, object]) -> str:
    """Return the code of a notebook as one script, the values given after its parameters cell."""
    lines = []
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            lines.append("".join(cell["source"]))
            if "parameters" in cell["metadata"].get("tags", []):
                lines += [f"{name} = {value!r}" for name, value in values.items()]
    return "\n".join(["from IPython.display import display", *lines])


def overhead(steps: list[str]) -> None:
    """Print wall-clock and CPU seconds of each notebook as a script and through the runner."""
    config = load_config(ROOT / "pipelines/weekly.yaml")
    print(f"{'notebook':<22}{'script s':>10}{'CPU':>8}{'runner s':>10}{'CPU':>8}{'overhead s':>12}")
    totals = [0.0] * 4
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain"
        run_dir = Path(folder) / "run"
        (plain / "tables").mkdir(parents=True)
        for step in steps:
            notebook = ROOT / "notebooks" / f"{step}.ipynb"
            script = plain / f"{step}.py"
            script.write_text(
                as_script(notebook, {**config.parameters[step], "run_dir": str(plain)})
            )
            parameters = plain / f"{step}.json"
            parameters.write_text(json.dumps(config.parameters[step]))
            runner = [
                sys.executable,
                "-m",
                "pipelines.run.notebook",
                str(notebook),
                "--run-dir",
                str(run_dir),
            ]
            earlier = steps[: steps.index(step)]
            runner += ["--parameters", str(parameters), "--timeout", "900", "--after", *earlier]
            row = [*timed([sys.executable, str(script)], cwd=plain), *timed(runner)]
            totals = [total + one for total, one in zip(totals, row, strict=True)]
            show(step, row)
    show("all, one by one", totals)


def show(name: str, row: list[float]) -> None:
    script_s, script_cpu_s, runner_s, runner_cpu_s = row
    print(
        f"{name:<22}{script_s:>10.1f}{script_cpu_s:>8.1f}{runner_s:>10.1f}{runner_cpu_s:>8.1f}"
        f"{runner_s - script_s:>12.1f}",
        flush=True,
    )


def nothing_to_do() -> None:
    """Print what a second `cloudarb run` takes; the first brings the report up to date."""
    command = [sys.executable, "-m", "pipelines.cli", "run", str(ROOT / "pipelines/weekly.yaml")]
    first_s, _ = timed(command, cwd=ROOT)
    again_s, again_cpu_s = timed(command, cwd=ROOT)
    print(
        f"cloudarb run: {first_s:.1f} s, "
        f"then with nothing to do {again_s:.1f} s ({again_cpu_s:.1f} CPU s)"
    )


def sizes() -> None:
    """Print how the two packages read, and the lines of code of the notebooks."""
    house.main(["cloudarb_lib", "pipelines"])
    for step in STAGES:
        cells = json.loads((ROOT / "notebooks" / f"{step}.ipynb").read_text())["cells"]
        code = ["".join(c["source"]).splitlines() for c in cells if c["cell_type"] == "code"]
        lengths = [len(cell) for cell in code]
        print(f"  {step:<20}{sum(lengths):>4} lines of code, longest cell {max(lengths)}")


def imports() -> None:
    """Print the median of five fresh interpreters, less that of a bare one."""
    statements = ("import cloudarb_lib", "import pipelines.cli", "import papermill")
    bare = statistics.median(timed([sys.executable, "-c", ""])[0] for _ in range(5))
    for statement in statements:
        took = statistics.median(timed([sys.executable, "-c", statement])[0] for _ in range(5))
        print(f"{statement:<32}{took - bare:6.2f} s")
    check = (
        "import sys, cloudarb_lib; assert not {'tensorflow', 'pandas', 'duckdb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
    print("import cloudarb_lib loads neither tensorflow nor pandas nor duckdb")


if __name__ == "__main__":
    named = names_of(__doc__, list(STAGES))
    sizes()
    imports()
    overhead(named)
    if named == list(STAGES):
        nothing_to_do()
