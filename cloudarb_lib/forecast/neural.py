"""The LSTM member: one network for all series, in TensorFlow, in a process of its own.

It sees a window of each series in units of that series' own steps, and answers with quantiles of the change
to each step ahead at once (direct, pinball loss: Wen and others, 2017); its median is the point forecast.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloudarb_lib.features import carry_forward, features, group_mean, steps
from cloudarb_lib.forecast.worker import WORKER
from cloudarb_lib.splits import known, walk

if TYPE_CHECKING:
    from cloudarb_lib.forecast.members import Task

WINDOW = 32  # cells it sees: most of a year of weeks, more than a day of hours
UNITS = 32
LEVELS = (0.1, 0.5, 0.9)
AHEAD = (1, 2, 4, 8, 13, 24, 48, 96, 168)  # steps trained on; those between are interpolated
MAX_ROWS = 8_000  # windows of a fit, drawn evenly, for speed
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
    names = ("log_price", "groups", "origins", "horizon", "seed", "fitted")
    arrays = {name: getattr(task, name) for name in names}
    return WORKER.call({**arrays, "models": str(task.models or "")}, limit_s=LIMIT_S)


def inputs(log_price: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the network sees of each cell (times, series, channels), and the unit of its steps.

    The unit is the root mean square step of the last ``SCALE_CELLS``; a row at t uses nothing after t.
    """
    level, step = carry_forward(log_price), steps(log_price)
    sums = np.cumsum(step**2, axis=0)
    before = np.concatenate([np.zeros((SCALE_CELLS, sums.shape[1])), sums])[: len(sums)]
    count = np.minimum(np.arange(1, len(sums) + 1), SCALE_CELLS)[:, None]
    unit = np.maximum(np.sqrt((sums - before).clip(0) / count), MIN_SCALE)
    seen = features(log_price, groups, since=len(log_price))  # none of windows
    ages = [np.log1p(seen[name]) for name in ("since_step", "since_review", "gap")]
    market = group_mean(np.where(np.isfinite(level), step, np.nan), groups)
    changes = [seen[name] / unit for name in ("change_1", "change_8", "change_26")]
    cube = np.stack(
        [step / unit, market / unit, *changes, *ages, seen["rises"] - seen["falls"], np.log(unit)], axis=-1
    )
    return np.clip(np.nan_to_num(cube), -10, 10).astype(np.float32), unit


def windows(cube: np.ndarray, rows: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Return (n, WINDOW, channels): cells up to each row; zeros before the first."""
    padded = np.concatenate([np.zeros((WINDOW - 1, *cube.shape[1:]), cube.dtype), cube])
    return padded[rows[:, None] + np.arange(WINDOW), series[:, None]]


def fit_predict(
    log_price: np.ndarray, groups: np.ndarray, origins: np.ndarray, horizon: int, seed: int,
    models: str = "", fitted: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return the log changes (origins, series, steps); runs in the worker, and loads TensorFlow there.

    ``models`` and ``fitted`` as in ``Task``: a network kept there is trained on, or where ``fitted`` used as it is.
    """
    import keras
    from scipy.interpolate import interp1d

    one_thread()
    rng, horizon = np.random.default_rng(int(seed)), int(horizon)
    ahead = np.array([h for h in AHEAD if h < horizon] + [horizon])
    cube, unit = inputs(log_price, groups)
    out, file = np.zeros((len(origins), log_price.shape[1], horizon)), Path(str(models)) / "lstm.keras"
    known_fit = bool(str(models)) and file.exists()
    if fitted and not known_fit:
        return out
    if fitted:
        model, answer = _kept(str(file), file.stat().st_mtime_ns)
    else:
        keras.backend.clear_session()
        keras.utils.set_random_seed(int(seed))
        model = network(cube.shape[2], len(ahead), keras=keras)
        if known_fit:
            model.set_weights(keras.models.load_model(file, compile=False).get_weights())
        answer = graph(model)
    trained = known_fit
    for part in walk(origins, refit_every=max(int(np.ptp(origins)) // REFITS, 13)):
        if not fitted:
            epochs = LATER_EPOCHS if trained else FIRST_EPOCHS
            trained |= fit(
                model, (cube, unit, log_price), at=int(part[0]), ahead=ahead, epochs=epochs, rng=rng
            )
        if not trained:
            continue
        rows, series = (a.ravel() for a in np.meshgrid(part, np.arange(len(groups)), indexing="ij"))
        pieces = [slice(i, i + 16 * BATCH) for i in range(0, len(rows), 16 * BATCH)]
        median = np.concatenate([answer(windows(cube, rows[p], series[p]))[:, :, 1] for p in pieces])
        at = median.reshape(len(part), len(groups), -1) * unit[part][..., None]
        between = interp1d([0, *ahead], np.insert(at, 0, 0.0, axis=2))
        out[np.isin(origins, part)] = between(np.arange(1, horizon + 1))
    if str(models) and trained and not fitted:
        model.save(file)
    return out


def graph(model: Any) -> Any:
    """Return ``model`` as a graph of TensorFlow's, which answers without Keras' overhead."""
    import tensorflow as tf

    spec = [tf.TensorSpec(model.input_shape, tf.float32)]
    return tf.function(lambda x: model(x, training=False), input_signature=spec)


@cache
def _kept(file: str, _: int) -> Any:
    import keras

    model = keras.models.load_model(file, compile=False)
    return model, graph(model)


def one_thread() -> None:
    """Make TensorFlow repeat itself to the last bit: deterministic operations, one thread."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    if not tf.config.threading.get_intra_op_parallelism_threads():  # cannot be set once it has run
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def network(channels: int, n_ahead: int, *, keras: Any) -> Any:
    """Return the network, (n, WINDOW, channels) to (n, n_ahead, LEVELS), saying "unchanged" at first."""
    import tensorflow as tf

    layers, levels = keras.layers, tf.constant(LEVELS)

    def pinball(truth, said):
        error = tf.where(tf.math.is_finite(truth), truth, 0.0)[..., None] - said
        loss = tf.maximum(levels * error, (levels - 1) * error)
        return tf.reduce_mean(loss, axis=-1) * tf.cast(tf.math.is_finite(truth), tf.float32)

    model = keras.Sequential([
        layers.Input((WINDOW, channels)),
        layers.LSTM(UNITS),
        layers.Dense(n_ahead * len(LEVELS), kernel_initializer="zeros"),
        layers.Reshape((n_ahead, len(LEVELS))),
    ])  # fmt: skip
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
    cut = at - max(int(TAIL_SHARE * at), 1)
    rows = np.arange(1, at)
    change = np.full((len(rows), log_price.shape[1], len(ahead)), np.nan, np.float32)
    for k, h in enumerate(ahead):
        on = rows[known(rows, int(h), at=at)]
        change[: len(on), :, k] = (log_price[on + h] - log_price[on]) / unit[on]
        between = (rows <= cut) & ~known(rows, int(h), at=cut)
        change[between, :, k] = np.nan
    x, y = [], []
    for mine, most in ((rows <= cut, MAX_ROWS), (rows > cut, MAX_ROWS // 8)):
        take = np.argwhere(np.isfinite(change).any(axis=2) & mine[:, None])
        take = take[rng.permutation(len(take))[:most]]
        x.append(windows(cube, rows[take[:, 0]], take[:, 1]))
        y.append(np.clip(change[take[:, 0], take[:, 1]], -50, 50))
    if len(y[0]) < MIN_ROWS or not len(y[1]):
        return False
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    checked = {"validation_data": (x[1], y[1]), "callbacks": [stop]}
    model.fit(x[0], y[0], epochs=epochs, batch_size=BATCH, verbose=0, **checked)
    return True
