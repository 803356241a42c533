"""What can be rented, what it costs, how prices move: plain functions on events, offers, panels.

Percentages are in percent (5.0 is 5 %), prices per GPU in USD per GPU-hour. Column ``option`` is
the purchase option in words: spot, on demand, 1 year, 3 years.
"""

from cloudarb_lib.market.explore.availability import availability
from cloudarb_lib.market.explore.changes import price_changes, price_changes_by_site
from cloudarb_lib.market.explore.left_out import cheaper_left_out, left_out, left_out_in_words
from cloudarb_lib.market.explore.moves import moves, step_table
from cloudarb_lib.market.explore.over_time import price_history, volatility
from cloudarb_lib.market.explore.places import by_site, discounts, landscape
from cloudarb_lib.market.explore.providers import by_provider, compared_in_words
from cloudarb_lib.market.explore.sold import sold_in_words
from cloudarb_lib.market.explore.spreads import saving_kept_pct, spreads
from cloudarb_lib.market.explore.words import (
    offer_in_words,
    pools_in_words,
    provider_name,
    term_in_words,
)

__all__ = [
    "availability",
    "by_provider",
    "by_site",
    "cheaper_left_out",
    "compared_in_words",
    "discounts",
    "landscape",
    "left_out",
    "left_out_in_words",
    "moves",
    "offer_in_words",
    "pools_in_words",
    "price_changes",
    "price_changes_by_site",
    "price_history",
    "provider_name",
    "saving_kept_pct",
    "sold_in_words",
    "spreads",
    "step_table",
    "term_in_words",
    "volatility",
]
