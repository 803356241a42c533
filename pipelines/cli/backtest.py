"""``cloudarb backtest``: what the forecasts of the past would have been worth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.cli import score_tables
from pipelines.cli.folders import refuse_unwritable
from pipelines.cli.history_file import StoreFolder, store_of
from pipelines.cli.manual import with_options
from pipelines.cli.panels import BUNDLED, OWN, SEED, WITHOUT_EVIDENCE, Setting, prepare
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cloudarb_lib.base.types import Panel
    from cloudarb_lib.forecast.evaluate import Forecaster

_PANELS = [setting.name for setting in (*BUNDLED, *WITHOUT_EVIDENCE)]
_OWN_HORIZONS = ",".join(map(str, OWN.horizons))


@dataclass(frozen=True)
class BacktestOptions:
    """Options of the verb."""

    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="price file as for ingest  [default: bundled panels]"),
    ] = None
    panel: Annotated[
        str | None,
        typer.Option(
            metavar="PANEL",
            help=f"one of the bundled panels: {', '.join(_PANELS)}  "
            f"[default: the first {len(BUNDLED)}]",
        ),
    ] = None
    freq: Annotated[
        str | None,
        typer.Option(
            metavar="STEP", help=f"step of the grid, with --history  [default: {OWN.freq}]"
        ),
    ] = None
    horizons: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS,...", help=f"steps ahead, with --history  [default: {_OWN_HORIZONS}]"
        ),
    ] = None
    origins: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"how many origins, with --history  [default: {OWN.origins}]"
        ),
    ] = None
    span: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="time from the first origin to the end of the record, with --history  "
            f"[default: {OWN.span}]",
        ),
    ] = None
    seed: Annotated[int, typer.Option(metavar="N", help="seed of members and sample paths")] = SEED
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="folder of scores.parquet  [default: reports/backtest]"
        ),
    ] = None
    store: StoreFolder = ""


@with_options(BacktestOptions)
def backtest(options: BacktestOptions) -> int:
    """What would the forecasts of the past have been worth?

    Forecasts from past origins as they could have been made there, and scores the sample paths: by
    horizon and half-year the error of their median and mean and their CRPS over those of the last
    price (below 1 is better), bias, coverage, direction, and the same of the cheapest places of
    each GPU model. The bundled panels (of price lists only offers that are known to be sold), or
    any file that ingest takes, whole; origins evenly over the span, which ends with the record.
    Writes scores.parquet and scores.csv, a row per target, group, model, horizon and span (of the
    bundled panels in a folder each).
    """
    from cloudarb_lib.base import locations

    settings = _settings(options)
    out = options.out or locations.reports() / "backtest"
    refuse_unwritable(out)
    with store_of(options.history, options.store) as store_dir:
        for setting in settings:
            folder = out / setting.name if options.history is None else out
            scores = _scored(prepare(setting, store_dir), folder, seed=options.seed)
            _print_scores(setting, scores)
            print(f"written to {folder / 'scores.parquet'}")
    print(f"\n{score_tables.LEGEND}")
    return DONE


def _settings(options: BacktestOptions) -> list[Setting]:
    """Return the panels asked for; ParameterError for options that do not fit each other."""
    about_a_file = {
        name: getattr(options, name)
        for name in ("freq", "horizons", "origins", "span")
        if getattr(options, name) is not None
    }
    if options.history is None:
        if about_a_file:
            raise ParameterError(
                f"--{next(iter(about_a_file))} goes with --history.",
                "Name a file, or leave it out.",
            )
        if options.panel is not None and options.panel not in _PANELS:
            raise ParameterError(
                f"no panel {options.panel!r}{did_you_mean(options.panel, _PANELS)}.",
                f"Use one of {', '.join(_PANELS)}.",
            )
        if options.panel is None:
            return list(BUNDLED)
        named = (*BUNDLED, *WITHOUT_EVIDENCE)
        return [setting for setting in named if setting.name == options.panel]
    if options.panel:
        raise ParameterError("--panel and --history exclude each other.", "Leave one out.")
    if options.horizons is not None:
        about_a_file["horizons"] = _whole_numbers(options.horizons)
    return [dataclasses.replace(OWN, **about_a_file)]


def _whole_numbers(horizons: str) -> tuple[int, ...]:
    try:
        return tuple(int(steps) for steps in horizons.split(","))
    except ValueError:
        what = f"--horizons {horizons!r} are not whole numbers."
        raise ParameterError(what, "Write 1,24.") from None


def _scored(task: dict[str, Any], folder: Path, *, seed: int) -> pd.DataFrame:
    """Return the scores of a task, kept as scores.parquet in ``folder``.

    They are read from there where the same prices were scored before by the same code. An
    interrupted run finds again what slow members forecast.
    """
    import shutil

    import pandas as pd

    from cloudarb_lib import forecast
    from cloudarb_lib.base.files import replaced

    digest = _task_digest(task, seed)
    file = folder / "scores.parquet"
    if file.exists():
        scores = pd.read_parquet(file)
        if scores.attrs.get("digest") == digest:
            return scores
    unfinished = folder / "unfinished"
    tick = task.pop("tick")
    rivals = {} if tick is None else {"last_tick": last_tick(tick, task["panel"], task["origins"])}
    keep = unfinished / digest
    scored = forecast.walk_forward(**task, rivals=rivals, seed=seed, keep=keep, compare=True)
    scores = scored.scores
    scores.attrs["digest"] = digest
    with replaced(folder / "scores.csv") as unwritten:
        scores.to_csv(unwritten, index=False)
    with replaced(file) as unwritten:
        scores.to_parquet(unwritten, index=False)
    shutil.rmtree(unfinished, ignore_errors=True)
    return scores


def _task_digest(task: dict[str, Any], seed: int) -> str:
    """Return a digest of the prices to score, the origins, the seed, and the library's code."""
    from cloudarb_lib.base import locations
    from cloudarb_lib.base.digests import digest_files, digest_values

    panel = task["panel"]
    return digest_values(
        digest_files(sorted(locations.library().rglob("*.py"))),
        panel.price,
        panel.offers.to_csv(),
        str(panel.times[:2]),
        task["origins"],
        task["since"],
        seed,
        task["tick"],
        task["listed"].price,
    )


def last_tick(tick: np.ndarray, panel: Panel, origins: dict[int, np.ndarray]) -> Forecaster:
    """Return the price at the end of each cell as a forecast.

    Parameters
    ----------
    tick : (times, offers), USD per hour.
    panel : the prices that are forecast.
    origins : by horizon.
    """
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.log(tick / panel.price)

    def forecaster(position: int) -> np.ndarray:
        return np.repeat(change[position][:, None, None], len(origins), axis=2)

    return forecaster


def _print_scores(setting: Setting, scores: pd.DataFrame) -> None:
    """Print the tables of a panel, and the accuracy an hour ahead."""
    from cloudarb_lib.forecast import headline

    print(f"\n{setting.name}: what was handed over (ensemble), by steps of {setting.freq} ahead")
    print(score_tables.by_span(scores, "ensemble"))
    print(f"\n{setting.name}: ensemble by group, all origins")
    print(score_tables.by_group(scores, "ensemble"))
    print(f"\n{setting.name}: every model, all origins")
    print(score_tables.by_model(scores))
    print(f"\n{setting.name}: mean price of the k cheapest places, of one GPU-hour")
    print(score_tables.of_cheapest(scores, "ensemble"))
    if setting.freq == "1h" and 1 in setting.horizons:
        row = headline(scores).xs("ensemble").loc[1]
        print(
            f"1 step ahead: accuracy (1 - MAPE) {1 - row['mape']:.1%}, "
            f"RMSE {row['rmse_usd_per_hour']:.3f}, MAE {row['mae_usd_per_hour']:.3f} USD/h "
            "(published, an hour ahead on other series: 96.7 %, 0.016, 0.012)"
        )
