"""Methods that were tried beside the product's own, for notebook 06: nothing here is wired into it.

What helps moves into the product; what does not stays a row of that notebook's table.
"""

from cloudarb_lib.research import (
    annealing,
    explanations,
    federated,
    forecasters,
    foundation,
    needs,
    relaxation,
    verdicts,
)
from cloudarb_lib.research.costs import CpuClock
from cloudarb_lib.research.panels import market_panel, tick_panel
