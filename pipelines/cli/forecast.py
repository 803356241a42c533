"""``cloudarb forecast``: prices to come, by provider and region, by any number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.manual import with_options
from pipelines.cli.options import AsOfOption, ListedTooOption, StepOption, StoreOption
from pipelines.cli.panels import SEED
from pipelines.exit_codes import DONE


@dataclass(frozen=True)
class ForecastOptions:
    """Options of the verb."""

    as_of: AsOfOption
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="gets forecast/PROVIDER-REGION.parquet")
    ]
    providers: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME ...", help="whose offers are forecast  [default: all fresh]"),
    ] = None
    listed_too: ListedTooOption = False
    freq: StepOption = "7D"
    horizon_steps: Annotated[int, typer.Option(metavar="N", help="steps to forecast")] = 13
    n_paths: Annotated[int, typer.Option(metavar="N", help="sample paths, of all together")] = 500
    seed: Annotated[int, typer.Option(metavar="N", help="seed of members and paths")] = SEED
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="to cut each of its two halves into")
    ] = 8
    cores: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, show_default=False, help="jobs at once  [default: cores there are]"
        ),
    ] = 0
    store: StoreOption = ""


@with_options(ForecastOptions)
def forecast(options: ForecastOptions) -> int:
    """Prices to come, in jobs that share out past cells, then providers and regions.

    Jobs run side by side here, or in the batch queue of a profile of Snakemake's
    (docs/clusters.md). Every job rests on all prices, so tables are the same to the last bit
    however many jobs and workers there are; the same command takes up where it stopped.
    """
    from cloudarb_lib.base.units import parse_freq
    from pipelines.cli.markets import market_on
    from pipelines.run.sets import cores_here
    from pipelines.shards.forecast import Asked, forecast_in_shards

    market = market_on(
        options.as_of,
        options.store,
        providers=options.providers,
        stale_after_days=None,
        listed_too=options.listed_too,
    )
    panel = market.panel(parse_freq(options.freq))
    asked = Asked(
        options.horizon_steps,
        options.n_paths,
        options.seed,
        blocks=options.jobs,
        shares=options.jobs,
    )
    cores = options.cores or cores_here()
    tables = forecast_in_shards(panel, options.out.absolute(), asked, cores=cores)
    print(f"{len(panel.offers):,} offers, {len(tables)} tables: {options.out / 'forecast'}")
    return DONE
