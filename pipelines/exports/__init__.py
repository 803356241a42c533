"""Prices, plans and forecasts in the shapes that other programs read; each is a function."""
