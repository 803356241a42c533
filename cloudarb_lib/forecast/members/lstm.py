"""One network for all series, in TensorFlow, in a process of its own.

It sees a window of each series in units of that series' own steps, and answers with the median
change to each step ahead at once.

References
----------
Hochreiter and Schmidhuber, Neural Computation 9, 1997 (long short-term memory). Wen, Torkkola,
Narayanaswamy and Madeka, A multi-horizon quantile recurrent forecaster, 2017 (all steps at once).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cloudarb_lib.forecast.features import carry_forward, group_means, motion_features, price_steps
from cloudarb_lib.forecast.fitting import Fitting, every_step, learned_steps
from cloudarb_lib.forecast.member import Member
from cloudarb_lib.forecast.splits import outcome_known
from cloudarb_lib.forecast.task import WINDOW_CELLS, Task
from cloudarb_lib.forecast.worker import WORKER

MODEL_FILE = "lstm.keras"
SIZES = ("price_step", "market_step", "change_1", "change_8", "change_26")
"""Channels in units of the series' steps."""
AGES = ("since_step", "since_repricing", "gap")
"""Channels in cells, of which it sees the logarithm."""
N_CHANNELS = len(SIZES) + len(AGES) + 2  # and the group's breadth, and the log of the unit
FEATURES_SEEN = (*SIZES[2:], *AGES, "rises", "falls")
LIMIT_LOG = 10.0  # no input is larger
UNITS = 32
LEARNED_AHEAD = (1, 2, 4, 8, 13, 24, 48, 96, 168)  # those between are interpolated
MAX_ROWS = 8_000  # windows of a fit, drawn evenly, for speed
MAX_CHECKED_ROWS = MAX_ROWS // 8  # windows that tell when to stop
MOST_SERIES = 1_000  # that a fit draws from, others each time
FIRST_EPOCHS = 12
LATER_EPOCHS = 3  # a later fit begins where the one before it ended
TAIL_SHARE = 0.15  # newest share of the past, on which training stops early
MIN_ROWS = 500  # windows below which the price is said to stay
REFITS = 4  # fits over the span of the origins
LEAST_REFIT_CELLS = 13
SCALE_CELLS = 168  # cells over which the size of a series' steps is taken
MIN_SCALE = 0.005
BATCH = 256
PREDICTED_AT_ONCE = 16 * BATCH
MOST_UNITS = 50.0  # no change learned from is larger, in units of the series' steps
LIMIT_S = 300.0


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the network sees.

    Attributes
    ----------
    cube : (cells, series, channels), nothing in row t from after t.
    unit : (cells, series), the root mean square step of the last ``SCALE_CELLS``.
    """

    cube: np.ndarray
    unit: np.ndarray


def lstm(task: Task) -> np.ndarray:
    """The network's medians, by Keras in the worker process.

    Raises
    ------
    WorkerError
        Where that process fails, or needs more than ``LIMIT_S``.
    """
    inputs = None
    asked = replace(task, about=None)  # and without what the task has cached
    if task.fitted:  # what it sees is known here already
        inputs = inputs_of(task.log_price, task.groups, motion=task.motion)
        asked = replace(asked, log_price=task.log_price[:0])
    return WORKER.call(fit_predict, asked, inputs, limit_s=LIMIT_S)


def inputs_of(
    log_price: np.ndarray, groups: np.ndarray, *, motion: dict[str, np.ndarray] | None = None
) -> Inputs:
    """Return what the network sees of each cell.

    Parameters
    ----------
    log_price : (times, series)
    groups : (series,)
    motion : what ``features.motion_features`` returns of the last cells, where only these are
        asked.
    """
    motion = motion or motion_features(log_price, groups)
    first_cell = len(log_price) - len(motion["gap"])
    oldest = max(first_cell - SCALE_CELLS, 0)
    level = carry_forward(log_price[oldest:])
    step = price_steps(level)
    unit = _units(step, oldest=oldest, first_cell=first_cell)
    step = step[first_cell - oldest :]
    known_step = np.where(np.isfinite(level[first_cell - oldest :]), step, np.nan)
    channels = {name: motion[name] for name in FEATURES_SEEN}
    channels["price_step"] = step
    channels["market_step"] = group_means(known_step, groups)[:, groups]
    cube = np.empty((*unit.shape, N_CHANNELS), np.float32)
    for k, name in enumerate(SIZES):  # channel by channel, to save memory
        cube[..., k] = channels.pop(name) / unit
    for k, name in enumerate(AGES, start=len(SIZES)):
        cube[..., k] = np.log1p(channels.pop(name))
    cube[..., -2] = channels["rises"] - channels["falls"]
    cube[..., -1] = np.log(unit)
    cube = np.clip(np.nan_to_num(cube, copy=False), -LIMIT_LOG, LIMIT_LOG, out=cube)
    return Inputs(cube, unit)


def _units(step: np.ndarray, *, oldest: int, first_cell: int) -> np.ndarray:
    """Root mean square steps up to cells from ``first_cell`` on; ``step`` begins at ``oldest``."""
    end = np.arange(first_cell, oldest + len(step)) + 1
    sums = np.zeros((len(step) + 1, step.shape[1]))
    np.cumsum(step**2, axis=0, out=sums[1:])
    total = sums[end - oldest] - sums[np.maximum(end - SCALE_CELLS, oldest) - oldest]
    return np.sqrt(total.clip(0) / np.minimum(end, SCALE_CELLS)[:, None]).clip(MIN_SCALE)


def inputs_by_group(log_price: np.ndarray, groups: np.ndarray) -> Inputs:
    """Return ``inputs_of`` group by group: what they take on the way is many times as large."""
    cube = np.empty((*log_price.shape, N_CHANNELS), np.float32)
    unit = np.empty(log_price.shape)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        inputs = inputs_of(log_price[:, mine], np.zeros(len(mine), int))
        cube[:, mine] = inputs.cube
        unit[:, mine] = inputs.unit
    return Inputs(cube, unit)


def windows(
    cube: np.ndarray, rows: np.ndarray, series: np.ndarray, *, n_cells: int = WINDOW_CELLS
) -> np.ndarray:
    """Return (n, n_cells, channels): cells up to each row; zeros before the first."""
    cells = rows[:, None] + np.arange(1 - n_cells, 1)
    out = cube[np.maximum(cells, 0), series[:, None]]
    out[cells < 0] = 0.0
    return out


def fit_predict(
    task: Task, inputs: Inputs | None = None, build: Callable[[int, int], Any] | None = None
) -> np.ndarray:
    """Return what the network forecasts; loads TensorFlow, so the worker runs it.

    Parameters
    ----------
    task : without prices where ``inputs`` are given.
    inputs : of the cells from ``WINDOW_CELLS`` before the first origin on.
    build : makes another network to be fitted in the same way, as ``network`` does; how many cells
        it sees says its input.
    """
    import keras

    _use_one_thread()
    if not task.fitted:
        keras.backend.clear_session()
        keras.utils.set_random_seed(task.seed)
    rng = np.random.default_rng(task.seed)
    n_series = len(task.groups)
    ahead = learned_steps(LEARNED_AHEAD, task.horizon)
    first_cell = max(task.first_cell - WINDOW_CELLS + 1, 0)
    seen_by_network = inputs or inputs_by_group(task.log_price, task.groups)
    latest: list[Any] = []  # trained on by the next fit

    def fit_at(at: int, kept: Any) -> Any:
        model = latest[0] if latest else (build or network)(N_CHANNELS, len(ahead))
        if kept and not latest:
            model.set_weights(kept.get_weights())
        epochs = LATER_EPOCHS if kept or latest else FIRST_EPOCHS
        enough = train(
            model, seen_by_network, task.log_price, at=at, ahead=ahead, epochs=epochs, rng=rng
        )
        if enough or kept:
            latest[:] = [model]
        return latest[0] if latest else None

    def predict(model: Any, origins: np.ndarray) -> np.ndarray:
        rows = np.repeat(origins, n_series) - first_cell
        series = np.tile(np.arange(n_series), len(origins))
        values = _predict(model, seen_by_network.cube, rows, series)
        values = values.reshape(len(origins), n_series, *values.shape[1:])
        unit = seen_by_network.unit[origins - first_cell]
        return every_step(values * unit[..., None], ahead)

    every = max(int(np.ptp(task.origins)) // REFITS, LEAST_REFIT_CELLS)
    return Fitting(MODEL_FILE, every, fit_at, predict, _write, _read).forecast(task)


def _predict(model: Any, cube: np.ndarray, rows: np.ndarray, series: np.ndarray) -> np.ndarray:
    """What the network answers to the windows up to ``rows``, (n, ahead)."""
    answer = graph(model)
    n_cells = model.input_shape[1]
    answers = []
    for start in range(0, len(rows), PREDICTED_AT_ONCE):
        piece = slice(start, start + PREDICTED_AT_ONCE)
        answers.append(answer(windows(cube, rows[piece], series[piece], n_cells=n_cells)))
    return np.concatenate(answers)


def _write(model: Any, file: Path) -> None:
    model.save(file)


def _read(file: Path) -> Any:
    import keras

    return keras.models.load_model(file, compile=False)


@lru_cache(maxsize=2)
def graph(model: Any) -> Callable[[np.ndarray], Any]:
    """Return ``model`` as a graph of TensorFlow's, which answers without Keras' overhead."""
    import tensorflow as tf

    spec = [tf.TensorSpec(model.input_shape, tf.float32)]
    return tf.function(lambda x: model(x, training=False), input_signature=spec)


def _use_one_thread() -> None:
    """Make TensorFlow repeat itself to the last bit: deterministic operations, one thread."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    if not tf.config.threading.get_intra_op_parallelism_threads():  # cannot be set once it has run
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def network(channels: int, n_ahead: int) -> Any:
    """Return the network, which says "unchanged" at first.

    From (n, ``WINDOW_CELLS``, channels) to (n, n_ahead).
    """
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((WINDOW_CELLS, channels)),
            layers.LSTM(UNITS),
            layers.Dense(n_ahead, kernel_initializer="zeros"),
        ]
    )
    return compiled(model, learning_rate=3e-3)


def compiled(model: Any, *, learning_rate: float) -> Any:
    """Return the model, ready to learn medians: by absolute error of known outcomes."""
    import keras
    import tensorflow as tf

    def absolute_error(truth, stated):
        is_known = tf.math.is_finite(truth)
        error = tf.where(is_known, truth, 0.0) - stated
        return tf.abs(error) * tf.cast(is_known, tf.float32)

    optimizer = keras.optimizers.Adam(learning_rate, clipnorm=1.0)
    model.compile(optimizer=optimizer, loss=absolute_error)
    return model


def train(
    model: Any,
    inputs: Inputs,
    log_price: np.ndarray,
    *,
    at: int,
    ahead: np.ndarray,
    epochs: int,
    rng: np.random.Generator,
) -> bool:
    """Train on what was known at ``at``; return whether there was enough of it.

    The newest windows judge when to stop; an outcome that reaches into them trains nothing.
    """
    import keras

    cut = at - max(int(TAIL_SHARE * at), 1)
    n_series = log_price.shape[1]
    rows = np.arange(1, at)
    some = np.arange(n_series)
    if n_series > MOST_SERIES:
        some = np.sort(rng.permutation(n_series)[:MOST_SERIES])
    change = _known_changes(log_price[:, some], inputs.unit[:, some], ahead, at=at, cut=cut)

    def drawn(of_rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        take = np.argwhere(np.isfinite(change).any(axis=2) & of_rows[:, None])
        take = take[rng.permutation(len(take))[:most]]
        at_cells = (rows[take[:, 0]], some[take[:, 1]])
        x = windows(inputs.cube, *at_cells, n_cells=model.input_shape[1])
        return x, np.clip(change[take[:, 0], take[:, 1]], -MOST_UNITS, MOST_UNITS)

    x, y = drawn(rows <= cut, MAX_ROWS)
    checked_x, checked_y = drawn(rows > cut, MAX_CHECKED_ROWS)
    if len(y) < MIN_ROWS or not len(checked_y):
        return False
    model.fit(
        x,
        y,
        epochs=epochs,
        batch_size=BATCH,
        verbose=0,
        validation_data=(checked_x, checked_y),
        callbacks=[keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
    )
    return True


def _known_changes(
    log_price: np.ndarray, unit: np.ndarray, ahead: np.ndarray, *, at: int, cut: int
) -> np.ndarray:
    """Changes to the steps ``ahead`` of the rows from 1 to ``at``, in units; NaN where not known.

    Those of rows up to ``cut`` had to be known there.
    """
    rows = np.arange(1, at)
    out = np.full((len(rows), log_price.shape[1], len(ahead)), np.nan, np.float32)
    for k, h in enumerate(ahead):
        start = rows[outcome_known(rows, int(h), at=at)]
        out[: len(start), :, k] = (log_price[start + h] - log_price[start]) / unit[start]
        reaches_beyond = (rows <= cut) & ~outcome_known(rows, int(h), at=cut)
        out[reaches_beyond, :, k] = np.nan
    return out


MEMBERS = (
    Member(
        "lstm",
        lstm,
        slow=True,
        other_process=True,
        model_file=MODEL_FILE,
        packages=("keras", "tensorflow-cpu", "scipy"),
    ),
)
