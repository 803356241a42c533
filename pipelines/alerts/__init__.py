"""Alerts: rules on the runs of a configuration, each told once until it clears."""
