"""List prices: one simulator of the dates on which a provider reviews its prices.

``book`` reads a price list's record, ``timing`` says when reviews come, ``rates`` who takes part
and which way, ``sizes`` how far; ``simulator`` draws joint paths of all that, ``rolling``
calibrates them at each origin.
"""
