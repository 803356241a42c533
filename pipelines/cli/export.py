"""``cloudarb export``: prices, plans and forecasts as files that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cloudarb_lib.base.errors import DataError, ParameterError
from pipelines.cli.markets import market_on
from pipelines.cli.options import StoreOption
from pipelines.cli.plan_folder import write_csv
from pipelines.exit_codes import DONE
from pipelines.run.files import read_json

if TYPE_CHECKING:
    import pandas as pd

Shape = Literal[
    "skypilot-catalog",
    "gpuhunt-catalog",
    "skypilot-tasks",
    "dstack-fleets",
    "launches",
    "focus-plan",
    "focus-forecast",
]
_OF_A_PROVIDER = ("skypilot-catalog", "gpuhunt-catalog")


def export(
    shape: Annotated[
        Shape,
        typer.Argument(
            metavar="SHAPE",
            show_choices=False,
            help="skypilot-catalog, gpuhunt-catalog, skypilot-tasks, dstack-fleets, launches, "
            "focus-plan or focus-forecast",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV; of tasks and fleets a folder")],
    provider: Annotated[str, typer.Option(metavar="NAME", help="of a catalogue")] = "",
    as_of: Annotated[
        str, typer.Option(metavar="DAY", help="of a catalogue: what was known at the end of it")
    ] = "",
    run: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="of the others: reports/RUN")
    ] = None,
    store: StoreOption = "",
) -> int:
    """Write what is on offer, a plan or a forecast in the shape of another program.

    Catalogues of SkyPilot (vms.csv) and gpuhunt are of a provider at the prices of a day. Tasks of
    SkyPilot, fleets of dstack, launches in rows, FOCUS' Recommendation data set (focus-plan) and
    forecasts in FOCUS columns are of a run.
    """
    from cloudarb_lib.market.evidence import by_zone

    if shape in _OF_A_PROVIDER:
        if not provider or not as_of:
            raise ParameterError(f"{shape} is of a provider.", "Add --provider NAME --as-of DAY.")
        market = market_on(as_of, store, providers=[provider], stale_after_days=None)
        offers = by_zone(market.offers, market.evidence)
        write_csv(_catalogues()[shape](offers, provider), out)
    elif run is None:
        raise ParameterError(f"{shape} is of a run.", "Add --run reports/RUN.")
    else:
        _export_run(shape, run, out)
    print(f"written to {out}")
    return DONE


def _catalogues() -> dict[str, Callable[[pd.DataFrame, str], pd.DataFrame]]:
    from pipelines.exports import gpuhunt, skypilot

    return {"skypilot-catalog": skypilot.catalogue, "gpuhunt-catalog": gpuhunt.catalogue}


def _export_run(shape: str, run: Path, out: Path) -> None:
    from pipelines.exports import dstack, focus, launches, skypilot

    if shape == "focus-forecast":
        write_csv(focus.forecasts(_table("forecast", run)), out)
        return
    plan = _table("plan", run)
    now = plan[plan["period"] == 0]
    if shape == "skypilot-tasks":
        skypilot.write_tasks(now, out)
        return
    if shape == "dstack-fleets":
        dstack.write_fleets(now, out)
        return
    if shape == "launches":
        write_csv(launches.launch_table(now), out)
        return
    manifest = read_json(run / "manifest.json") or {}
    if manifest.get("status") != "succeeded":
        raise DataError(f"{run} is no run that succeeded.", "Name one of reports/.")
    offers = _table("offers", run)
    made_at = manifest["finished_at"]
    write_csv(focus.recommendations(plan, offers, run_id=run.name, made_at=made_at), out)


def _table(name: str, run: Path) -> pd.DataFrame:
    from cloudarb_lib.tables.run_tables import load_table

    table = load_table(name, run)
    if table is None:
        raise DataError(f"{run} has no table {name}.", "Name a folder of reports/.")
    return table
