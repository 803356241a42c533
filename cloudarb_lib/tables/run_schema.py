"""The tables of a run, which one stage writes and later ones read."""

from __future__ import annotations

from cloudarb_lib.tables.market_schema import OFFER_STATES, OFFERS, SOURCES
from cloudarb_lib.tables.schema import OFFER_ID, Column, Table

FORECAST = Table(
    name="forecast",
    meaning="Predicted price distribution.",
    key=("offer_id", "origin_utc", "target_utc", "quantile"),
    columns=(
        OFFER_ID,
        Column("origin_utc", "TIMESTAMPTZ", "UTC", "what was known when it was made"),
        Column("target_utc", "TIMESTAMPTZ", "UTC", "time forecast"),
        Column("quantile", "DOUBLE", "0 to 1", "probability of a price at or below"),
        Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance"),
    ),
)

PATHS = Table(
    name="paths",
    meaning="Joint sample paths of mean prices over each step: the same path number is the same "
    "sample across offers.",
    key=("offer_id", "path", "target_utc"),
    columns=(
        OFFER_ID,
        Column("path", "INTEGER", "", "number of the path, from 0"),
        Column("target_utc", "TIMESTAMPTZ", "UTC", "end of the step"),
        Column("price_usd_per_hour", "DOUBLE", "USD/h", "whole instance, mean over the step"),
    ),
)

_MISSING = "NaN for fewer than 8 origins or 4 repricing events"
_LOSSES = {
    "mae": "absolute error of the median",
    "rmse": "root mean square error of the mean",
    "crps": "continuous ranked probability score",
}


def _compared(name: str, what: str) -> tuple[Column, ...]:
    """The columns of one loss beside that of the last value."""
    return (
        Column(f"{name}_ratio", "DOUBLE", "ratio", f"{what}, over the last value's", nullable=True),
        Column(
            f"{name}_best_quarter",
            "DOUBLE",
            "share",
            "of what it gains in all, from its best quarter; above 1: others lost; null: no gain",
            nullable=True,
        ),
        Column(
            f"{name}_p",
            "DOUBLE",
            "0 to 1",
            f"probability of such a difference by chance (Diebold-Mariano, pooled); {_MISSING}",
            nullable=True,
        ),
    )


SCORES = Table(
    name="scores",
    meaning="Walk-forward scores of each model against the last value. Losses are divided by the "
    "mean price of the offer up to the origin; of the cheapest places by what they cost then.",
    key=("target", "series_group", "model", "horizon", "span"),
    columns=(
        Column(
            "target", "VARCHAR", "", "offer, or cheapest k: mean price of the k cheapest places"
        ),
        Column("series_group", "VARCHAR", "", "GPU model, else provider; an offer_id; or all"),
        Column("model", "VARCHAR", "", "ensemble (what is handed over), member, or peer"),
        Column("horizon", "INTEGER", "steps", "steps ahead"),
        Column("span", "VARCHAR", "", "half-year in which the forecast was made, or all"),
        Column("n", "BIGINT", "forecasts", "number scored"),
        Column("n_origins", "BIGINT", "origins", "times at which they were made"),
        Column("n_repricings", "BIGINT", "events", "cells in which a tenth of the series stepped"),
        *(column for name, what in _LOSSES.items() for column in _compared(name, what)),
        Column("bias", "DOUBLE", "share", "mean of the forecast mean less what came"),
        Column("last_bias", "DOUBLE", "share", "the same of the last value"),
        Column("pit80", "DOUBLE", "0 to 1", "in the 80 % interval, randomised PIT", nullable=True),
        Column("pit95", "DOUBLE", "0 to 1", "in the 95 % interval, randomised PIT", nullable=True),
        Column("p_change", "DOUBLE", "0 to 1", "mean probability of a move of 0.5 % or more"),
        Column("changed", "DOUBLE", "0 to 1", "how often one came"),
        Column("brier", "DOUBLE", "0 to 1", "Brier score of that; the last value's is changed"),
        Column(
            "direction",
            "DOUBLE",
            "0 to 1",
            "where a move came, how often most of the forecast's moves went its way",
            nullable=True,
        ),
        Column("mape", "DOUBLE", "share", "absolute error of the median over the price that came"),
        Column("mae_usd_per_hour", "DOUBLE", "USD/h", "absolute error of the median; per GPU of k"),
        Column("rmse_usd_per_hour", "DOUBLE", "USD/h", "of the mean; per GPU-hour of cheapest k"),
    ),
)

WEIGHTS = Table(
    name="weights",
    meaning="Weight of each ensemble member.",
    key=("series_group", "horizon", "model"),
    columns=(
        Column("series_group", "VARCHAR", "", "as in scores, or all"),
        Column("horizon", "INTEGER", "steps", "steps ahead"),
        Column("model", "VARCHAR", "", "member"),
        Column("weight", "DOUBLE", "0 to 1", "weights of a group and horizon sum to 1"),
    ),
)

GATES = Table(
    name="gates",
    meaning="Members left out, and why.",
    key=("series_group", "horizon", "model"),
    columns=(
        Column("model", "VARCHAR", "", "member"),
        Column("series_group", "VARCHAR", "", "as in scores"),
        Column("horizon", "INTEGER", "steps", "steps ahead"),
        Column(
            "reason",
            "VARCHAR",
            "",
            "not better than last value, no outcomes to judge it by, or how it failed",
        ),
    ),
)

ALARMS = Table(
    name="alarms",
    meaning="Drift of prices or of losses.",
    key=("time_utc", "series_group", "detector"),
    columns=(
        Column("time_utc", "TIMESTAMPTZ", "UTC", "look at which it was raised"),
        Column("series_group", "VARCHAR", "", "provider/purchase option/GPU model"),
        Column(
            "detector",
            "VARCHAR",
            "",
            "ks (moves unlike those of the reference), page_hinkley (losses above usual), adwin "
            "(losses at a new mean)",
        ),
        Column(
            "statistic",
            "DOUBLE",
            "see detector",
            "ks: distance, 0 to 1; else the loss of the look, mean absolute log change",
        ),
        Column(
            "threshold",
            "DOUBLE",
            "see detector",
            "ks: distance; page_hinkley: usual losses, summed up; adwin: probability",
        ),
        Column("action", "VARCHAR", "", "what it calls for: look, re-weight or refit"),
    ),
)

PLAN = Table(
    name="plan",
    meaning="What to rent for whom.",
    key=("offer_id", "workload", "period"),
    columns=(
        OFFER_ID,
        Column("workload", "VARCHAR", "", "name in the demand file"),
        Column("period", "INTEGER", "", "number of the period, from 0"),
        Column("instances", "DOUBLE", "instances", "held in the period"),
        Column("hours", "DOUBLE", "h", "hours each instance is paid for in the period"),
        Column(
            "expected_cost_usd",
            "DOUBLE",
            "USD",
            "expected rent and fees in the period, rework included; hours bought elsewhere stand "
            "beside it (fallback_usd)",
        ),
        Column(
            "fees_usd",
            "DOUBLE",
            "USD",
            "of this fees of sites, boot disks and data moved: what is not rent",
        ),
        Column(
            "observed_at",
            "TIMESTAMPTZ",
            "UTC",
            "when the price rented at was last observed; null: a commitment held",
            nullable=True,
        ),
    ),
)

RISK = Table(
    name="risk",
    meaning="Risk of the plan. Cost and loss are positive; VaR at 0.95 is the 95 % quantile of "
    "the cost increase over the expected cost.",
    key=("measure", "level", "horizon_h", "scope"),
    columns=(
        Column(
            "measure",
            "VARCHAR",
            "",
            "expected_cost and its parts rent, fees and fallback, budget, var, cvar, "
            "probability_over_budget, unmet_gpu_hours, "
            "unmet_share_*, commitment_paid, commitment_unused; by name component_var, "
            "component_cvar (they sum to the whole), incremental_cvar (what goes with the name) "
            "and marginal_cvar (of a dollar more spent there)",
        ),
        Column("level", "DOUBLE", "0 to 1", "confidence; null where none applies", nullable=True),
        Column("horizon_h", "DOUBLE", "h", "hours ahead"),
        Column(
            "value_usd",
            "DOUBLE",
            "USD",
            "the measure; probability_over_budget and unmet_share_* are shares, unmet_gpu_hours "
            "are hours",
        ),
        Column("standard_error_usd", "DOUBLE", "USD", "sampling error", nullable=True),
        Column(
            "scope",
            "VARCHAR",
            "",
            "total, horizon (the total at another horizon), risk:price, risk:capacity, "
            "risk:commitment, provider:x, region:x, gpu:x or offer:x",
        ),
    ),
)

HAZARDS = Table(
    name="hazards",
    meaning="What the plan costs under each hazard of spot. USD over the horizon.",
    key=("hazard",),
    columns=(
        Column("hazard", "VARCHAR", "", "preset of the assumptions"),
        Column("expected_cost_usd", "DOUBLE", "USD", "rent, fees and hours bought at fallbacks"),
        Column("standard_error_usd", "DOUBLE", "USD", "sampling error of the expected cost"),
        Column("level", "DOUBLE", "0 to 1", "confidence"),
        Column("cost_at_level_usd", "DOUBLE", "USD", "cost that is not exceeded at the level"),
        Column("probability_over_budget", "DOUBLE", "0 to 1", "share of sample paths"),
        Column("probability_unmet", "DOUBLE", "0 to 1", "that some hour is not replaced at all"),
        Column("unmet_gpu_hours", "DOUBLE", "GPU-h", "expected; not priced"),
    ),
)

STRESS = Table(
    name="stress",
    meaning="What shocks and episodes of the record cost, with the plan held and with recourse. "
    "USD over the horizon.",
    key=("scenario",),
    columns=(
        Column("scenario", "VARCHAR", "", "base, or a scenario of data/scenarios.yaml"),
        Column("expected_cost_usd", "DOUBLE", "USD", "the plan held"),
        Column("loss_usd", "DOUBLE", "USD", "expected cost above the base's, the plan held"),
        Column(
            "recourse_loss_usd",
            "DOUBLE",
            "USD",
            "the same where the plan may be made anew, moves included",
        ),
        Column("level", "DOUBLE", "0 to 1", "confidence of VaR and CVaR"),
        Column("var_usd", "DOUBLE", "USD", "over the scenario's own expected cost, the plan held"),
        Column("cvar_usd", "DOUBLE", "USD", "over the scenario's own expected cost, the plan held"),
        Column("probability_over_budget", "DOUBLE", "0 to 1", "share of worlds, the plan held"),
        Column("unmet_gpu_hours", "DOUBLE", "GPU-h", "expected, the plan held; not priced"),
        Column("recourse_unmet_gpu_hours", "DOUBLE", "GPU-h", "expected, with recourse"),
    ),
)

REVERSE_STRESS = Table(
    name="reverse_stress",
    meaning="The smallest change that breaks a limit, the plan held.",
    key=("limit", "factor"),
    columns=(
        Column(
            "limit",
            "VARCHAR",
            "",
            "budget (expected cost) or cvar (mean of the worst worlds, 5 % unless asked otherwise)",
        ),
        Column(
            "factor", "VARCHAR", "", "price, volatility, availability, demand, cost, or together"
        ),
        Column(
            "change",
            "DOUBLE",
            "share",
            "of the factor, 0.2 is 20 % more; for together the share of each one's own change; "
            "null where none breaks it",
            nullable=True,
        ),
    ),
)

LOOKBACK = Table(
    name="lookback",
    meaning="What each policy would have paid, step by step, at the prices that came.",
    key=("policy", "period_utc"),
    columns=(
        Column("policy", "VARCHAR", "", "advice or an alternative"),
        Column("period_utc", "TIMESTAMPTZ", "UTC", "start of the step"),
        Column("cost_usd", "DOUBLE", "USD", "paid in the step: rent, rework, site fees and moves"),
        Column("moves", "DOUBLE", "GPU", "GPUs taken up at an offer where they were not before"),
    ),
)

HEADLINE = Table(
    name="headline",
    meaning="The figures that stand first on the summary of a run.",
    key=("name",),
    columns=(
        Column("name", "VARCHAR", "", "short, the same in every run"),
        Column("meaning", "VARCHAR", "", "what the figure is, in words"),
        Column("value", "DOUBLE", "see unit", "the figure", nullable=True),
        Column("unit", "VARCHAR", "", "of the value: USD, share, GPU or days"),
    ),
)

ASSUMPTIONS = Table(
    name="assumptions",
    meaning="Figures no record gives, used by the run.",
    key=("name",),
    columns=(
        Column("name", "VARCHAR", "", "what is assumed"),
        Column("value", "DOUBLE", "see unit", "the figure"),
        Column("unit", "VARCHAR", "", "of the value"),
        Column("source", "VARCHAR", "", "where it comes from, or why it was chosen"),
        Column("date", "VARCHAR", "", "when it was noted"),
    ),
)

RUN_TABLES = {
    table.name: table
    for table in (
        OFFERS,
        OFFER_STATES,
        SOURCES,
        FORECAST,
        PATHS,
        SCORES,
        WEIGHTS,
        GATES,
        ALARMS,
        PLAN,
        RISK,
        HAZARDS,
        STRESS,
        REVERSE_STRESS,
        LOOKBACK,
        HEADLINE,
        ASSUMPTIONS,
    )
}
"""The tables of a run, by name."""
