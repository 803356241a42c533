"""CloudArb: price history, forecasts, allocation and risk for rented compute.

The package is thin: notebooks call one function of it per cell. Importing it loads
nothing heavy; each submodule imports its optional dependencies where they are used.
"""

__version__ = "0.1.0"
