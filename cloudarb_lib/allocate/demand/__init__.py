"""What has to run: the demand file, from which docs/demand.md is written."""

from cloudarb_lib.allocate.demand.facts import (
    Commitment,
    DemandScenario,
    Placement,
    Price,
    Quota,
    RoundTrip,
    Scope,
    Team,
)
from cloudarb_lib.allocate.demand.file import Demand, DemandError, load_demand, with_lines_of
from cloudarb_lib.allocate.demand.users import Users
from cloudarb_lib.allocate.demand.words import demand_table
from cloudarb_lib.allocate.demand.workload import Workload

__all__ = [
    "Commitment",
    "Demand",
    "DemandError",
    "DemandScenario",
    "Placement",
    "Price",
    "Quota",
    "RoundTrip",
    "Scope",
    "Team",
    "Users",
    "Workload",
    "demand_table",
    "load_demand",
    "with_lines_of",
]
