"""Worked examples of a demand file, planned on a small market of made-up prices."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cloudarb_lib.market.places import with_places

WEEKS = 4
"""Of the examples' plans."""
_H100 = "H100"
_A100 = "A100-80GB"
_ROWS = (
    ("gcp", "us-central1", "a3-highgpu-8g", "spot", _H100, 18.0),
    ("gcp", "us-central1", "a3-highgpu-8g", "on_demand", _H100, 88.0),
    ("gcp", "us-central1", "a3-highgpu-8g", "reserved", _H100, 45.0),
    ("gcp", "us-east4", "a3-highgpu-8g", "spot", _H100, 20.0),
    ("aws", "us-east-1", "p5.48xlarge", "spot", _H100, 24.0),
    ("aws", "us-east-1", "p5.48xlarge", "on_demand", _H100, 55.0),
    ("gcp", "europe-west4", "a2-ultragpu-8g", "spot", _A100, 13.0),
    ("gcp", "europe-west4", "a2-ultragpu-8g", "on_demand", _A100, 41.0),
    ("gcp", "europe-west3", "a2-ultragpu-8g", "on_demand", _A100, 44.0),
)
"""Provider, region, machine of 8 GPUs, purchase option, GPU model and USD per instance-hour."""
_GRID = {"us-central1": 400.0, "us-east4": 320.0, "us-east-1": 340.0, "europe-west4": 270.0}
"""gCO2e per kWh of some regions, made up as the prices."""


@dataclass(frozen=True)
class Example:
    """A demand file, and what it is an example of."""

    title: str
    text: str


def example_offers() -> pd.DataFrame:
    """Return table ``offers`` of the small market, with its places."""
    columns = ["provider", "region", "instance_type", "purchase_option", "gpu_model"]
    columns.append("price_usd_per_hour")
    offers = pd.DataFrame(_ROWS, columns=columns)
    offers["term"] = offers["purchase_option"].map({"reserved": "1y"}).fillna("")
    site = offers["provider"] + "/" + offers["region"]
    machine = offers["instance_type"] + "/" + offers["purchase_option"] + "/" + offers["term"]
    offers["offer_id"] = site + "//" + machine
    offers = offers.assign(
        zone="",
        price_kind="administered",
        gpu_count=8.0,
        gpu_memory_gib=80.0,
        memory_gib=1800.0,
        vcpus=192.0,
        offer_count=float("nan"),
        observed_at=pd.Timestamp("2026-04-29", tz="UTC"),
    )
    grid = offers[["provider", "region"]].drop_duplicates()
    return with_places(offers, grid.assign(grid_gco2e_per_kwh=grid["region"].map(_GRID)))


EXAMPLES = (
    Example(
        "One job in one place",
        """demand:
  - workload: train-llm
    needs: 64 H100
    interruptible: yes
    together: region
    checkpoint_minutes: 6
    restart_minutes: 10
""",
    ),
    Example(
        "One job with one provider",
        """demand:
  - workload: train-llm
    needs: 48 H100
    interruptible: yes
    options: [spot]
    together: provider
""",
    ),
    Example(
        "Where it runs now, and what moving costs",
        """demand:
  - workload: train-llm
    needs: 16 H100
    interruptible: yes
    restart_minutes: 10
    state_gb: 2000
current:
  - workload: train-llm
    offer: gcp/us-east4//a3-highgpu-8g/spot/
    instances: 2
""",
    ),
    Example(
        "What is held already, without a price on offer",
        """demand:
  - workload: train-llm
    needs: 48 H100
commitments:
  - machine: azure/eastus/Standard_ND96isr_H100_v5
    instances: 2
    usd_per_hour: 50
    gpus_each: 8 H100
  - machine: aws/us-east-1/p5.48xlarge
    instances: 3
    usd_per_hour: 0        # prepaid
""",
    ),
    Example(
        "More held than is needed",
        """demand:
  - workload: train-llm
    needs: 16 H100
commitments:
  - machine: aws/us-east-1/p5.48xlarge
    instances: 3
    usd_per_hour: 40
""",
    ),
    Example(
        "My quotas, in place of assumed capacity",
        """demand:
  - workload: train-llm
    needs: 64 H100
    interruptible: yes
quotas:
  - {provider: gcp, option: spot, gpu: H100, gpus: 48}
  - {region: gcp/us-central1, gpu: H100, gpus: 40}
""",
    ),
    Example(
        "A price cap",
        """demand:
  - workload: sweep
    needs: 48 H100
    interruptible: yes
    max_usd_per_gpu_hour: 2.60
""",
    ),
    Example(
        "Discounts and prices agreed with providers",
        """demand:
  - workload: sweep
    needs: 32 H100
prices:
  - {provider: gcp, option: on_demand, discount: 0.30}
  - {provider: aws, machine: p5.48xlarge, option: on_demand, usd_per_gpu_hour: 6.00}
""",
    ),
    Example(
        "Teams with budgets and priorities",
        """demand:
  - workload: chat
    needs: 24 H100
    interruptible: yes
    in: [us-central1]
    options: [spot]
    team: product
  - workload: papers
    needs: 24 H100
    interruptible: yes
    in: [us-central1]
    options: [spot]
    team: research
teams:
  - {team: product, priority: 1}
  - {team: research, priority: 2, budget: 5000 USD a week}
""",
    ),
    Example(
        "A share of on-demand machines",
        """demand:
  - workload: serve
    needs: 32 H100
    interruptible: yes
    min_on_demand_share: 0.5
""",
    ),
    Example(
        "Inference that survives the loss of a region, near its users",
        """demand:
  - workload: chat-eu
    needs: 16 A100-80GB
    latency: 20 ms to gcp/europe-west3
    survives_loss_of: region
""",
    ),
    Example(
        "Round trips that were measured",
        """demand:
  - workload: chat-eu
    needs: 8 A100-80GB
    latency: 20 ms to gcp/europe-west3
round_trips:
  - {between: [gcp/europe-west3, gcp/europe-west4], ms: 24}
  - {between: [gcp/europe-west3, gcp/europe-west3], ms: 1}
""",
    ),
    Example(
        "Users in several places",
        """demand:
  - workload: chat
    needs: 32 A100-80GB
    accepts: [A100-80GB, H100]
    latency:
      - 30 ms to gcp/europe-west3 for 60 %
      - 30 ms to aws/us-east-1 for 40 %
""",
    ),
    Example(
        "A deadline, and what being early is worth",
        """demand:
  - workload: evals
    needs: 8000 GPU-hours in 3 weeks
    accepts: [H100]
    interruptible: yes
    early: 0.10 USD per GPU-hour and week
""",
    ),
    Example(
        "A cap on carbon",
        """demand:
  - workload: train
    needs: 16 H100
    interruptible: yes
limits:
  carbon_kg: 2600
""",
    ),
    Example(
        "Data that must not leave a country",
        """demand:
  - workload: claims
    needs: 8 A100-80GB
    residency: [DE]
""",
    ),
    Example(
        "A provider excluded",
        """demand:
  - workload: train
    needs: 16 H100
    not_in: [gcp/*]
""",
    ),
    Example(
        "Commitments that are used",
        """demand:
  - workload: serve
    needs: [32 H100, 16 H100]
limits:
  terms: [1y]
  min_commitment_use: 0.95
""",
    ),
    Example(
        "A need that may turn out otherwise",
        """demand:
  - workload: serve
    needs: 16 H100
limits:
  terms: [1y]
scenarios:
  - {scenario: base, probability: 0.7}
  - {scenario: surge, probability: 0.3, times: {serve: 2}}
""",
    ),
    Example(
        "Few interruptions",
        """demand:
  - workload: train
    needs: 32 H100
    interruptible: yes
    restart_minutes: 30
    max_interruptions_a_week: 1
""",
    ),
)
