"""The LSTM member: one network for all series, in TensorFlow, in a process of its own.

It sees a window of each series in units of that series' own steps, and answers with quantiles of the change
to each step ahead at once (direct, pinball loss: Wen and others, 2017); its median is the point forecast.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloudarb_lib.forecast.features import carry_forward, group_means, motion, steps
from cloudarb_lib.forecast.splits import known
from cloudarb_lib.forecast.worker import WORKER

if TYPE_CHECKING:
    from cloudarb_lib.forecast.members import Task

SIZES = (
    "step",
    "market",
    "change_1",
    "change_8",
    "change_26",
)  # what it sees, in units of the series' steps
AGES = ("since_step", "since_review", "gap")
SEEN = (*SIZES[2:], *AGES, "rises", "falls")  # of the features
WINDOW = 32  # cells it sees: most of a year of weeks, more than a day of hours
UNITS = 32
LEVELS = (0.1, 0.5, 0.9)
AHEAD = (1, 2, 4, 8, 13, 24, 48, 96, 168)  # steps trained on; those between are interpolated
MAX_ROWS = 8_000  # windows of a fit, drawn evenly, for speed
MOST_SERIES = 1_000  # that a fit draws from, others each time
FIRST_EPOCHS, LATER_EPOCHS = 12, 3  # a later fit begins where the one before it ended
TAIL_SHARE = 0.15  # newest share of the past, on which training stops early
MIN_ROWS = 500  # windows below which the price is said to stay
REFITS = 4  # fits over the span of the origins
SCALE_CELLS = 168  # cells over which the size of a series' steps is taken
MIN_SCALE = 0.005
BATCH = 256
LIMIT_S = 300.0


def lstm(task: Task) -> np.ndarray:
    """Long short-term memory network (Hochreiter and Schmidhuber, 1997), by Keras in the worker process.

    WorkerError where that process fails or needs more than ``LIMIT_S``.
    """
    ready = None
    if task.fitted:  # what it sees is known here already
        ready = inputs(task.log_price, task.groups, moved=task.motion)
        task = replace(task, log_price=task.log_price[:0])
    return WORKER.call(
        replace(task, about=None), ready, limit_s=LIMIT_S
    )  # without what the task has cached


def inputs(
    log_price: np.ndarray, groups: np.ndarray, *, moved: dict[str, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the network sees of each cell (times, series, channels), and the unit of its steps: of the last ones
    where only of them is known what ``features.motion`` returns, ``moved``.

    The unit is the root mean square step of the last ``SCALE_CELLS``; a row at t uses nothing after t.
    """
    seen = {n: each for n, each in (moved or motion(log_price, groups)).items() if n in SEEN}
    since = len(log_price) - len(seen["gap"])
    first = max(since - SCALE_CELLS, 0)
    level = carry_forward(log_price[first:])
    step, end = steps(level), np.arange(since, len(log_price)) + 1
    sums = np.zeros((len(step) + 1, step.shape[1]))
    np.cumsum(step**2, axis=0, out=sums[1:])
    total = sums[end - first] - sums[np.maximum(end - SCALE_CELLS, first) - first]
    unit = np.sqrt(total.clip(0) / np.minimum(end, SCALE_CELLS)[:, None]).clip(MIN_SCALE)
    step = step[since - first :]
    market = group_means(np.where(np.isfinite(level[since - first :]), step, np.nan), groups)[
        :, groups
    ]
    seen |= {"step": step, "market": market}
    cube = np.empty((*unit.shape, len(SIZES) + len(AGES) + 2), np.float32)
    for k, name in enumerate(SIZES):  # channel by channel, to save memory
        cube[..., k] = seen.pop(name) / unit
    for k, name in enumerate(AGES, start=len(SIZES)):
        cube[..., k] = np.log1p(seen.pop(name))
    cube[..., -2], cube[..., -1] = seen["rises"] - seen["falls"], np.log(unit)
    return np.clip(np.nan_to_num(cube, copy=False), -10, 10, out=cube), unit


def all_inputs(log_price: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``inputs`` group by group, since what they take on the way is many times as large."""
    cube = np.empty((*log_price.shape, len(SEEN) + 2), np.float32)
    unit = np.empty(log_price.shape)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        cube[:, mine], unit[:, mine] = inputs(log_price[:, mine], np.zeros(len(mine), int))
    return cube, unit


def windows(cube: np.ndarray, rows: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Return (n, WINDOW, channels): cells up to each row; zeros before the first."""
    cells = rows[:, None] + np.arange(1 - WINDOW, 1)
    out = cube[np.maximum(cells, 0), series[:, None]]
    out[cells < 0] = 0.0
    return out


def fit_predict(task: Task, ready: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """Return the log changes (origins, series, steps), given ``inputs`` where they are ``ready``; runs in the worker, and
    loads TensorFlow there."""
    import keras

    from cloudarb_lib.forecast.members import Fitting, every_step, learned_steps

    one_thread()
    if not task.fitted:
        keras.backend.clear_session()
        keras.utils.set_random_seed(task.seed)
    rng, many = np.random.default_rng(task.seed), len(task.groups)
    ahead = learned_steps(AHEAD, task.horizon)
    since = max(task.since - WINDOW + 1, 0)
    cube, unit = ready or all_inputs(task.log_price, task.groups)
    network_now: list[Any] = []  # trained on by the next fit

    def fit_at(at: int, kept: Any) -> Any:
        model = network_now[0] if network_now else network(cube.shape[2], len(ahead))
        if kept and not network_now:
            model.set_weights(kept.get_weights())
        epochs = LATER_EPOCHS if kept or network_now else FIRST_EPOCHS
        enough = fit(
            model, (cube, unit, task.log_price), at=at, ahead=ahead, epochs=epochs, rng=rng
        )
        if enough or kept:
            network_now[:] = [model]
        return network_now[0] if network_now else None

    def predict(model: Any, part: np.ndarray) -> np.ndarray:
        rows, series = np.repeat(part, many) - since, np.tile(np.arange(many), len(part))
        pieces = [slice(i, i + 16 * BATCH) for i in range(0, len(rows), 16 * BATCH)]
        said = np.concatenate([graph(model)(windows(cube, rows[p], series[p])) for p in pieces])
        said = said.reshape(len(part), many, *said.shape[1:]) * unit[part - since][..., None, None]
        out = every_step(said, ahead)
        return (
            out[..., LEVELS.index(0.5)] if task.fitted else in_order(out)
        )  # the others are for scores

    every = max(int(np.ptp(task.origins)) // REFITS, 13)
    return Fitting(
        "lstm.keras", every, fit_at, predict, lambda model, file: model.save(file), _read
    ).walk(task)


def in_order(said: np.ndarray) -> np.ndarray:
    """Return quantiles ``LEVELS`` (..., levels) of which the outer do not lie within the median."""
    low, middle, high = np.moveaxis(said, -1, 0)
    return np.stack([np.minimum(low, middle), middle, np.maximum(high, middle)], axis=-1)


def _read(file: Path) -> Any:
    import keras

    return keras.models.load_model(file, compile=False)


@lru_cache(maxsize=2)
def graph(model: Any) -> Any:
    """Return ``model`` as a graph of TensorFlow's, which answers without Keras' overhead."""
    import tensorflow as tf

    spec = [tf.TensorSpec(model.input_shape, tf.float32)]
    return tf.function(lambda x: model(x, training=False), input_signature=spec)


def one_thread() -> None:
    """Make TensorFlow repeat itself to the last bit: deterministic operations, one thread."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    if not tf.config.threading.get_intra_op_parallelism_threads():  # cannot be set once it has run
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def network(channels: int, n_ahead: int) -> Any:
    """Return the network, (n, WINDOW, channels) to (n, n_ahead, LEVELS), saying "unchanged" at first."""
    import keras
    import tensorflow as tf

    layers, levels = keras.layers, tf.constant(LEVELS)

    def pinball(truth, said):
        error = tf.where(tf.math.is_finite(truth), truth, 0.0)[..., None] - said
        loss = tf.maximum(levels * error, (levels - 1) * error)
        return tf.reduce_mean(loss, axis=-1) * tf.cast(tf.math.is_finite(truth), tf.float32)

    model = keras.Sequential(
        [
            layers.Input((WINDOW, channels)),
            layers.LSTM(UNITS),
            layers.Dense(n_ahead * len(LEVELS), kernel_initializer="zeros"),
            layers.Reshape((n_ahead, len(LEVELS))),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3, clipnorm=1.0), loss=pinball)
    return model


def fit(
    model: Any, data: tuple, *, at: int, ahead: np.ndarray, epochs: int, rng: np.random.Generator
) -> bool:
    """Train on what was known at ``at``; return whether there was enough of it.

    The newest windows judge when to stop; an outcome that reaches into them trains nothing.
    """
    import keras

    cube, unit, log_price = data
    cut, many = at - max(int(TAIL_SHARE * at), 1), log_price.shape[1]
    rows = np.arange(1, at)
    some = np.arange(many) if many <= MOST_SERIES else np.sort(rng.permutation(many)[:MOST_SERIES])
    price, size = log_price[:, some], unit[:, some]
    change = np.full((len(rows), len(some), len(ahead)), np.nan, np.float32)
    for k, h in enumerate(ahead):
        on = rows[known(rows, int(h), at=at)]
        change[: len(on), :, k] = (price[on + h] - price[on]) / size[on]
        between = (rows <= cut) & ~known(rows, int(h), at=cut)
        change[between, :, k] = np.nan
    x, y = [], []
    for mine, most in ((rows <= cut, MAX_ROWS), (rows > cut, MAX_ROWS // 8)):
        take = np.argwhere(np.isfinite(change).any(axis=2) & mine[:, None])
        take = take[rng.permutation(len(take))[:most]]
        x.append(windows(cube, rows[take[:, 0]], some[take[:, 1]]))
        y.append(np.clip(change[take[:, 0], take[:, 1]], -50, 50))
    if len(y[0]) < MIN_ROWS or not len(y[1]):
        return False
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    checked = {"validation_data": (x[1], y[1]), "callbacks": [stop]}
    model.fit(x[0], y[0], epochs=epochs, batch_size=BATCH, verbose=0, **checked)
    return True
