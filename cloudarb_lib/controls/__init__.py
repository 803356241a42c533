"""Controls for the notebooks: asked again with other figures, the picture follows in place.

Each function returns a widget where a person runs the notebook, and nothing where a batch run, a
test or a file does (``base.audience``).
"""

from cloudarb_lib.controls.costs import risk
from cloudarb_lib.controls.forecasts import forecast
from cloudarb_lib.controls.plans import allocation
from cloudarb_lib.controls.prices import explore
from cloudarb_lib.controls.replanning import Case
