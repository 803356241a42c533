"""How a purchase option and the term of a commitment may be written (options.csv, terms.csv)."""

from __future__ import annotations

from pathlib import Path

from cloudarb_lib.sources.names.spellings import key_of, rows_of, spellings_in

_FOLDER = Path(__file__).parent
TERMS = spellings_in(rows_of(_FOLDER / "terms.csv"), "term")
"""The term of each spelling, as ``spellings.key_of`` gives it."""


def _options() -> dict[str, tuple[str, str]]:
    """Return option and term of each spelling; a commitment may name its term before or behind."""
    found = {}
    for spelling, option in spellings_in(
        rows_of(_FOLDER / "options.csv"), "purchase_option"
    ).items():
        found[spelling] = (option, "")
        if option == "reserved":
            for term_spelling, term in TERMS.items():
                found[spelling + term_spelling] = (option, term)
                found[term_spelling + spelling] = (option, term)
    return found


OPTIONS = _options()
"""Purchase option and term ('' where it names none) of each spelling."""


def canonical_option(option: str, term: str = "") -> tuple[str, str] | None:
    """Return purchase option and term as they are stored, None where they do not fit.

    Parameters
    ----------
    option : str
        As written, such as ``On-Demand`` or ``Commit1Yr``.
    term : str
        As written, '' where nothing is.
    """
    if key_of(option) not in OPTIONS:
        return None
    name, own_term = OPTIONS[key_of(option)]
    stated = TERMS.get(key_of(term)) if term else own_term
    if stated is None or (own_term and own_term != stated):
        return None
    return (name, stated) if bool(stated) == (name == "reserved") else None
