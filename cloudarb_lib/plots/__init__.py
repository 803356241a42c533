"""Every figure: functions that return a plotly Figure, never show it and never save it."""

from cloudarb_lib.plots.style import COLOURS, figure, nothing
