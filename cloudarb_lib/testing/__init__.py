"""Builders with good defaults, and checks, for tests: what is valid is to be changed in one place.

Tests import builders from here, never from one another. What a single test file needs stays there.
"""

from cloudarb_lib.testing.demand import GOOD, WATTS, load, plan_for, random_allocation, work
from cloudarb_lib.testing.figures import FIGURES, figures, some_weights
from cloudarb_lib.testing.forecasts import (
    SPIKING_HOURS,
    SPIKING_SERIES,
    a_panel,
    a_task,
    coming_back,
    damaged,
    forecast_of,
    going_on,
    panel_of_regions,
    spiking,
    stepping,
    trending,
)
from cloudarb_lib.testing.members import (
    GRIDS,
    STILL_LOG,
    answer_of,
    check_member,
    check_member_ignores_future,
    check_member_keeps_constant_prices,
    check_member_takes_missing_prices,
    check_member_takes_one_series,
    tasks_by_grid,
)
from cloudarb_lib.testing.plans import (
    AWS_ON_DEMAND,
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    ODD_SPOT,
    RECORD_TIMES,
    RISK_OFFERS,
    RISK_TIMES,
    cost_of,
    planned,
    price_record,
    risk_inputs,
    risk_offer,
    risk_paths,
    shuffled,
    stressed,
)
from cloudarb_lib.testing.prices import (
    DAY,
    OFFERS,
    T0,
    Record,
    all_sold,
    daily_events,
    daily_looks,
    minute,
    offers,
    timed_events,
    timed_looks,
)
from cloudarb_lib.testing.quotes import found_wrong, quotes
from cloudarb_lib.testing.returns import (
    JOINT_CORRELATION,
    JOINT_SPREAD,
    joint_returns,
    normal_changes,
    panel_of_returns,
    repricing_returns,
)
from cloudarb_lib.testing.sources import (
    EC2_ENTRY,
    INGESTED_AT,
    PRICE_HEADER,
    PRICE_ROW,
    check_outcome,
    check_pieces,
    check_source,
    claims_of,
    ingest,
    quarantine,
    refusal_of,
    write_text,
)
