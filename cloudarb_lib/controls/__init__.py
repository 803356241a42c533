"""Controls for the notebooks: asked again with other figures, the picture follows in place."""

from cloudarb_lib.controls.entry import allocation, explore, forecast, risk
