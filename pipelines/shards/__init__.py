"""Forecasts in shards: a graph of jobs, here or in a batch queue, that leave tables by region."""
