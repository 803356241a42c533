"""A foundation model from a local folder of weights, asked for forecasts without being trained.

The folder holds ``config.json``, whose ``model.family`` names the network, and its weights as
safetensors: numbers alone, no pickle, so nothing in it can run. Nothing is downloaded. The model
works in a process of its own, apart from TensorFlow and the solver.
"""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.worker import Worker
from cloudarb_lib.forecast.features import carry_forward

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FAMILY = "fracast"
"""The family that there is an adapter for; its package ships weights."""
PACKAGES = ("fracast", "torch")
CONTEXT_CELLS = 2048
"""What the model looks back; it knows no more."""
LEAST_PRICES = 8  # that a series needs before the model says anything
AT_ONCE = 50  # series in memory at once
LIMIT_S = 600.0
_WORKER = Worker("foundation model")


class Quantiles(NamedTuple):
    """Forecasts, and what they cost.

    Attributes
    ----------
    log_change : (origins, series, levels, steps), quantiles of the log change from each origin.
    cpu_s : CPU seconds of the process, loading included.
    """

    log_change: np.ndarray
    cpu_s: float


def is_installed() -> bool:
    """Say whether the packages that run the model are there."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


def weights_folder(name: str = "") -> Path:
    """Return a folder of weights; '' are those that come with the package.

    Raises
    ------
    ParameterError
        Where the package is not installed.
    """
    if name:
        return Path(name)
    found = importlib.util.find_spec(FAMILY)
    if found is None or found.origin is None:
        raise ParameterError(f"{FAMILY} is not installed.", f"pip install {' '.join(PACKAGES)}")
    return Path(found.origin).parent / "weights"


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not one of weights that the adapter can load.

    Raises
    ------
    ParameterError
        Where a file is missing, the configuration cannot be read, or the family is another one.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            what = f"folder {folder.name} of a foundation model has no {name}."
            raise ParameterError(what, "Weights come as safetensors; pickled ones are not read.")
    try:
        told = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        family = told["model"]["family"]
    except (OSError, ValueError, KeyError, TypeError) as cause:
        what = f"{CONFIG_FILE} of folder {folder.name} does not tell model.family."
        raise ParameterError(what, "Take the file that the weights came with.") from cause
    if family != FAMILY:
        raise ParameterError(f"there is no adapter for family {family!r}.", f"Use {FAMILY}.")


def forecast_quantiles(
    folder: Path, log_price: np.ndarray, origins: np.ndarray, *, horizon: int
) -> Quantiles:
    """Return the model's quantiles from each origin, seeing prices up to it alone.

    It is asked for log prices, so that no answer is below zero.

    Parameters
    ----------
    folder : Path
        Of the weights, as ``check_folder`` takes it.
    log_price : ndarray of shape (times, series)
        NaN where none is known: the last one is carried forward, since a price holds.
    origins : ndarray of shape (origins,)
        Positions in the times.
    horizon : int
        Steps ahead.

    Raises
    ------
    ParameterError
        As ``check_folder``.
    WorkerError
        Where the model's process fails, or is silent for ``LIMIT_S``.
    """
    check_folder(folder)
    level = carry_forward(log_price)
    contexts = [level[max(at + 1 - CONTEXT_CELLS, 0) : at + 1].T for at in origins]
    now = level[origins]
    quantiles, cpu_s = _WORKER.call(_ask, folder, contexts, horizon, limit_s=LIMIT_S)
    return Quantiles(np.nan_to_num(quantiles - now[:, :, None, None]), cpu_s)


def _ask(folder: Path, contexts: list[np.ndarray], horizon: int) -> tuple[np.ndarray, float]:
    """Return quantiles of log prices (origins, series, levels, steps), and CPU seconds.

    Run by the worker: it loads torch. A series with too few prices gets NaN.
    """
    began = time.process_time()
    import torch
    from fracast.inference import FracastModel

    torch.set_num_threads(1)
    model = FracastModel.from_pretrained(folder, weights="fp32")
    found = []
    for context in contexts:
        answer = np.full((len(context), horizon, len(model.quantiles)), np.nan)
        enough = np.flatnonzero(np.isfinite(context).sum(axis=1) >= LEAST_PRICES)
        for first in range(0, len(enough), AT_ONCE):
            rows = enough[first : first + AT_ONCE]
            answer[rows] = model.forecast_batch(context[rows], horizon=horizon)
        found.append(answer.transpose(0, 2, 1))
    return np.stack(found), time.process_time() - began
