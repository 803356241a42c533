"""``cloudarb report``: pages to hand on, and what changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import ReportsOption
from pipelines.exit_codes import DIFFERS, DONE

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="name or folder of a run, as in reports/index.html")
]


def report_export(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="the file  [default: RUN.html]")
    ] = None,
    reports: ReportsOption = None,
) -> int:
    """One file with all pages of a run, figures included: to be mailed.

    It needs no other file and no network, and is 5 MB at least, since it carries what draws the
    figures.
    """
    from cloudarb_lib.base import locations
    from pipelines.report import pages
    from pipelines.report.runs import find_run

    folder = (reports or locations.reports()).absolute()
    run_id = find_run(folder, run)["run_id"]
    target = out or Path(f"{run_id}.html")
    pages.export_alone(folder / run_id, target)
    print(f"written to {target} ({target.stat().st_size / 2**20:.1f} MiB)")
    return DONE


def report_diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="the earlier run")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="the later run")],
    reports: ReportsOption = None,
) -> int:
    """What changed from one run to another, and by what.

    Prints which of prices, data, demand, parameters and code differ, the headline figures that
    changed, what the change of the expected total cost is made of, and the machines that were taken
    up or given up.
    """
    from cloudarb_lib.base import locations
    from pipelines.report.differences import compare, in_words
    from pipelines.report.runs import find_run

    folder = (reports or locations.reports()).absolute()
    found = compare(find_run(folder, run_a), find_run(folder, run_b), folder)
    if len(found.figures):
        print(found.figures.to_string(index=False))
    print(*in_words(found), sep="\n")
    return DONE


def report_trace(
    run: RunArgument,
    least: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="leave out shorter stretches")
    ] = 0.01,
    reports: ReportsOption = None,
) -> int:
    """Where the time of a run went: notebooks, cells, solver, forecast, report.

    A line for each stretch of work, children below parents, with a bar from its begin to its end.
    Runs are traced where the extra observe is installed (make platform). Where the prices of its
    plan come from says cloudarb report lineage RUN. RUN may be a file of spans too: that of a
    scheduled turn, from collection to report (reports/.state/schedule/NAME.spans.jsonl), or of
    collection (STORE.live/spans.jsonl).
    """
    from cloudarb_lib.base import locations
    from pipelines.observe.spans import drawn, read_spans
    from pipelines.observe.tracing import SPANS_FILE
    from pipelines.report.runs import find_run

    all_runs = reports or locations.reports()
    folder = Path(run) if Path(run).exists() else all_runs / run
    if not folder.exists():
        find_run(all_runs, run)  # says which there are
    file = folder if folder.is_file() else folder / SPANS_FILE
    for line in drawn(read_spans(file), least):
        print(line)
    return DONE


def report_lineage(
    run: RunArgument,
    offer: Annotated[
        str, typer.Option(metavar="OFFER", help="only this offer of the plan  [default: each]")
    ] = "",
    files: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="where files that were taken in lie as well"),
    ] = None,
    store: Annotated[
        str, typer.Option(metavar="FOLDER", help="store with kept answers  [default: data/store]")
    ] = "",
    reports: ReportsOption = None,
) -> int:
    """From the plan of a run back to the bytes of its prices, link by link.

    Tables by the notebooks that wrote them, the snapshot that these read, the price of each offer
    rented in it, and the file that told of it: its bytes are those that were taken in, and taken in
    once more they give that price. A link that does not hold is told, with exit code 14. The run's
    logs/lineage.jsonl has the same as events of OpenLineage.
    """
    from cloudarb_lib.base import locations
    from cloudarb_lib.live.collect import collection_folder
    from pipelines.observe.chain import links
    from pipelines.report.runs import find_run

    folder = (reports or locations.reports()).absolute()
    manifest = find_run(folder, run)
    places = [*(files or []), locations.data(), collection_folder(store) / "raw"]
    broken = 0
    for link in links(folder / manifest["run_id"], manifest, offer=offer, folders=places):
        broken += bool(link.fault)
        print(f"{'BROKEN' if link.fault else 'holds '}  {link.what}")
        if link.fault:
            print(f"        {link.fault}")
    print(f"{broken} links do not hold" if broken else "unbroken")
    return DIFFERS if broken else DONE
