"""Risk: the distribution of what a plan will cost."""
