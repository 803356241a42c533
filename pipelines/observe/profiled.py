"""The process that is profiled: one notebook, or one verb of ``cloudarb``.

python -m pipelines.observe.profiled ENDED.json [--line FUNCTION] WORD ...

ENDED.json gets how it ended, and what each line of FUNCTION took.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import CloudArbError, ParameterError
from pipelines.exit_codes import NOTEBOOK_ERROR
from pipelines.run.stages import STAGES

LINE = "--line"


def function_named(name: str) -> Callable[..., Any]:
    """Return a function by its dotted name.

    Parameters
    ----------
    name : str
        Module, and in it function or class and method, such as cloudarb_lib.allocate.solve.

    Returns
    -------
    callable
        What its decorators wrap.

    Raises
    ------
    ParameterError
        Where there is none.
    """
    way_out = "Write it as cloudarb_lib.allocate.solve: module, then function."
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if not _can_be_imported(module):
            continue
        found: Any = importlib.import_module(module)
        for part in parts[length:]:
            found = getattr(found, part, None)
        function = inspect.unwrap(found) if callable(found) else None
        if not inspect.isfunction(function):
            raise ParameterError(f"{module} has no function {'.'.join(parts[length:])}.", way_out)
        return function
    raise ParameterError(f"no function {name}.", way_out)


def _can_be_imported(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def run_notebook(name: str) -> int:
    """Run the cells of a notebook in this process, where profilers see them; return the exit code.

    What the cells show goes nowhere.
    """
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    def cell_named(raw_code: str, transformed_code: str, number: int) -> str:
        """Return what frames of a cell name as their file."""
        return f"{name}, cell {number}"

    book = nbformat.read(locations.notebooks() / f"{name}.ipynb", as_version=4)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.compile.get_code_name = cell_named  # type: ignore[method-assign]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for cell in book.cells:
            if cell.cell_type != "code":
                continue
            ended = shell.run_cell(cell.source, store_history=True)
            if not ended.success:
                fault = ended.error_before_exec or ended.error_in_exec
                print(f"{name}: {type(fault).__name__}: {fault}", file=sys.stderr)
                return NOTEBOOK_ERROR
    return 0


def carry_out(words: Sequence[str]) -> int:
    """Run the notebook, or the verb, that the words name; return the exit code."""
    from pipelines import cli

    if len(words) == 1 and words[0] in STAGES:
        return run_notebook(words[0])
    return cli.main(words)


def by_line(function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any]:
    """Carry the words out, and measure each line of a function.

    Returns
    -------
    dict
        ``exit_code``; ``file`` and ``first_line`` of the function, its ``source`` by line; of each
        line that ran its number, how often it ran, and how long in seconds (``timings``). Calls in
        other processes are not among them.
    """
    from line_profiler import LineProfiler

    profiler = LineProfiler()
    profiler.add_function(function)
    with profiler:
        code = carry_out(words)
    statistics = profiler.get_stats()
    source, first_line = inspect.getsourcelines(function)
    return {
        "exit_code": code,
        "file": inspect.getsourcefile(function),
        "first_line": first_line,
        "source": source,
        "timings": [
            (line, hits, ticks * statistics.unit)
            for timings in statistics.timings.values()
            for line, hits, ticks in timings
        ],
    }


def main(words: Sequence[str]) -> int:
    """Carry out a command line; return the exit code."""
    ended, *rest = words
    try:
        if rest[0] == LINE:
            told = by_line(function_named(rest[1]), rest[2:])
        else:
            told = {"exit_code": carry_out(rest)}
    except CloudArbError as fault:
        print(fault, file=sys.stderr)
        told = {"exit_code": fault.exit_code}
    Path(ended).write_text(json.dumps(told))
    return int(told["exit_code"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
