"""The tables of the price store."""

from __future__ import annotations

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.tables.schema import OFFER, Column, Table

PRICE_EVENTS = Table(
    name="price_events",
    meaning="Prices as they were published: one row where a price begins. It holds until the next"
    " row of the same offer; a null price withdraws the offer.",
    key=(*OFFER_PARTS, "effective_at", "observed_at"),
    columns=(
        *OFFER,
        Column("currency", "VARCHAR", "", "ISO 4217; only USD is accepted"),
        Column(
            "price_usd_per_hour",
            "DOUBLE",
            "USD/h",
            "whole instance; null: withdrawn",
            nullable=True,
        ),
        Column("effective_at", "TIMESTAMPTZ", "UTC", "when the price took effect"),
        Column("observed_at", "TIMESTAMPTZ", "UTC", "when it was first seen; as_of reads use it"),
        Column("source", "VARCHAR", "", "the record it came from"),
        Column("price_kind", "VARCHAR", "", "administered (a price list) or market (moves freely)"),
        Column(
            "offer_count", "INTEGER", "offers", "how many were on sale, where told", nullable=True
        ),
    ),
)

CONVERSIONS = Table(
    name="conversions",
    meaning="How prices in other currencies came to USD: the dated rate that the run named. A price"
    " without a row was told in USD.",
    key=(*OFFER_PARTS, "effective_at", "observed_at"),
    columns=(
        *OFFER,
        Column("effective_at", "TIMESTAMPTZ", "UTC", "of the price"),
        Column("observed_at", "TIMESTAMPTZ", "UTC", "of the price"),
        Column("currency", "VARCHAR", "", "ISO 4217, in which it was told"),
        Column("price_per_hour", "DOUBLE", "currency/h", "whole instance, in that currency"),
        Column("usd_per_unit", "DOUBLE", "USD", "what a unit of the currency counts as"),
        Column("rate_as_of", "TIMESTAMPTZ", "UTC", "since when that rate holds"),
        Column("rate_source", "VARCHAR", "", "who says so"),
        Column("rate_file", "VARCHAR", "", "file of the rate, without its folder; may be empty"),
    ),
)

FLAGS = Table(
    name="flags",
    meaning="Prices that were found wrong: kept, and left out of plans from flagged_at on, unless a"
    " verdict says that they are right. The offer is in doubt until its next good price; only"
    " after glitch_reverted, where the list came back, the price before stands, and where there is"
    " a corrected price, that one.",
    key=(*OFFER_PARTS, "effective_at", "observed_at", "quality"),
    columns=(
        *OFFER,
        Column("effective_at", "TIMESTAMPTZ", "UTC", "of the price"),
        Column("observed_at", "TIMESTAMPTZ", "UTC", "of the price"),
        Column(
            "quality",
            "VARCHAR",
            "",
            "why: glitch_reverted, glitch_low_for_gpu, low_for_market, price_of_one_gpu,"
            " fell_by_half, one_price_for_all_sizes or commitment_over_on_demand",
        ),
        Column("detail", "VARCHAR", "", "the sentence: what, beside what, by which rule"),
        Column("flagged_at", "TIMESTAMPTZ", "UTC", "when it could first be known"),
        Column(
            "corrected_usd_per_hour",
            "DOUBLE",
            "USD/h",
            "what stands instead: the price of a whole term, brought to an hour",
            nullable=True,
        ),
    ),
)

LOOKS = Table(
    name="looks",
    meaning="When a part of a market was seen whole. Its offers that have no event between two "
    "looks did not change; of other offers a look says nothing. An event is a look at its offer.",
    key=("provider", "source", "region", "purchase_option", "looked_at"),
    columns=(
        Column("provider", "VARCHAR", "", "whose offers the look covers"),
        Column("source", "VARCHAR", "", "the record, as in price_events"),
        Column("region", "VARCHAR", "", "region that it covers; empty: every one"),
        Column("purchase_option", "VARCHAR", "", "option that it covers; empty: every one"),
        Column("looked_at", "TIMESTAMPTZ", "UTC", "time of the look"),
        Column(
            "covers_from",
            "TIMESTAMPTZ",
            "UTC",
            "start of what the look vouches for: looked_at for a price list, earlier for a log of"
            " every change",
        ),
    ),
)

INSTANCES = Table(
    name="instances",
    meaning="Machine specifications.",
    key=("provider", "instance_type"),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("instance_type", "VARCHAR", "", "as in price_events"),
        Column("vcpus", "DOUBLE", "vCPU", "virtual processors", nullable=True),
        Column("memory_gib", "DOUBLE", "GiB", "main memory", nullable=True),
        Column(
            "gpu_model",
            "VARCHAR",
            "",
            "name as in cloudarb_lib.sources.names.gpus; null: no GPU",
            nullable=True,
        ),
        Column(
            "gpu_count", "DOUBLE", "GPU", "may be a fraction: a share of one GPU", nullable=True
        ),
        Column("gpu_memory_gib", "DOUBLE", "GiB", "memory of one GPU", nullable=True),
    ),
)

INTERRUPTION_BANDS = Table(
    name="interruption_bands",
    meaning="Share of spot instances reclaimed in the trailing month, as published in bands.",
    key=("provider", "region", "instance_type", "as_of"),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("region", "VARCHAR", "", "as in price_events"),
        Column("instance_type", "VARCHAR", "", "as in price_events"),
        Column("interruption_band_monthly", "VARCHAR", "", "<5%, 5-10%, 10-15%, 15-20% or >20%"),
        Column("spot_savings_pct", "DOUBLE", "%", "spot price below on-demand"),
        Column("as_of", "TIMESTAMPTZ", "UTC", "date of the record"),
    ),
)

GRID_CARBON = Table(
    name="grid_carbon",
    meaning="Carbon intensity of the electricity of a region.",
    key=("provider", "region"),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("region", "VARCHAR", "", "as in price_events"),
        Column("location", "VARCHAR", "", "place, for people", nullable=True),
        Column("grid_gco2e_per_kwh", "DOUBLE", "gCO2e/kWh", "yearly average intensity"),
        Column("carbon_free_energy_share", "DOUBLE", "0 to 1", "carbon-free share", nullable=True),
        Column(
            "year",
            "INTEGER",
            "year",
            "of the figures; null: not stated by the record",
            nullable=True,
        ),
    ),
)

INGEST_LOG = Table(
    name="ingest_log",
    meaning="One row per file taken in.",
    key=("file_sha256", "ingested_at"),
    columns=(
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
)

QUARANTINE = Table(
    name="quarantine",
    meaning="Rows refused, with the reason; nothing reads them but people.",
    key=("file_sha256", "line", "reason"),
    columns=(
        Column("file", "VARCHAR", "", "file name, without its folder"),
        Column("file_sha256", "VARCHAR", "", "digest of its bytes"),
        Column("line", "BIGINT", "", "line of a text file (first is 1), else row (first is 1)"),
        Column("reason", "VARCHAR", "", "a code such as price_negative"),
        Column("detail", "VARCHAR", "", "the sentence: what, where, the way out"),
        Column("row_text", "VARCHAR", "", "the row as read"),
        Column("ingested_at", "TIMESTAMPTZ", "UTC", "when"),
    ),
)

DOUBTS = Table(
    name="doubts",
    meaning="Since when an offer is in doubt: a row of it was held back, whose offer and time can"
    " be read. It is out of plans until a good row of the same time or later comes.",
    key=(*OFFER_PARTS, "effective_at", "observed_at", "reason"),
    columns=(
        *OFFER,
        Column("effective_at", "TIMESTAMPTZ", "UTC", "of the row that was held back"),
        Column("observed_at", "TIMESTAMPTZ", "UTC", "of the row that was held back"),
        Column("source", "VARCHAR", "", "the record it came from"),
        Column("reason", "VARCHAR", "", "a code such as price_zero, as in quarantine"),
        Column("detail", "VARCHAR", "", "the sentence: what, where, the way out"),
        Column("file_sha256", "VARCHAR", "", "digest of the file, as in quarantine"),
        Column("line", "BIGINT", "", "line of the row, as in quarantine"),
    ),
)

VERDICTS = Table(
    name="verdicts",
    meaning="What a person decided of a price that was flagged, or of a row held back.",
    key=(*OFFER_PARTS, "effective_at", "observed_at", "decided_at"),
    columns=(
        *OFFER,
        Column("effective_at", "TIMESTAMPTZ", "UTC", "of the price"),
        Column("observed_at", "TIMESTAMPTZ", "UTC", "of the price"),
        Column("verdict", "VARCHAR", "", "release (it is right) or drop (it never was)"),
        Column("why", "VARCHAR", "", "in the person's words"),
        Column("decided_at", "TIMESTAMPTZ", "UTC", "when; as_of reads use it"),
    ),
)

EVIDENCE = Table(
    name="evidence",
    meaning="Where a machine is known to be sold, or not to be. The newest row by as_of stands; "
    "without a row nothing is known. What a whole list lacks (`listings`) has a row with sold"
    " false.",
    key=("provider", "region", "zone", "instance_type", "purchase_option", "source", "seen_at"),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("region", "VARCHAR", "", "as in price_events"),
        Column("zone", "VARCHAR", "", "zone in which it is listed; empty: the region is all told"),
        Column("instance_type", "VARCHAR", "", "as in price_events"),
        Column("purchase_option", "VARCHAR", "", "option it is sold by; empty: every one"),
        Column(
            "kind",
            "VARCHAR",
            "",
            "zone_list, offering (the provider's own answer), catalogue or quota",
        ),
        Column("source", "VARCHAR", "", "the record it came from"),
        Column("seen_at", "TIMESTAMPTZ", "UTC", "when it was seen; as_of reads use it"),
        Column("sold", "BOOLEAN", "", "true: sold there; false: no longer, or not to this account"),
        Column("note", "VARCHAR", "", "restriction or quota, in words", nullable=True),
    ),
)

LISTINGS = Table(
    name="listings",
    meaning="When a list of what is sold was seen whole: a machine that an earlier one had and this"
    " one lacks was not listed any more. The list itself is the rows of `evidence` of its source"
    " and time.",
    key=("provider", "source", "region", "purchase_option", "listed_at"),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("source", "VARCHAR", "", "the record, as in evidence"),
        Column("region", "VARCHAR", "", "region that it covers; empty: every one"),
        Column("purchase_option", "VARCHAR", "", "option that it covers; empty: every one"),
        Column("listed_from", "TIMESTAMPTZ", "UTC", "when its first page was seen"),
        Column("listed_at", "TIMESTAMPTZ", "UTC", "when its last page was seen"),
    ),
)

CHARGES = Table(
    name="charges",
    meaning="What was really paid for machines and all else, from cost exports (FOCUS), and what"
    " namespaces of a cluster cost by its own reckoning (OpenCost: the cluster is the account, the"
    " namespace the service, cpu, gpu, ram and so on the SKU): sums of"
    " a day, for the look-back. A file that is brought again replaces what it said; a corrected one"
    " must have the same name, or both count.",
    key=(
        "provider",
        "billing_account",
        "region",
        "zone",
        "instance_type",
        "sku_id",
        "service",
        "charge_category",
        "pricing_category",
        "commitment_id",
        "charge_currency",
        "unit",
        "day",
        "file",
        "part",
    ),
    columns=(
        Column("provider", "VARCHAR", "", "as in price_events"),
        Column("billing_account", "VARCHAR", "", "account that is billed; empty: not told"),
        Column("region", "VARCHAR", "", "as in price_events; empty: none or not told"),
        Column("zone", "VARCHAR", "", "zone by its name in that account; empty: not told"),
        Column("instance_type", "VARCHAR", "", "as in price_events; empty: no machine or not told"),
        Column("sku_id", "VARCHAR", "", "what was bought, by the provider's number"),
        Column("service", "VARCHAR", "", "by the provider's name"),
        Column("charge_category", "VARCHAR", "", "Usage, Purchase, Tax, Credit or Adjustment"),
        Column("pricing_category", "VARCHAR", "", "Standard, Dynamic (spot), Committed or Other"),
        Column("commitment_id", "VARCHAR", "", "the commitment that covers it; empty: none"),
        Column("charge_currency", "VARCHAR", "", "ISO 4217; the costs are in it; XXX: not told"),
        Column("unit", "VARCHAR", "", "of quantity, such as Hours"),
        Column("day", "TIMESTAMPTZ", "UTC", "the charges began on this day"),
        Column("file", "VARCHAR", "", "name of the export, without its folder"),
        Column("part", "VARCHAR", "", "part of the file that the sums are of (first is 1)"),
        Column("quantity", "DOUBLE", "unit", "priced quantity", nullable=True),
        Column("list_cost", "DOUBLE", "currency", "at list prices", nullable=True),
        Column("contracted_cost", "DOUBLE", "currency", "at contracted prices", nullable=True),
        Column(
            "effective_cost",
            "DOUBLE",
            "currency",
            "with what was paid upfront spread over its use",
            nullable=True,
        ),
        Column("billed_cost", "DOUBLE", "currency", "on the invoice"),
    ),
)

STORED = {
    table.name: table
    for table in (
        PRICE_EVENTS,
        CONVERSIONS,
        FLAGS,
        DOUBTS,
        VERDICTS,
        EVIDENCE,
        LISTINGS,
        CHARGES,
        LOOKS,
        INSTANCES,
        INTERRUPTION_BANDS,
        GRID_CARBON,
        INGEST_LOG,
        QUARANTINE,
    )
}
"""The tables of a snapshot, by name."""
