"""Instances of allocation drawn by a seed, as large as those bundled and in their format.

What is chosen by the bundled instances can be measured on these, on which nothing was chosen.
"""

from __future__ import annotations

import numpy as np

SITES_OF_PROVIDERS = (3, 3, 3, 3, 3, 2)
GPU_USD = np.array([5.0, 9.0, 15.0, 24.0, 60.0, 42.0])
"""Per instance-hour, of six machines."""
GPU_SPEED = np.array([1.0, 1.6, 2.4, 3.6, 7.0, 5.5])
N_WORKLOADS = 120
N_PATHS = 500
_GPUS_AT_A_SITE = 2


def draw(seed: int) -> dict[str, np.ndarray]:
    """Return the arrays of an instance without its limits, as benchmarks/instances has them.

    At each site two machines can be rented, each on demand and on spot; spot is cheaper at list
    prices, dearer in bad weeks, and its hours hold work that is done again.
    """
    rng = np.random.default_rng([18, seed])
    provider_of_site = np.repeat(np.arange(len(SITES_OF_PROVIDERS)), SITES_OF_PROVIDERS)
    n_sites = len(provider_of_site)
    gpus = [rng.choice(len(GPU_USD), _GPUS_AT_A_SITE, replace=False) for _ in range(n_sites)]
    site = np.repeat(np.arange(n_sites), 2 * _GPUS_AT_A_SITE)
    gpu = np.repeat(np.concatenate(gpus), 2)
    is_spot = np.arange(len(site)) % 2 == 1
    dearness = rng.uniform(0.85, 1.2, n_sites)[site] * rng.uniform(0.95, 1.05, len(site))
    discount = np.where(is_spot, rng.uniform(0.6, 0.85, len(site)), 1.0)
    list_price = GPU_USD[gpu] * dearness * discount
    prices = _prices(rng, list_price, provider_of_site[site], is_spot)
    offers = {
        "offer_provider": provider_of_site[site],
        "offer_site": site,
        "offer_gpu": gpu,
        "offer_is_spot": is_spot,
        "offer_list_price": list_price,
        "offer_capacity": rng.integers(3, 20, len(site)),
        "scenario_price": prices,
        "site_fee": rng.uniform(1000.0, 4700.0, n_sites),
    }
    return offers | _pairs(rng, gpu, prices.mean(axis=0))


def _prices(
    rng: np.random.Generator, list_price: np.ndarray, provider: np.ndarray, is_spot: np.ndarray
) -> np.ndarray:
    """Draw the price of each offer in each sample path: common, provider's and own moves."""
    common = rng.normal(size=(N_PATHS, 1))
    of_provider = rng.normal(size=(N_PATHS, len(SITES_OF_PROVIDERS)))[:, provider]
    own = rng.normal(size=(N_PATHS, len(list_price)))
    moves = np.sqrt(0.35) * common + np.sqrt(0.2) * of_provider + np.sqrt(0.45) * own
    spread = np.where(is_spot, 0.42, 0.05)
    rework = np.where(is_spot, rng.uniform(1.08, 1.2, len(list_price)), 1.0)
    prices: np.ndarray = list_price * rework * np.exp(spread * moves - spread**2 / 2)
    return prices


def _pairs(rng: np.random.Generator, gpu: np.ndarray, mean_price: np.ndarray) -> dict:
    """Draw the workloads, and on which offers each may run: by machine, a share of the offers."""
    parts = []
    for workload in range(N_WORKLOADS):
        machines = rng.choice([1, 2, 4, 8], p=[0.35, 0.35, 0.2, 0.1])
        work_hours = rng.uniform(60.0, 400.0)
        accepted = rng.choice(len(GPU_USD), rng.integers(1, 4), replace=False)
        may_run = np.flatnonzero(np.isin(gpu, accepted) & (rng.random(len(gpu)) < 0.45))
        if len(may_run) < 5:
            may_run = rng.choice(len(gpu), 5, replace=False)
        hours = machines * work_hours / GPU_SPEED[gpu[may_run]]
        parts.append((np.full(len(may_run), workload), may_run, hours, machines))
    offer = np.concatenate([may_run for _, may_run, _, _ in parts])
    hours = np.concatenate([each for _, _, each, _ in parts])
    sure_usd = np.repeat(rng.uniform(5.0, 40.0, N_WORKLOADS), [len(part[1]) for part in parts])
    return {
        "pair_workload": np.concatenate([workload for workload, _, _, _ in parts]),
        "pair_offer": offer,
        "pair_instance_hours": hours,
        "pair_instances": np.concatenate([np.full(len(o), n) for _, o, _, n in parts]),
        "pair_expected_cost": mean_price[offer] * hours + sure_usd,
    }
