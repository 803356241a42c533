"""The allocation problem as numbers: what can run where, at what cost, within which limits."""
