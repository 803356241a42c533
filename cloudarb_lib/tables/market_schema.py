"""The tables of a run that say what a market offers at a time."""

from __future__ import annotations

from cloudarb_lib.tables.schema import OFFER, OFFER_ID, Column, Table

EVIDENCE_OF_SALE = (
    Column(
        "evidence",
        "VARCHAR",
        "",
        "what says that it is sold there: kind as in table evidence, or listing (it stands on a"
        " market); null: nothing",
        nullable=True,
    ),
    Column("evidence_at", "TIMESTAMPTZ", "UTC", "when that was seen", nullable=True),
)

OFFERS = Table(
    name="offers",
    meaning="What can be rented at as_of, at prices that are fresh; one row per offer.",
    key=("offer_id",),
    columns=(
        OFFER_ID,
        *OFFER,
        Column("price_kind", "VARCHAR", "", "administered or market"),
        Column(
            "gpu_model",
            "VARCHAR",
            "",
            "name as in cloudarb_lib.sources.names.gpus; null: no GPU",
            nullable=True,
        ),
        Column("gpu_count", "DOUBLE", "GPU", "GPUs of the instance", nullable=True),
        Column("gpu_memory_gib", "DOUBLE", "GiB", "memory of one GPU", nullable=True),
        Column("vcpus", "DOUBLE", "vCPU", "virtual processors", nullable=True),
        Column("memory_gib", "DOUBLE", "GiB", "main memory", nullable=True),
        Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance"),
        Column("price_usd_per_gpu_hour", "DOUBLE", "USD/GPU-h", "null: no GPU", nullable=True),
        Column("offer_count", "DOUBLE", "offers", "on sale, where told", nullable=True),
        Column("changed_at", "TIMESTAMPTZ", "UTC", "when the price last changed"),
        Column("observed_at", "TIMESTAMPTZ", "UTC", "when this price was last observed"),
        *EVIDENCE_OF_SALE,
    ),
)

OFFER_STATES = Table(
    name="offer_states",
    meaning="What became of every offer on record by as_of: whether it is offered, and why not.",
    key=("offer_id",),
    columns=(
        OFFER_ID,
        *OFFER,
        Column("source", "VARCHAR", "", "the record of its last price"),
        Column(
            "gpu_model",
            "VARCHAR",
            "",
            "name as in cloudarb_lib.sources.names.gpus; null: no GPU",
            nullable=True,
        ),
        Column("gpu_count", "DOUBLE", "GPU", "GPUs of the instance", nullable=True),
        Column(
            "state",
            "VARCHAR",
            "",
            "offered; stale (older than the run allows, but may stand in for a lost offer"
            " in a stress test); expired (too old for that); withdrawn (its source no longer has"
            " it); gone (a source that repeats its offers fell silent of it); in_doubt (its newest"
            " price was held back or flagged); sold_out (its count of offers is 0); not_known_sold"
            " (listed at a fresh price, but nothing says that it is sold there); models_only",
        ),
        Column(
            "observed_at",
            "TIMESTAMPTZ",
            "UTC",
            "when its price was last observed; null: no good price ever was",
            nullable=True,
        ),
        Column("since", "TIMESTAMPTZ", "UTC", "from when on it is in this state"),
        Column(
            "price_usd_per_hour",
            "DOUBLE",
            "USD/h",
            "whole instance, the last good price; null: none",
            nullable=True,
        ),
        Column("reason", "VARCHAR", "", "why it is not offered, in words; empty: it is"),
        *EVIDENCE_OF_SALE,
    ),
)

SOURCES = Table(
    name="sources",
    meaning="How fresh each source is at as_of, and whether the run used it.",
    key=("provider", "source"),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("source", "VARCHAR", "", "as in price_events"),
        Column("looked_at", "TIMESTAMPTZ", "UTC", "newest look, or event, of any of its offers"),
        Column("age_days", "DOUBLE", "days", "from the newest look to as_of"),
        Column("offers", "BIGINT", "offers", "with a price in force, however old"),
        Column("offered", "BIGINT", "offers", "of these, that can be rented: see offer_states"),
        Column(
            "stale",
            "BOOLEAN",
            "",
            "older than the run allows, or a record for models only: left out",
        ),
    ),
)
