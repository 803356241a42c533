"""A run with a deadline: spot machines with on-demand behind them, and how likely it is late."""
