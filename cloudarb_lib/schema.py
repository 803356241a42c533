"""Every table: column, type, unit, meaning. Stored tables first, then those stages hand over.

The data dictionary in data/README.md is generated from here (``python -m cloudarb_lib.schema``).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError

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
        body = ", ".join(
            f"{c.name} {c.dtype}{'' if c.nullable else ' NOT NULL'}" for c in self.columns
        )
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({body})"


_OFFER = (
    Column("provider", "VARCHAR", "", "who rents it out, lower case"),
    Column(
        "region", "VARCHAR", "", "the provider's region; 'unstated' where the source names none"
    ),
    Column("zone", "VARCHAR", "", "availability zone, empty where the price is regional"),
    Column("instance_type", "VARCHAR", "", "the provider's machine name"),
    Column("purchase_option", "VARCHAR", "", "on_demand, spot or reserved"),
    Column("term", "VARCHAR", "", "commitment, 1y or 3y; empty unless reserved"),
)

_STORED = (
    Table(
        "price_events",
        "Prices as they were published: one row where a price begins. It holds until the next "
        "row of the same offer; a null price withdraws the offer.",
        (*(c.name for c in _OFFER), "effective_at", "observed_at"),
        (
            *_OFFER,
            Column("currency", "VARCHAR", "", "ISO 4217; only USD is accepted"),
            Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance; null: withdrawn", True),
            Column("effective_at", "TIMESTAMPTZ", "UTC", "when the price took effect"),
            Column("observed_at", "TIMESTAMPTZ", "UTC", "when it was first seen; as_of reads use it"),
            Column("source", "VARCHAR", "", "the record it came from"),
            Column("price_kind", "VARCHAR", "", "administered (a price list) or market (moves freely)"),
            Column("offer_count", "INTEGER", "offers", "how many were on sale, where told", True),
            Column("quality", "VARCHAR", "", "ok, glitch_reverted or glitch_low_for_gpu"),
            Column("flagged_at", "TIMESTAMPTZ", "UTC", "when the flag could first be known", True),
        ),
    ),
    Table(
        "looks",
        "When a source was looked at. Between two looks without an event nothing changed; "
        "without a look nothing is known.",
        ("provider", "source", "looked_at"),
        (
            Column("provider", "VARCHAR", "", "whose offers the look covers"),
            Column("source", "VARCHAR", "", "the record, as in price_events"),
            Column("looked_at", "TIMESTAMPTZ", "UTC", "time of the look"),
            Column(
                "covers_from", "TIMESTAMPTZ", "UTC",
                "start of what the look vouches for: looked_at for a price list, earlier for a "
                "log of every change",
            ),
        ),
    ),
    Table(
        "instances",
        "Machine specifications.",
        ("provider", "instance_type"),
        (
            Column("provider", "VARCHAR", "", "as in price_events"),
            Column("instance_type", "VARCHAR", "", "as in price_events"),
            Column("vcpus", "DOUBLE", "vCPU", "virtual processors", True),
            Column("memory_gib", "DOUBLE", "GiB", "main memory", True),
            Column("gpu_model", "VARCHAR", "", "name as in cloudarb_lib.gpus; null: no GPU", True),
            Column("gpu_count", "DOUBLE", "GPU", "may be a fraction: a share of one GPU", True),
            Column("gpu_memory_gib", "DOUBLE", "GiB", "memory of one GPU", True),
        ),
    ),
    Table(
        "interruption_bands",
        "Share of spot instances reclaimed in the trailing month, as published in bands.",
        ("provider", "region", "instance_type", "as_of"),
        (
            Column("provider", "VARCHAR", "", "as in price_events"),
            Column("region", "VARCHAR", "", "as in price_events"),
            Column("instance_type", "VARCHAR", "", "as in price_events"),
            Column("interruption_band_monthly", "VARCHAR", "", "<5%, 5-10%, 10-15%, 15-20% or >20%"),
            Column("spot_savings_pct", "DOUBLE", "%", "spot price below on-demand"),
            Column("as_of", "TIMESTAMPTZ", "UTC", "date of the record"),
        ),
    ),
    Table(
        "grid_carbon",
        "Carbon intensity of the electricity of a region.",
        ("provider", "region"),
        (
            Column("provider", "VARCHAR", "", "as in price_events"),
            Column("region", "VARCHAR", "", "as in price_events"),
            Column("location", "VARCHAR", "", "place, for people", True),
            Column("grid_gco2e_per_kwh", "DOUBLE", "gCO2e/kWh", "yearly average intensity"),
            Column("carbon_free_energy_share", "DOUBLE", "0 to 1", "carbon-free share", True),
            Column("year", "INTEGER", "year", "of the figures; null: not stated by the record", True),
        ),
    ),
    Table(
        "ingest_log",
        "One row per file taken in.",
        ("file_sha256", "ingested_at"),
        (
            Column("file", "VARCHAR", "", "file name, without its folder"),
            Column("file_sha256", "VARCHAR", "", "digest of its bytes"),
            Column("target", "VARCHAR", "", "table the rows went to"),
            Column("ingested_at", "TIMESTAMPTZ", "UTC", "when"),
            Column("rows_read", "BIGINT", "rows", "rows in the file"),
            Column("rows_new", "BIGINT", "rows", "not known before"),
            Column("rows_unchanged", "BIGINT", "rows", "already stored, alike"),
            Column("rows_superseded", "BIGINT", "rows", "a later look corrects a stored row"),
            Column("rows_quarantined", "BIGINT", "rows", "refused, see quarantine"),
        ),
    ),
    Table(
        "quarantine",
        "Rows refused, with the reason; nothing reads them but people.",
        ("file_sha256", "line", "reason"),
        (
            Column("file", "VARCHAR", "", "file name, without its folder"),
            Column("file_sha256", "VARCHAR", "", "digest of its bytes"),
            Column("line", "BIGINT", "", "line of a text file (first is 1), else row (first is 1)"),
            Column("reason", "VARCHAR", "", "a code such as price_negative"),
            Column("detail", "VARCHAR", "", "the sentence: what, where, the way out"),
            Column("row_text", "VARCHAR", "", "the row as read"),
            Column("ingested_at", "TIMESTAMPTZ", "UTC", "when"),
        ),
    ),
)  # fmt: skip

_ID = Column("offer_id", "VARCHAR", "", "provider/region/zone/instance_type/purchase_option/term")

_HANDED_OVER = (
    Table(
        "offers",
        "What can be rented at as_of, from sources that are fresh; one row per offer.",
        ("offer_id",),
        (
            _ID,
            *_OFFER,
            Column("price_kind", "VARCHAR", "", "administered or market"),
            Column("gpu_model", "VARCHAR", "", "name as in cloudarb_lib.gpus; null: no GPU", True),
            Column("gpu_count", "DOUBLE", "GPU", "GPUs of the instance", True),
            Column("gpu_memory_gib", "DOUBLE", "GiB", "memory of one GPU", True),
            Column("vcpus", "DOUBLE", "vCPU", "virtual processors", True),
            Column("memory_gib", "DOUBLE", "GiB", "main memory", True),
            Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance"),
            Column("price_usd_per_gpu_hour", "DOUBLE", "USD/GPU-h", "null: no GPU", True),
            Column("offer_count", "DOUBLE", "offers", "on sale, where told", True),
            Column("changed_at", "TIMESTAMPTZ", "UTC", "when the price last changed"),
            Column("looked_at", "TIMESTAMPTZ", "UTC", "last look at its source"),
        ),
    ),
    Table(
        "sources",
        "How fresh each source is at as_of, and whether the run used it.",
        ("provider", "source"),
        (
            Column("provider", "VARCHAR", "", "as in price_events"),
            Column("source", "VARCHAR", "", "as in price_events"),
            Column("looked_at", "TIMESTAMPTZ", "UTC", "last look"),
            Column("age_days", "DOUBLE", "days", "from the last look to as_of"),
            Column("offers", "BIGINT", "offers", "with a price in force"),
            Column("stale", "BOOLEAN", "", "older than the run allows: left out"),
        ),
    ),
    Table(
        "forecast",
        "Predicted price distribution.",
        ("offer_id", "origin_utc", "target_utc", "quantile"),
        (
            _ID,
            Column("origin_utc", "TIMESTAMPTZ", "UTC", "what was known when it was made"),
            Column("target_utc", "TIMESTAMPTZ", "UTC", "time forecast"),
            Column("quantile", "DOUBLE", "0 to 1", "probability of a price at or below"),
            Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance"),
        ),
    ),
    Table(
        "paths",
        "Joint sample paths: the same path number is the same world across offers.",
        ("offer_id", "path", "target_utc"),
        (
            _ID,
            Column("path", "INTEGER", "", "number of the world, from 0"),
            Column("target_utc", "TIMESTAMPTZ", "UTC", "time"),
            Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance"),
        ),
    ),
    Table(
        "scores",
        "Walk-forward scores of each model.",
        ("model", "series_group", "horizon"),
        (
            Column("model", "VARCHAR", "", "member, ensemble or peer"),
            Column("series_group", "VARCHAR", "", "what was pooled, such as a GPU model or all"),
            Column("horizon", "INTEGER", "steps", "steps ahead"),
            Column("n", "BIGINT", "forecasts", "number scored"),
            Column("mae_usd_per_hour", "DOUBLE", "USD/h", "mean absolute error"),
            Column("skill", "DOUBLE", "", "1 - scaled MAE over last value's; positive is better"),
            Column("coverage80", "DOUBLE", "0 to 1", "share inside the 80 % interval", True),
            Column("coverage95", "DOUBLE", "0 to 1", "share inside the 95 % interval", True),
        ),
    ),
    Table(
        "weights",
        "Weight of each ensemble member.",
        ("series_group", "horizon", "model"),
        (
            Column("series_group", "VARCHAR", "", "as in scores"),
            Column("horizon", "INTEGER", "steps", "steps ahead"),
            Column("model", "VARCHAR", "", "member"),
            Column("weight", "DOUBLE", "0 to 1", "weights of a group and horizon sum to 1"),
        ),
    ),
    Table(
        "plan",
        "What to rent for whom.",
        ("offer_id", "workload", "period"),
        (
            _ID,
            Column("workload", "VARCHAR", "", "name in the demand file"),
            Column("period", "INTEGER", "", "number of the period, from 0"),
            Column("instances", "DOUBLE", "instances", "held in the period"),
            Column("hours", "DOUBLE", "h", "hours each instance is paid for in the period"),
            Column("expected_cost_usd", "DOUBLE", "USD", "expected cost in the period, rework included"),
        ),
    ),
    Table(
        "risk",
        "Risk of the plan. Cost and loss are positive; VaR at 0.95 is the 95 % quantile of the "
        "cost increase over the expected cost.",
        ("measure", "level", "horizon_h", "scope"),
        (
            Column("measure", "VARCHAR", "", "expected_cost, var, cvar, component_cvar, ..."),
            Column("level", "DOUBLE", "0 to 1", "confidence; null where none applies", True),
            Column("horizon_h", "DOUBLE", "h", "hours ahead"),
            Column("value_usd", "DOUBLE", "USD", "the measure"),
            Column("standard_error_usd", "DOUBLE", "USD", "sampling error", True),
            Column("scope", "VARCHAR", "", "total, provider:x, region:x, gpu:x, offer:x, scenario:x"),
        ),
    ),
    Table(
        "lookback",
        "What each policy would have paid, step by step, at the prices that came.",
        ("policy", "period_utc"),
        (
            Column("policy", "VARCHAR", "", "advice or an alternative"),
            Column("period_utc", "TIMESTAMPTZ", "UTC", "start of the step"),
            Column("cost_usd", "DOUBLE", "USD", "paid in the step: rent, rework, site fees and moves"),
            Column("moves", "DOUBLE", "GPU", "GPUs taken up at an offer where they were not before"),
            Column("main_offer", "VARCHAR", "", "offer with the largest spend"),
        ),
    ),
    Table(
        "assumptions",
        "Figures no record gives, used by the run.",
        ("name",),
        (
            Column("name", "VARCHAR", "", "what is assumed"),
            Column("value", "DOUBLE", "see unit", "the figure"),
            Column("unit", "VARCHAR", "", "of the value"),
            Column("source", "VARCHAR", "", "where it comes from, or why it was chosen"),
            Column("date", "VARCHAR", "", "when it was noted"),
        ),
    ),
)  # fmt: skip

STORED = {table.name: table for table in _STORED}
HANDED_OVER = {table.name: table for table in _HANDED_OVER}

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
            lines += [
                f"#### {table.name}",
                "",
                table.meaning,
                "",
                f"Key: {', '.join(table.key)}.",
                "",
            ]
            lines += ["| column | type | unit | meaning | null |", "|---|---|---|---|---|"]
            lines += [
                f"| {c.name} | {c.dtype} | {c.unit} | {c.meaning} | {'yes' if c.nullable else ''} |"
                for c in table.columns
            ]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(dictionary())
