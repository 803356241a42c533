"""Demands of a stated size, drawn once and for all, to be placed on the offers of a real market."""

from __future__ import annotations

import numpy as np

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError

_MODELS = ("H100", "A100-80GB", "A100-40GB", "L4", "V100", "T4")
GPUS_A_MACHINE = 8


def many_workloads(n: int, *, seed: int) -> list[allocate.Workload]:
    """Return ``n`` workloads of 1 to 64 GPUs, two of three interruptible, each taking two models.

    Raises
    ------
    ParameterError
        Where ``n`` is not positive.
    """
    _check(n)
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        first, second = rng.permutation(len(_MODELS))[:2]
        takes = {_MODELS[first]: 1.0, _MODELS[second]: float(rng.uniform(0.4, 1.2))}
        gpus = float(2 ** rng.integers(0, 7))
        interruptible = bool(rng.random() < 2 / 3)
        found.append(allocate.Workload(f"w{k}", gpus, takes, interruptible=interruptible))
    return found


def single_machines(n: int, *, seed: int) -> list[allocate.Workload]:
    """Return ``n`` workloads that each fill a machine of ``GPUS_A_MACHINE`` GPUs, H100 or A100.

    Raises
    ------
    ParameterError
        Where ``n`` is not positive.
    """
    _check(n)
    rng = np.random.default_rng(seed)
    return [
        allocate.Workload(
            f"w{k}",
            float(GPUS_A_MACHINE),
            {"H100": 1.0, "A100-80GB": 1.0},
            interruptible=bool(rng.random() < 0.5),
        )
        for k in range(n)
    ]


def _check(n: int) -> None:
    if n < 1:
        raise ParameterError(f"{n} workloads are asked for.", "Ask for 1 or more.")
