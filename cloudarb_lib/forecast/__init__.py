"""Forecasts: members, ensemble, calibration."""
