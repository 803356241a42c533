"""Prices from providers: a file per source; fetch() does I/O, parse() is pure."""
