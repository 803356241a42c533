"""Which feeds there are."""

from __future__ import annotations

from collections.abc import Sequence

from cloudarb_lib.base.discovery import classes_in
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.live import feeds as package
from cloudarb_lib.live.feed import Feed


def registered() -> list[Feed]:
    """Return a feed of each kind that a module of ``live.feeds`` defines, by name."""
    kinds = classes_in(package, Feed)  # type: ignore[type-abstract]
    return sorted((kind() for kind in kinds), key=lambda feed: feed.name)


def chosen(names: Sequence[str]) -> list[Feed]:
    """Return the feeds of these providers, or of these names; each where none is named.

    Raises
    ------
    ParameterError
        Names what is neither.
    """
    known = registered()
    words = sorted({word for feed in known for word in (feed.name, feed.provider)})
    for name in names:
        if name not in words:
            what = f"no feed or provider {name!r}{did_you_mean(name, words)}."
            raise ParameterError(what, f"Name some of {', '.join(words)}.")
    return [feed for feed in known if not names or {feed.name, feed.provider} & set(names)]
