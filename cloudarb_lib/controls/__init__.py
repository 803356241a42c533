"""Controls for the notebooks: asked again with other figures, the picture follows in place.

Each function returns a widget where a person runs the notebook, and nothing where a batch run, a
test or a file does (``base.audience``).
"""

from cloudarb_lib.controls.allocation import allocation
from cloudarb_lib.controls.explore import explore
from cloudarb_lib.controls.forecast import forecast
from cloudarb_lib.controls.risk import risk
