"""Forecasts: members, ensemble, calibrated intervals, joint sample paths; walk-forward scores."""

from cloudarb_lib.forecast.drift import alarms
from cloudarb_lib.forecast.evaluate import walk_forward
from cloudarb_lib.forecast.members import SLOW
from cloudarb_lib.forecast.offers import (
    MAX_AHEAD,
    MAX_PATH_CELLS,
    QUANTILES,
    Forecast,
    forecast_fitted,
    forecast_offers,
    forecast_panels,
)
from cloudarb_lib.forecast.path_scores import score_paths
from cloudarb_lib.forecast.patterns import is_moving
from cloudarb_lib.forecast.rolling import RollingForecasts, rolling_forecasts
from cloudarb_lib.forecast.saved import fit, load, update
from cloudarb_lib.forecast.score_table import headline
