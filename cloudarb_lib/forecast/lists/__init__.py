"""List prices: one simulator of the dates on which a provider reviews its prices.

``book`` reads a price list's record, ``timing`` says when reviews come, ``rates`` who takes part,
``persistence`` which way, ``sizes`` how far, ``concordance`` how alike places do all that;
``simulator`` draws joint paths, ``clock`` learns at which pace from ``outcomes``, ``rolling`` hands
them over.
"""
