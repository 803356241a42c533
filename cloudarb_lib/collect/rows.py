"""Rows of our own tables: good ones typed, bad ones with line, reason and a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError
from cloudarb_lib.gpus import canonical
from cloudarb_lib.schema import PRICE_KINDS, PURCHASE_OPTIONS, STORED, TERMS, Column, nearest

MOST_USD_PER_HOUR = 100_000.0
"""No machine costs more: the dearest of the bundled history asks 623 USD."""
REASONS = {
    "missing_column": "is not there; give every column that the table needs",
    "unknown_column": "is no column of the table; remove or rename it",
    "row_unreadable": "does not end as CSV should; check its quotes",
    "price_not_a_number": "is not a number; write 1.25, or leave it empty for a withdrawn offer",
    "price_negative": "is negative; a price is above zero",
    "price_zero": "is zero; leave it empty for a withdrawn offer",
    "price_infinite": "is infinite or too large; give the price in USD per hour",
    "price_beyond_reason": f"is above {MOST_USD_PER_HOUR:,.0f} USD per hour; check the unit and the currency",
    "time_naive": "has no time zone; add one, such as a trailing Z for UTC",
    "time_unreadable": "is not a time; write 2026-04-29T18:00:00Z",
    "time_future": "lies after the time of ingestion; check the clock and the zone",
    "unknown_purchase_option": f"is none of {', '.join(PURCHASE_OPTIONS)}",
    "unknown_term": "does not fit; a reserved price has term 1y or 3y, others none",
    "unknown_price_kind": f"is none of {', '.join(PRICE_KINDS)}",
    "currency_not_usd": "is not USD; convert the price, or leave the row out",
    "empty_key": "is empty, but names the row; fill it in",
    "key_not_plain": "holds a slash or an unreadable character, which a name may not",
    "empty_value": "is empty; the table needs a value",
    "value_not_a_number": "is not a number that the column can hold",
    "product_not_linux": "is not a Linux price; only Linux offers are compared",
    "duplicate_disagrees": "differs from another row of the same key; keep one",
}
"""Why a row goes to quarantine, and the way out."""
ALIASES = {"price_usd_hour": "price_usd_per_hour"}
_IGNORED = {"offer_id", "quality", "flagged_at"}  # of our own exports: ingestion works them out
_NEEDED = ("provider", "region", "instance_type", "purchase_option", "effective_at", "price_usd_per_hour")
# Option and term as they may be written, and what they mean.
_OFFERED = {(o, ""): (o, "") for o in ("on_demand", "spot")}
for _t in TERMS[1:]:
    _OFFERED |= dict.fromkeys(
        (("reserved", _t), (f"reserved_{_t}", ""), (f"reserved_{_t}", _t)), ("reserved", _t)
    )
_OPTIONS = {option for option, _ in _OFFERED}
_MAY_BE_EMPTY = ("zone", "term", "price_kind")
# Rules that a word may break, by column; '' stands for the other columns of words.
_WORD_RULES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "currency": ("currency_not_usd", lambda w: w.upper() != "USD"),
    "purchase_option": ("unknown_purchase_option", lambda w: w not in _OPTIONS),
    "price_kind": ("unknown_price_kind", lambda w: w not in ("", *PRICE_KINDS)),
    "": ("key_not_plain", lambda w: not w.isprintable() or "/" in w or "\ufffd" in w),
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.I)
_CLOCK, _ZONE = r"\d\d:\d\d(:\d\d([.,]\d+)?)?", r"(?P<zone>Z|UTC|[+-]\d\d:?(\d\d)?)"
_TIME = re.compile(rf"\d{{4}}-\d\d-\d\d([T ]{_CLOCK})? ?{_ZONE}?", re.I)


@dataclass(frozen=True)
class Parsed:
    """Rows of a piece of a file: ``good`` typed, with line; ``bad`` with line, reason, detail, row_text."""

    table: str
    good: pd.DataFrame
    bad: pd.DataFrame


def bad_rows(rows: Sequence[tuple[int, str, str, str]]) -> pd.DataFrame:
    """Return (line, reason, what, row text) tuples as ``Parsed.bad``; what becomes a sentence."""
    full = [(line, reason, f"{what} {REASONS[reason]}.", text[:1000]) for line, reason, what, text in rows]
    return pd.DataFrame(full, columns=["line", "reason", "detail", "row_text"])


def fit(columns: Sequence[str]) -> tuple[str, tuple[str, str] | None]:
    """Return the stored table that the columns of a file belong to, and (reason, what) where they
    do not quite fit; DataError if no table is likely."""
    names = [ALIASES.get(c, c) for c in columns]
    needed = {n: t.names for n, t in STORED.items() if n not in ("ingest_log", "quarantine")}
    needed["price_events"] = list(_NEEDED)
    share = {n: len(set(names) & set(c)) / len(c) for n, c in needed.items()}
    table = max(share, key=lambda n: share[n])
    if share[table] < 0.5:
        what = f"its columns, which begin {', '.join(names)[:80]!r}, are no table of ours."
        raise DataError(what, "See data/README.md for the tables; CSV needs a header line and commas.")
    known = STORED[table].names
    for name in names:
        if (name not in known and name not in _IGNORED) or names.count(name) > 1:
            return table, ("unknown_column", f"column {name!r}{nearest(name, known)}")
    missing = [n for n in needed[table] if n not in names]
    return table, ("missing_column", f"column {missing[0]!r}") if missing else None


def _number_off(values: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    """Return codes and distinct values; pandas' factorize would stop at a NUL character."""
    found: dict[Any, int] = {}
    return np.array([found.setdefault(v, len(found)) for v in values], np.int64), list(found)


def _recode(codes: np.ndarray, words: Sequence[str]) -> pd.Categorical:
    """Return ``words[codes]``, one category per distinct word."""
    again, distinct = _number_off(words)
    return pd.Categorical.from_codes(again[codes], pd.Index(distinct, dtype=object))


def _words(column: pd.Series, fix: Callable[[str], str] = str) -> pd.Categorical:
    """Return text stripped and fixed, one category per distinct word; null is the empty word."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, found = column.cat.codes.to_numpy(), [*column.cat.categories, None]  # null is -1
    else:
        codes, found = _number_off(column.tolist())
    return _recode(codes, [fix("" if pd.isna(v) else str(v).strip()) for v in found])


def _where(words: pd.Categorical, test: Callable[[str], bool]) -> np.ndarray:
    return np.array([test(w) for w in words.categories], bool)[words.codes]


class _Rows:
    """The typed columns of a piece, and the first thing found wrong with each row."""

    def __init__(self, raw: pd.DataFrame, now: pd.Timestamp) -> None:
        self._raw, self._now = raw, now
        self._reason = np.full(len(raw), "", object)
        self._column = np.full(len(raw), "", object)
        self.good: dict[str, Any] = {"line": raw["line"].to_numpy(np.int64)}

    def refuse(self, mask: np.ndarray, reason: str, column: str) -> None:
        if mask.any():
            new = mask & (self._reason == "")
            self._reason[new], self._column[new] = reason, column

    def column(self, name: str) -> pd.Series:
        return self._raw[name] if name in self._raw else pd.Series(np.full(len(self._raw), None), name=name)

    def text(self, column: Column, default: str, *, key: bool) -> None:
        """Take a column of words, ``default`` where they are empty."""
        name = column.name
        words = _words(self.column(name), lambda w: (w.lower() if name == "provider" else w) or default)
        reason, breaks = _WORD_RULES.get(name, _WORD_RULES[""])
        self.refuse(_where(words, breaks), reason, name)
        if not column.nullable and name not in _MAY_BE_EMPTY:
            self.refuse(_where(words, lambda w: not w), "empty_key" if key else "empty_value", name)
        self.good[name] = words

    def number(self, column: Column) -> None:
        """Take a column of numbers, NaN where empty."""
        name, given = column.name, self.column(column.name)
        what = "price" if name == "price_usd_per_hour" else "value"
        if given.dtype.kind not in "fiu":
            words = _words(given)
            found = [float(w) if _NUMBER.fullmatch(w) else np.nan for w in words.categories]
            given = pd.Series(np.array(found)[words.codes])
            self.refuse(given.isna().to_numpy() & _where(words, bool), f"{what}_not_a_number", name)
        values = self.good[name] = given.to_numpy(float)
        if what == "price":
            for reason, wrong in (
                ("infinite", np.isinf(values)),
                ("negative", values < 0),
                ("zero", values == 0),
                ("beyond_reason", values > MOST_USD_PER_HOUR),
            ):
                self.refuse(wrong, f"price_{reason}", name)
            return
        fits = np.isfinite(values)
        if column.dtype != "DOUBLE":
            fits &= (values >= 0) & (values < 2**31) & (values == np.floor(values))
        self.refuse(~fits & ~np.isnan(values), "value_not_a_number", name)
        if not column.nullable:
            self.refuse(np.isnan(values), "empty_value", name)

    def time(self, name: str) -> None:
        """Take a column of times; naive, unreadable and future ones are refused."""
        column = self.column(name)
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            times = pd.DatetimeIndex(column).tz_convert("UTC").as_unit("us")
        else:
            words = _words(column)
            found = [_TIME.fullmatch(w) for w in words.categories]
            texts = pd.Series([m[0] if m else None for m in found], dtype=object)
            parsed = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")
            times = pd.DatetimeIndex(parsed).as_unit("us")[words.codes]
            naive = np.array([m is not None and m["zone"] is None for m in found], bool)[words.codes]
            self.refuse(naive & np.asarray(times.notna()), "time_naive", name)
        self.refuse(np.asarray(times.isna()), "time_unreadable", name)
        self.refuse(np.asarray(times > self._now), "time_future", name)
        self.good[name] = times

    def parsed(self, table: str) -> Parsed:
        wrong = self._reason != ""
        fields = self._raw[wrong].drop(columns="line").map(lambda v: "" if pd.isna(v) else str(v))
        found = zip(self._raw["line"][wrong], self._reason[wrong], self._column[wrong], strict=True)
        rows = [
            (line, reason, f"{column} {row.get(column, '')[:60]!r}", ",".join(row.values()))
            for (line, reason, column), row in zip(found, fields.to_dict("records"), strict=True)
        ]
        return Parsed(table, pd.DataFrame(self.good, copy=False)[~wrong], bad_rows(rows))


def parse(raw: pd.DataFrame, *, source: str, now: pd.Timestamp) -> Parsed:
    """Return raw rows, any columns and ``line``, as Parsed; DataError if they are no table of ours.

    A price file may leave out zone and term '', region unstated, currency USD, observed_at =
    effective_at, source as given, price_kind market for AWS spot, else administered, and
    offer_count. GPU models get their one name.
    """
    table, wrong = fit([c for c in raw.columns if c != "line"])
    if wrong:
        texts = raw.drop(columns="line").astype(str).agg(",".join, axis=1) if len(raw) else ()
        bad = [(line, *wrong, text) for line, text in zip(raw["line"], texts, strict=True)]
        return Parsed(table, raw.iloc[:0], bad_rows(bad))
    rows = _Rows(raw.rename(columns=ALIASES), now)
    defaults = {"region": "unstated", "source": source, "currency": "USD"} if table == "price_events" else {}
    for column in STORED[table].columns:
        name = column.name
        if name == "observed_at" and name not in raw:
            rows.good[name] = rows.good["effective_at"]
        elif name not in _IGNORED:
            if column.dtype == "TIMESTAMPTZ":
                rows.time(name)
            elif column.dtype == "VARCHAR":
                rows.text(column, defaults.get(name, ""), key=name in STORED[table].key)
            else:
                rows.number(column)
    if table == "price_events":
        _offer_words(rows)
    if "gpu_model" in rows.good:
        pairs = zip(rows.good["gpu_model"], rows.good["gpu_memory_gib"], strict=True)
        rows.good["gpu_model"] = pd.Series([canonical(m, g) for m, g in pairs], dtype=object)
    return rows.parsed(table)


def _offer_words(rows: _Rows) -> None:
    """Settle option, term and kind of prices, which depend on each other."""
    option, term, kind = (rows.good[name] for name in ("purchase_option", "term", "price_kind"))
    pairs = [(o, t) for o in option.categories for t in term.categories]
    pair = option.codes.astype(np.int32) * len(term.categories) + term.codes
    rows.refuse(np.array([p not in _OFFERED for p in pairs], bool)[pair], "unknown_term", "term")
    for i, name in enumerate(("purchase_option", "term")):
        rows.good[name] = _recode(pair, [_OFFERED.get(p, p)[i] for p in pairs])
    aws_spot = _where(rows.good["provider"], lambda w: w == "aws") & _where(option, lambda w: w == "spot")
    usual = [w or default for w in kind.categories for default in PRICE_KINDS]
    rows.good["price_kind"] = _recode(kind.codes.astype(np.int32) * 2 + aws_spot, usual)
