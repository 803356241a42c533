"""Prices from providers and files: what reads does I/O, parse functions are pure."""
