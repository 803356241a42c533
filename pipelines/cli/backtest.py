"""``cloudarb backtest``: what the forecasts of the past would have been worth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.cli.history_file import StoreFolder, store_of
from pipelines.cli.manual import with_options
from pipelines.cli.panels import BUNDLED, OWN, SEED, Setting, prepare
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    import pandas as pd

_PANELS = [setting.name for setting in BUNDLED]
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
            metavar="PANEL", help=f"one of the bundled panels: {', '.join(_PANELS)}  [default: all]"
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

    Forecasts from past origins as they could have been made there, and scores them: by model and
    horizon the error over that of the last price (below 1 is better), CRPS, coverage, direction.
    The bundled panels, or any file that ingest takes; origins evenly over the span, which ends with
    the record. Writes scores.parquet, a row per series, model and horizon (of the bundled panels in
    a folder each).
    """
    from cloudarb_lib.base import locations

    settings = _settings(options)
    out = options.out or locations.reports() / "backtest"
    with store_of(options.history, options.store) as store_dir:
        for setting in settings:
            folder = out / setting.name if options.history is None else out
            scores = _scored(prepare(setting, store_dir), folder)
            _print_scores(setting, scores)
            print(f"written to {folder / 'scores.parquet'}")
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
        return [setting for setting in BUNDLED if options.panel in (None, setting.name)]
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


def _scored(task: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Return the scores of a task, kept as scores.parquet in ``folder``.

    They are read from there where the same prices were scored before by the same code. An
    interrupted run finds again what slow members forecast.
    """
    import shutil

    import pandas as pd

    from cloudarb_lib import forecast
    from cloudarb_lib.base.files import replaced

    digest = _task_digest(task)
    file = folder / "scores.parquet"
    if file.exists():
        scores = pd.read_parquet(file)
        if scores.attrs.get("digest") == digest:
            return scores
    unfinished = folder / "unfinished"
    scores = forecast.walk_forward(**task, seed=SEED, keep=unfinished / digest).scores
    scores.attrs["digest"] = digest
    with replaced(file) as unwritten:
        scores.to_parquet(unwritten, index=False)
    shutil.rmtree(unfinished, ignore_errors=True)
    return scores


def _task_digest(task: dict[str, Any]) -> str:
    """Return a digest of the prices to score, the origins, and the library's code."""
    from cloudarb_lib.base import locations
    from cloudarb_lib.base.digests import digest_files, digest_values

    panel = task["panel"]
    return digest_values(
        digest_files(sorted(locations.library().rglob("*.py"))),
        panel.price,
        panel.offers.to_csv(),
        str(panel.times[:2]),
        task["origins"],
        task["tick"],
        task["listed"].price,
    )


def _print_scores(setting: Setting, scores: pd.DataFrame) -> None:
    """Print the headline table, the coverage of intervals, and the accuracy an hour ahead."""
    from cloudarb_lib.forecast import headline

    n_series = scores["series_id"].nunique()
    print(f"\n{setting.name}: {n_series} series, by model and horizon (steps)")
    print(headline(scores).round(3).to_string())
    ensemble = scores[scores["model"] == "ensemble"]
    outcomes = ensemble["n"]
    within = {
        name: (ensemble[name] * outcomes).sum() / outcomes.sum() for name in ("pit80", "pit95")
    }
    print(
        f"of all outcomes, 80 % intervals hold {within['pit80']:.1%}, "
        f"95 % ones {within['pit95']:.1%} (randomised PIT)"
    )
    next_step = ensemble[ensemble["horizon"] == 1]
    if setting.freq == "1h" and len(next_step):
        accuracy = 1 - next_step["mape"].mean()
        rmse = next_step["rmse"].mean()
        mae = next_step["mae"].mean()
        print(
            f"1 step ahead: accuracy (1 - MAPE) {accuracy:.1%}, "
            f"RMSE {rmse:.3f}, MAE {mae:.3f} USD/h "
            "(published, an hour ahead on other series: 96.7 %, 0.016, 0.012)"
        )
