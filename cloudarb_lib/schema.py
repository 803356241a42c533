"""Every table: column, type, unit, meaning. Stored tables first, then those stages hand over.

The data dictionary in data/README.md is generated from here (``python -m cloudarb_lib.schema``).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError
from cloudarb_lib.types import OFFER_PARTS

PURCHASE_OPTIONS = ("on_demand", "spot", "reserved")
TERMS = ("", "1y", "3y")
PRICE_KINDS = ("administered", "market")
QUALITIES = ("ok", "glitch_reverted", "glitch_low_for_gpu")


@dataclass(frozen=True)
class Column:
    """One column: DuckDB type, unit ('' where none applies), meaning, and whether null is legal."""

    name: str
    dtype: str
    unit: str
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One table: its meaning, the columns that identify a row, and all columns in order."""

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def ddl(self) -> str:
        """Return the CREATE TABLE statement of the stored table."""
        body = ", ".join(f"{c.name} {c.dtype}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({body})"


_OFFER = """
    provider | VARCHAR | | who rents it out, lower case
    region | VARCHAR | | the provider's region; 'unstated' where the source names none
    zone | VARCHAR | | availability zone, empty where the price is regional
    instance_type | VARCHAR | | the provider's machine name
    purchase_option | VARCHAR | | on_demand, spot or reserved
    term | VARCHAR | | commitment, 1y or 3y; empty unless reserved
"""


def _tables(text: str) -> dict[str, Table]:
    """Read tables from lines ``name | key | meaning``, each followed by its indented columns
    ``name ... | type (? where null is legal) | unit | meaning``; OFFER stands for the offer's parts."""
    tables: dict[str, Table] = {}
    last = ""
    for line in text.strip().replace("    OFFER", _OFFER.strip("\n")).splitlines():
        parts = [part.strip() for part in line.split("|")]
        if line.startswith(" "):
            names, dtype, unit, meaning = parts
            alike = (dtype.rstrip("?"), unit, meaning, dtype.endswith("?"))
            more = tuple(Column(name, *alike) for name in names.split())
            tables[last] = replace(tables[last], columns=tables[last].columns + more)
        else:
            last, keys, meaning = parts
            key = tuple(keys.replace("OFFER", " ".join(OFFER_PARTS)).split())
            tables[last] = Table(last, meaning, key, ())
    return tables


STORED = _tables("""
price_events | OFFER effective_at observed_at | Prices as they were published: one row where a price begins. It holds until the next row of the same offer; a null price withdraws the offer.
    OFFER
    currency | VARCHAR | | ISO 4217; only USD is accepted
    price_usd_per_hour | DOUBLE? | USD/h | whole instance; null: withdrawn
    effective_at | TIMESTAMPTZ | UTC | when the price took effect
    observed_at | TIMESTAMPTZ | UTC | when it was first seen; as_of reads use it
    source | VARCHAR | | the record it came from
    price_kind | VARCHAR | | administered (a price list) or market (moves freely)
    offer_count | INTEGER? | offers | how many were on sale, where told
    quality | VARCHAR | | ok, glitch_reverted or glitch_low_for_gpu
    flagged_at | TIMESTAMPTZ? | UTC | when the flag could first be known
looks | provider source looked_at | When a source was looked at. Between two looks without an event nothing changed; without a look nothing is known.
    provider | VARCHAR | | whose offers the look covers
    source | VARCHAR | | the record, as in price_events
    looked_at | TIMESTAMPTZ | UTC | time of the look
    covers_from | TIMESTAMPTZ | UTC | start of what the look vouches for: looked_at for a price list, earlier for a log of every change
instances | provider instance_type | Machine specifications.
    provider | VARCHAR | | as in price_events
    instance_type | VARCHAR | | as in price_events
    vcpus | DOUBLE? | vCPU | virtual processors
    memory_gib | DOUBLE? | GiB | main memory
    gpu_model | VARCHAR? | | name as in cloudarb_lib.gpus; null: no GPU
    gpu_count | DOUBLE? | GPU | may be a fraction: a share of one GPU
    gpu_memory_gib | DOUBLE? | GiB | memory of one GPU
interruption_bands | provider region instance_type as_of | Share of spot instances reclaimed in the trailing month, as published in bands.
    provider | VARCHAR | | as in price_events
    region | VARCHAR | | as in price_events
    instance_type | VARCHAR | | as in price_events
    interruption_band_monthly | VARCHAR | | <5%, 5-10%, 10-15%, 15-20% or >20%
    spot_savings_pct | DOUBLE | % | spot price below on-demand
    as_of | TIMESTAMPTZ | UTC | date of the record
grid_carbon | provider region | Carbon intensity of the electricity of a region.
    provider | VARCHAR | | as in price_events
    region | VARCHAR | | as in price_events
    location | VARCHAR? | | place, for people
    grid_gco2e_per_kwh | DOUBLE | gCO2e/kWh | yearly average intensity
    carbon_free_energy_share | DOUBLE? | 0 to 1 | carbon-free share
    year | INTEGER? | year | of the figures; null: not stated by the record
ingest_log | file_sha256 ingested_at | One row per file taken in.
    file | VARCHAR | | file name, without its folder
    file_sha256 | VARCHAR | | digest of its bytes
    target | VARCHAR | | table the rows went to
    ingested_at | TIMESTAMPTZ | UTC | when
    rows_read | BIGINT | rows | rows in the file
    rows_new | BIGINT | rows | not known before
    rows_unchanged | BIGINT | rows | already stored, alike
    rows_superseded | BIGINT | rows | a later look corrects a stored row
    rows_quarantined | BIGINT | rows | refused, see quarantine
quarantine | file_sha256 line reason | Rows refused, with the reason; nothing reads them but people.
    file | VARCHAR | | file name, without its folder
    file_sha256 | VARCHAR | | digest of its bytes
    line | BIGINT | | line of a text file (first is 1), else row (first is 1)
    reason | VARCHAR | | a code such as price_negative
    detail | VARCHAR | | the sentence: what, where, the way out
    row_text | VARCHAR | | the row as read
    ingested_at | TIMESTAMPTZ | UTC | when
""")

HANDED_OVER = _tables("""
offers | offer_id | What can be rented at as_of, from sources that are fresh; one row per offer.
    offer_id | VARCHAR | | provider/region/zone/instance_type/purchase_option/term
    OFFER
    price_kind | VARCHAR | | administered or market
    gpu_model | VARCHAR? | | name as in cloudarb_lib.gpus; null: no GPU
    gpu_count | DOUBLE? | GPU | GPUs of the instance
    gpu_memory_gib | DOUBLE? | GiB | memory of one GPU
    vcpus | DOUBLE? | vCPU | virtual processors
    memory_gib | DOUBLE? | GiB | main memory
    price_usd_per_hour | DOUBLE | USD/h | whole instance
    price_usd_per_gpu_hour | DOUBLE? | USD/GPU-h | null: no GPU
    offer_count | DOUBLE? | offers | on sale, where told
    changed_at | TIMESTAMPTZ | UTC | when the price last changed
    looked_at | TIMESTAMPTZ | UTC | last look at its source
sources | provider source | How fresh each source is at as_of, and whether the run used it.
    provider | VARCHAR | | as in price_events
    source | VARCHAR | | as in price_events
    looked_at | TIMESTAMPTZ | UTC | last look
    age_days | DOUBLE | days | from the last look to as_of
    offers | BIGINT | offers | with a price in force
    stale | BOOLEAN | | older than the run allows, or a record for models only: left out
forecast | offer_id origin_utc target_utc quantile | Predicted price distribution.
    offer_id | VARCHAR | | provider/region/zone/instance_type/purchase_option/term
    origin_utc | TIMESTAMPTZ | UTC | what was known when it was made
    target_utc | TIMESTAMPTZ | UTC | time forecast
    quantile | DOUBLE | 0 to 1 | probability of a price at or below
    price_usd_per_hour | DOUBLE | USD/h | whole instance
paths | offer_id path target_utc | Joint sample paths: the same path number is the same world across offers.
    offer_id | VARCHAR | | provider/region/zone/instance_type/purchase_option/term
    path | INTEGER | | number of the world, from 0
    target_utc | TIMESTAMPTZ | UTC | time
    price_usd_per_hour | DOUBLE | USD/h | whole instance
scores | series_id model horizon | Walk-forward scores of each model; of intervals and moves for the ensemble alone.
    series_id | VARCHAR | | offer_id
    model | VARCHAR | | member, ensemble or peer
    horizon | INTEGER | steps | steps ahead
    n | BIGINT | forecasts | number scored
    scale | DOUBLE? | USD/h | mean price before the first origin
    mae | DOUBLE? | USD/h | mean absolute error
    rmse | DOUBLE? | USD/h | root mean square error
    mase | DOUBLE? | | mae over that of the last value, one step ahead before the origins
    rmsse | DOUBLE? | | the same of squares, rooted
    crps | DOUBLE? | USD/h | continuous ranked probability score; of a point, mae
    cov80 cov95 | DOUBLE? | 0 to 1 | share inside the 80 and 95 % interval
    width80 width95 | DOUBLE? | USD/h | mean width of the interval
    winkler80 winkler95 | DOUBLE? | USD/h | interval score
    direction | DOUBLE? | 0 to 1 | share of right signs where the price moved 0.5 % or more
    dm_p | DOUBLE? | 0 to 1 | Diebold-Mariano: probability of such a gap to the last value by chance
    pit80 pit95 | DOUBLE? | 0 to 1 | coverage by randomised PIT
    p_change changed brier | DOUBLE? | 0 to 1 | forecast and observed share of moves, Brier score of it
    mape | DOUBLE? | | mean absolute error over the price
    series_group | VARCHAR | | in which it is forecast: GPU model or provider
weights | series_group horizon model | Weight of each ensemble member.
    series_group | VARCHAR | | as in scores, or all
    horizon | INTEGER | steps | steps ahead
    model | VARCHAR | | member
    weight | DOUBLE | 0 to 1 | weights of a group and horizon sum to 1
gates | series_group horizon model | Members left out, and why.
    model | VARCHAR | | member
    series_group | VARCHAR | | as in scores
    horizon | INTEGER | steps | steps ahead
    reason | VARCHAR | | not better than last value, no outcomes to judge it by, or how it failed
alarms | time_utc series_group detector | Drift of prices or of losses.
    time_utc | TIMESTAMPTZ | UTC | look at which it was raised
    series_group | VARCHAR | | provider/purchase option/GPU model
    detector | VARCHAR | | ks (moves unlike those of the reference), page_hinkley (losses above usual), adwin (losses at a new mean)
    statistic | DOUBLE | see detector | ks: distance, 0 to 1; else the loss of the look, mean absolute log change
    threshold | DOUBLE | see detector | ks: distance; page_hinkley: usual losses, summed up; adwin: probability
    action | VARCHAR | | what it calls for: look, re-weight or refit
plan | offer_id workload period | What to rent for whom.
    offer_id | VARCHAR | | provider/region/zone/instance_type/purchase_option/term
    workload | VARCHAR | | name in the demand file
    period | INTEGER | | number of the period, from 0
    instances | DOUBLE | instances | held in the period
    hours | DOUBLE | h | hours each instance is paid for in the period
    expected_cost_usd | DOUBLE | USD | expected cost in the period, rework included
risk | measure level horizon_h scope | Risk of the plan. Cost and loss are positive; VaR at 0.95 is the 95 % quantile of the cost increase over the expected cost.
    measure | VARCHAR | | expected_cost, budget, var, cvar, probability_over_budget, unmet_gpu_hours, unmet_share_*, commitment_paid, commitment_unused; by name component_var, component_cvar (they sum to the whole) and incremental_cvar (what goes with the name)
    level | DOUBLE? | 0 to 1 | confidence; null where none applies
    horizon_h | DOUBLE | h | hours ahead
    value_usd | DOUBLE | USD | the measure; probability_over_budget and unmet_share_* are shares, unmet_gpu_hours are hours
    standard_error_usd | DOUBLE? | USD | sampling error
    scope | VARCHAR | | total, risk:price, risk:capacity, risk:commitment, provider:x, region:x, gpu:x or offer:x
stress | scenario | What shocks and episodes of the record cost, with the plan held and with recourse. USD over the horizon.
    scenario | VARCHAR | | base, or a scenario of data/scenarios.yaml
    expected_cost_usd | DOUBLE | USD | the plan held
    loss_usd | DOUBLE | USD | expected cost above the base's, the plan held
    recourse_loss_usd | DOUBLE | USD | the same where the plan may be made anew, moves included
    var95_usd | DOUBLE | USD | over the scenario's own expected cost, the plan held
    cvar95_usd | DOUBLE | USD | the same
    probability_over_budget | DOUBLE | 0 to 1 | share of worlds, the plan held
    unmet_gpu_hours | DOUBLE | GPU-h | expected, the plan held; not priced
    recourse_unmet_gpu_hours | DOUBLE | GPU-h | expected, with recourse
reverse_stress | limit factor | The smallest change that breaks a limit, the plan held.
    limit | VARCHAR | | budget (expected cost) or cvar (mean of the worst 5 %)
    factor | VARCHAR | | price, volatility, availability, demand, cost, or together
    change | DOUBLE? | share | of the factor, 0.2 is 20 % more; for together the share of each one's own change; null where none breaks it
lookback | policy period_utc | What each policy would have paid, step by step, at the prices that came.
    policy | VARCHAR | | advice or an alternative
    period_utc | TIMESTAMPTZ | UTC | start of the step
    cost_usd | DOUBLE | USD | paid in the step: rent, rework, site fees and moves
    moves | DOUBLE | GPU | GPUs taken up at an offer where they were not before
    main_offer | VARCHAR | | offer with the largest spend
assumptions | name | Figures no record gives, used by the run.
    name | VARCHAR | | what is assumed
    value | DOUBLE | see unit | the figure
    unit | VARCHAR | | of the value
    source | VARCHAR | | where it comes from, or why it was chosen
    date | VARCHAR | | when it was noted
""")

_PANDAS_KIND = {
    "VARCHAR": "OSUT", "DOUBLE": "fiu", "INTEGER": "iu", "BIGINT": "iu",
    "TIMESTAMPTZ": "M", "BOOLEAN": "b",
}  # fmt: skip


def nearest(name: str, known: list[str]) -> str:
    """Return ' (did you mean ...?)' for the closest known name, or ''."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def validate(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return ``frame`` with the columns of table ``name`` first, in order; extra columns stay.

    Raises DataError naming table, column and dtype where a column is missing, has the wrong
    kind, holds a null that is not legal or an infinite number, a time is naive, or a key repeats.
    """
    table = {**STORED, **HANDED_OVER}[name]
    missing = [c for c in table.names if c not in frame.columns]
    if missing:
        raise DataError(
            f"table {name} lacks column {missing[0]!r}"
            f"{nearest(missing[0], [c for c in frame.columns if c not in table.names])}.",
            f"It needs {', '.join(table.names)}.",
        )
    for column in table.columns:
        values = frame[column.name]
        if values.isna().any():
            if not column.nullable:
                row = int(values.isna().to_numpy().argmax())
                raise DataError(f"table {name}, column {column.name}, row {row}: empty value.")
            if values.isna().all():
                continue
        dtype = values.dtype
        categories = getattr(dtype, "categories", None)
        kind = categories.dtype.kind if categories is not None else dtype.kind
        if kind not in _PANDAS_KIND[column.dtype]:
            raise DataError(f"table {name}, column {column.name}: {dtype} is not {column.dtype}.")
        if column.dtype == "TIMESTAMPTZ" and getattr(values.dt, "tz", None) is None:
            raise DataError(f"table {name}, column {column.name}: naive times.", "Localise to UTC.")
        if kind == "f" and np.isinf(values.to_numpy(float, na_value=np.nan)).any():
            raise DataError(f"table {name}, column {column.name}: infinite value.")
    if frame.duplicated(list(table.key)).any():
        row = int(frame.duplicated(list(table.key)).to_numpy().argmax())
        raise DataError(f"table {name}, row {row}: key ({', '.join(table.key)}) repeats.")
    return frame[table.names + [c for c in frame.columns if c not in table.names]]


def dictionary() -> str:
    """Return the data dictionary as Markdown."""
    lines: list[str] = []
    for title, tables in (("Stored tables", STORED), ("Tables that stages hand over", HANDED_OVER)):
        lines += [f"### {title}", ""]
        for table in tables.values():
            lines += [f"#### {table.name}", "", table.meaning, "", f"Key: {', '.join(table.key)}.", ""]
            lines += ["| column | type | unit | meaning | null |", "|---|---|---|---|---|"]
            lines += [
                f"| {c.name} | {c.dtype} | {c.unit} | {c.meaning} | {'yes' if c.nullable else ''} |"
                for c in table.columns
            ]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(dictionary())
