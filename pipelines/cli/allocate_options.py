"""Arguments and options of ``cloudarb allocate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.options import (
    AsOfOption,
    ListedTooOption,
    PathSeedOption,
    PathsOption,
    StaleAfterOption,
    StepOption,
    StoreOption,
)
from pipelines.cli.plan_folder import refuse_unwritable


@dataclass(frozen=True)
class AllocateOptions:
    """Arguments and options of the verb; those named as fields of ``Limits`` are limits."""

    workloads: Annotated[
        Path, typer.Argument(metavar="WORKLOADS.yaml", help="demand file, such as data/demand.yaml")
    ]
    as_of: AsOfOption
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="gets tables/, plan.csv, plan.txt, sky/ and dstack/"),
    ]
    paths: Annotated[
        Literal["forecast", "history"], typer.Option(help="where price paths come from")
    ] = "forecast"
    providers: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME ...", help="whose offers may be used  [default: all fresh]"),
    ] = None
    terms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1y|3y|1y-plan|3y-plan ...",
            help="commitments that may be bought, -plan: savings plans  [default: none]",
        ),
    ] = None
    frontier: Annotated[
        bool,
        typer.Option("--frontier", help="also what other limits on CVaR and on spread would cost"),
    ] = False
    freq: StepOption = "7D"
    horizon_steps: Annotated[int, typer.Option(metavar="N", help="steps that the plan covers")] = 13
    periods: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="equal periods, in each of which machines may change  [default: as the demand "
            "asks]",
        ),
    ] = None
    last_plan: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="what runs now: the plan in there; leaving it costs"),
    ] = None
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="of a last plan with scenarios, the one that came  [default: the likeliest]",
        ),
    ] = None
    n_paths: PathsOption = 500
    stale_after_days: StaleAfterOption = None
    listed_too: ListedTooOption = False
    seed: PathSeedOption = 7
    store: StoreOption = ""
    work_limit: Annotated[
        float,
        typer.Option(
            metavar="UNITS",
            help="most work to solve: a unit takes about a second of a quiet machine, but is "
            "counted, so that a busy one finds the same plan",
        ),
    ] = 60.0
    time_limit: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="most seconds to wait; a plan cut short says so"),
    ] = 600.0
    gap: Annotated[
        float,
        typer.Option(metavar="SHARE", help="stop at this relative gap of cost and proven bound"),
    ] = 1e-4
    var: Annotated[
        float | None,
        typer.Option(
            metavar="USD", help="hold VaR at --cvar-level to so many USD, by repairing the plan"
        ),
    ] = None
    budget_usd: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="USD",
            help="most that the plan may be expected to cost over the horizon (USD)",
        ),
    ] = None
    cvar_usd: Annotated[
        float | None,
        typer.Option(
            "--cvar",
            metavar="USD",
            help="most that the worst price paths may cost on average, without fees (USD)",
        ),
    ] = None
    cvar_level: Annotated[
        float | None, typer.Option(metavar="LEVEL", help="level of CVaR and VaR  [default: 0.95]")
    ] = None
    effective_providers: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="spread spend over so many at least (inverse of summed squared shares)",
        ),
    ] = None
    diversify: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="what these are: provider or region  [default: provider]"
        ),
    ] = None
    max_provider_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="most of the spend with one provider (0 to 1)"),
    ] = None
    max_region_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="most of the spend in one region (0 to 1)")
    ] = None
    min_on_demand_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="least share of instance-hours on demand (0 to 1)"),
    ] = None
    min_commitment_use: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="least share of committed hours that work uses (0 to 1)"
        ),
    ] = None
    carbon_kg: Annotated[
        float | None,
        typer.Option(
            metavar="KG",
            help="most CO2e of the electricity over the horizon (kg, average grid intensity)",
        ),
    ] = None
    carbon_usd_per_tonne: Annotated[
        float | None,
        typer.Option(metavar="USD", help="price of a tonne of CO2e, part of the cost (USD)"),
    ] = None
    hazard: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="spot interruptions: calm, advisor-implied (as calm), typical, trace-calibrated "
            "or stressed  "
            "[default: typical]",
        ),
    ] = None

    def __post_init__(self) -> None:
        periods = 1 if self.periods is None else self.periods
        if min(self.horizon_steps, self.n_paths, periods) < 1 or self.seed < 0:
            raise ParameterError(
                "--horizon-steps, --n-paths and --periods must be 1 or more, --seed not below 0.",
                "Leave them out for 13, 500, as many as the demand asks for, and 7.",
            )
        refuse_unwritable(self.out)
