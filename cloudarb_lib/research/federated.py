"""One network trained where the prices are: each provider on its own, weights averaged.

Federated averaging (FedAvg): in each round every shard trains the shared network on its own series
from where it stands, and the weights are averaged by the number of series. Beside it the same
network trained on all series pooled, with as many passes.

References
----------
McMahan, Moore, Ramage, Hampson and Agueera y Arcas, Communication-efficient learning of deep
networks from decentralized data, AISTATS 2017.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cloudarb_lib.forecast.fitting import every_step, learned_steps
from cloudarb_lib.forecast.members import lstm
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.forecast.worker import WORKER

LIMIT_S = 300.0


class Trained(NamedTuple):
    """Medians of a network trained in one way, and what training took.

    Attributes
    ----------
    medians : (origins, series, steps), log changes.
    cpu_s : CPU seconds.
    """

    medians: np.ndarray
    cpu_s: float


def pooled_and_federated(
    task: Task, shard_of: np.ndarray, *, rounds: int, epochs: int
) -> dict[str, Trained]:
    """Return the forecasts of the network trained pooled and federated.

    Both learn once, from what was known at the first origin.

    Parameters
    ----------
    task : Task
        Its origins are forecast from.
    shard_of : (series,)
        The shard, such as a provider, that holds each series.
    rounds, epochs : int
        Of averaging, and passes of each shard in a round; pooled training makes rounds times
        epochs passes.

    Raises
    ------
    WorkerError
        Where the process of TensorFlow fails.
    """
    asked = replace(task, about=None)
    words = (asked, shard_of, rounds, epochs)
    return {
        name: WORKER.call(function, *words, limit_s=LIMIT_S)
        for name, function in (("pooled", pooled), ("federated", federated))
    }


def pooled(task: Task, shard_of: np.ndarray, rounds: int, epochs: int) -> Trained:
    """Train on all series at once; ``shard_of`` makes no difference."""
    learner = _Learner(task, np.zeros_like(np.unique(shard_of, return_inverse=True)[1]))
    return learner.trained(rounds=1, epochs=rounds * epochs)


def federated(task: Task, shard_of: np.ndarray, rounds: int, epochs: int) -> Trained:
    """Train shard by shard, and average."""
    learner = _Learner(task, np.unique(shard_of, return_inverse=True)[1])
    return learner.trained(rounds=rounds, epochs=epochs)


def errors(trained: dict[str, Trained], task: Task) -> dict[str, float]:
    """Return the mean absolute error of each way over that of the last value, over all steps."""
    truth = task.truth()
    bar = np.nanmean(np.abs(truth))
    return {
        name: float(np.nanmean(np.abs(each.medians - truth)) / bar)
        for name, each in trained.items()
    }


class _Learner:
    """The network, and the shards that it learns from."""

    def __init__(self, task: Task, shard: np.ndarray) -> None:
        import keras

        keras.backend.clear_session()
        keras.utils.set_random_seed(task.seed)
        self.task = task
        self.shard = shard
        self.ahead = learned_steps(lstm.LEARNED_AHEAD, task.horizon)
        self.inputs = lstm.inputs_by_group(task.log_price, task.groups)
        self.model: Any = lstm.network(lstm.N_CHANNELS, len(self.ahead))

    def trained(self, *, rounds: int, epochs: int) -> Trained:
        """Train, and forecast from every origin."""
        began = time.process_time()
        rng = np.random.default_rng(self.task.seed)
        for _ in range(rounds):
            self.model.set_weights(self._round(epochs, rng))
        cpu_s = time.process_time() - began
        return Trained(self._forecast(), cpu_s)

    def _round(self, epochs: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Return the weights after a round, averaged over shards by their numbers of series."""
        shared = self.model.get_weights()
        found = []
        sizes = []
        for shard in np.unique(self.shard):
            mine = np.flatnonzero(self.shard == shard)
            self.model.set_weights(shared)
            for state in self.model.optimizer.variables:  # a client brings no memory of another
                if "learning_rate" not in state.path:
                    state.assign(np.zeros(state.shape))
            if self._learn_from(mine, epochs, rng):
                found.append(self.model.get_weights())
                sizes.append(len(mine))
        return averaged(found, sizes) if found else shared

    def _learn_from(self, mine: np.ndarray, epochs: int, rng: np.random.Generator) -> bool:
        seen = lstm.Inputs(self.inputs.cube[:, mine], self.inputs.unit[:, mine])
        return lstm.train(
            self.model,
            seen,
            self.task.log_price[:, mine],
            at=int(self.task.origins[0]),
            ahead=self.ahead,
            epochs=epochs,
            rng=rng,
        )

    def _forecast(self) -> np.ndarray:
        origins = self.task.origins
        n_series = len(self.task.groups)
        rows = np.repeat(origins, n_series)
        series = np.tile(np.arange(n_series), len(origins))
        values = self.model.predict(lstm.windows(self.inputs.cube, rows, series), verbose=0)
        values = values.reshape(len(origins), n_series, -1) * self.inputs.unit[origins][..., None]
        return every_step(values, self.ahead)


def averaged(weights: list[list[np.ndarray]], sizes: list[int]) -> list[np.ndarray]:
    """Return the mean of networks' weights, layer by layer, each counted by its size.

    Parameters
    ----------
    weights : list of list of ndarray
        Of each network, its layers.
    sizes : list of int
        How much each network counts.
    """
    share = np.array(sizes) / np.sum(sizes)
    return [
        np.tensordot(share, np.stack(layer), axes=1).astype(layer[0].dtype)
        for layer in zip(*weights, strict=True)
    ]
