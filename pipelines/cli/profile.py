"""``cloudarb profile``: where time and memory of a notebook or a verb go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.extras import require


def profile(
    what: Annotated[
        list[str],
        typer.Argument(metavar="WHAT...", help="a notebook of notebooks/, or a verb and its words"),
    ],
    cpu: Annotated[bool, typer.Option("--cpu", help="time, by py-spy, children included")] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="memory at its highest use, by memray")
    ] = False,
    line: Annotated[
        str,
        typer.Option(
            metavar="FUNCTION",
            help="each line of a function, such as cloudarb_lib.allocate.solve, by line_profiler",
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="[default: reports/profiles]")
    ] = None,
) -> int:
    """Show where the time or the memory of a notebook, or of a verb, goes.

    One of --cpu, --memory and --line FUNCTION; the page that it writes needs no other file. Put --
    before a verb with options: --cpu -- allocate data/demand.yaml --as-of DAY
    --out FOLDER. A notebook runs by itself, as when it is opened, without a kernel; what it
    computes goes where it goes then. Ends with the exit code of what was profiled. The profilers
    come with make platform.
    """
    require("observe", "line_profiler", "memray")
    from cloudarb_lib.base import locations
    from cloudarb_lib.base.errors import ParameterError
    from pipelines.observe import profiling

    if sum((cpu, memory, bool(line))) != 1:
        raise ParameterError("one thing is measured at a time.", "--cpu, --memory or --line.")
    folder = out or locations.reports() / "profiles"
    words = profiling.words_of(what)
    if cpu:
        made = profiling.profile_cpu(words, folder)
    elif memory:
        made = profiling.profile_memory(words, folder)
    else:
        made = profiling.profile_lines(words, folder, line)
    print(f"written to {made.page}")
    return made.exit_code
