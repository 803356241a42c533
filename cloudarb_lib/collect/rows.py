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
from cloudarb_lib.schema import PRICE_KINDS, PURCHASE_OPTIONS, STORED, TERMS, nearest

REASONS = {
    "missing_column": "is not there; give every column that the table needs",
    "unknown_column": "is no column of the table; remove or rename it",
    "row_unreadable": "does not end as CSV should; check its quotes",
    "price_not_a_number": "is not a number; write 1.25, or leave it empty for a withdrawn offer",
    "price_negative": "is negative; a price is above zero",
    "price_zero": "is zero; leave it empty for a withdrawn offer",
    "price_infinite": "is infinite or too large; give the price in USD per hour",
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
_WORKED_OUT = {*_IGNORED, "purchase_option", "term", "price_kind"}
_NEEDED = ("provider", "region", "instance_type", "purchase_option", "effective_at", "price_usd_per_hour")
_OPTIONS = {o: (o, "") for o in PURCHASE_OPTIONS} | {f"reserved_{t}": ("reserved", t) for t in TERMS[1:]}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.I)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)? ?(?P<zone>Z|UTC|[+-]\d\d:?(\d\d)?)?", re.I
)


@dataclass(frozen=True)
class Parsed:
    """Rows of one piece of a file, for ``table``: ``good`` typed and with ``line``, ``bad`` with
    line, reason, detail and row_text."""

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

    def text(self, name: str, default: str, empty: str) -> None:
        """Take a column of words; ``empty`` is the reason to refuse a row without one."""
        words = _words(self.column(name), lambda w: (w.lower() if name == "provider" else w) or default)
        self.refuse(
            _where(words, lambda w: not w.isprintable() or "/" in w or "\ufffd" in w), "key_not_plain", name
        )
        if empty:
            self.refuse(_where(words, lambda w: not w), empty, name)
        self.good[name] = words

    def number(self, name: str, what: str) -> np.ndarray:
        """Take a column of numbers, NaN where empty."""
        column = self.column(name)
        if column.dtype.kind not in "fiu":
            words = _words(column)
            found = [float(w) if _NUMBER.fullmatch(w) else np.nan for w in words.categories]
            column = pd.Series(np.array(found)[words.codes])
            self.refuse(column.isna().to_numpy() & _where(words, bool), f"{what}_not_a_number", name)
        values = self.good[name] = column.to_numpy(float)
        self.refuse(np.isinf(values) & (what != "price"), "value_not_a_number", name)
        return values

    def time(self, name: str) -> None:
        """Take a column of times; naive, unreadable and future ones are refused."""
        column = self.column(name)
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            times = pd.DatetimeIndex(column).tz_convert("UTC").as_unit("us")
        else:
            words = _words(column)
            found = [_TIME.fullmatch(w) for w in words.categories]
            texts = [m[0] if m else None for m in found]
            parsed = pd.to_datetime(
                pd.Series(texts, dtype=object), utc=True, format="ISO8601", errors="coerce"
            )
            times = pd.DatetimeIndex(parsed).as_unit("us")[words.codes]
            naive = np.array([m is not None and m["zone"] is None for m in found], bool)[words.codes]
            self.refuse(naive & np.asarray(times.notna()), "time_naive", name)
        self.refuse(np.asarray(times.isna()), "time_unreadable", name)
        self.refuse(np.asarray(times > self._now), "time_future", name)
        self.good[name] = times

    def parsed(self, table: str) -> Parsed:
        wrong = self._reason != ""
        fields = self._raw[wrong].drop(columns="line").map(lambda v: "" if pd.isna(v) else str(v))
        rows = [
            (line, reason, f"{column} {getattr(row, column, '')[:60]!r}", ",".join(row))
            for line, reason, column, row in zip(
                self._raw["line"][wrong],
                self._reason[wrong],
                self._column[wrong],
                fields.itertuples(index=False),
                strict=True,
            )
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
    rows, prices = _Rows(raw.rename(columns=ALIASES), now), table == "price_events"
    defaults = {"region": "unstated", "source": source, "currency": "USD"} if prices else {}
    for column in STORED[table].columns:
        name = column.name
        if prices and name in _WORKED_OUT:
            continue
        if prices and name == "observed_at" and name not in raw:
            rows.good[name] = rows.good["effective_at"]
        elif column.dtype == "TIMESTAMPTZ":
            rows.time(name)
        elif column.dtype == "VARCHAR":
            needed = "empty_key" if name in STORED[table].key else "empty_value"
            rows.text(name, defaults.get(name, ""), "" if column.nullable or name == "zone" else needed)
        else:
            values = rows.number(name, "price" if prices and name.startswith("price") else "value")
            if column.dtype != "DOUBLE":
                fits = (values >= 0) & (values < 2**31) & (values == np.floor(values))
                rows.refuse(~fits & ~np.isnan(values), "value_not_a_number", name)
            if not column.nullable:
                rows.refuse(np.isnan(values), "empty_value", name)
    if prices:
        _offer_words(rows)
    if "gpu_model" in rows.good:
        pairs = zip(rows.good["gpu_model"], rows.good["gpu_memory_gib"], strict=True)
        rows.good["gpu_model"] = pd.Series([canonical(m, g) for m, g in pairs], dtype=object)
    return rows.parsed(table)


def _offer_words(rows: _Rows) -> None:
    """Take option, term and kind of prices, which depend on each other, and check their values."""
    price = rows.good["price_usd_per_hour"]
    for reason, wrong in (("infinite", np.isinf(price)), ("negative", price < 0), ("zero", price == 0)):
        rows.refuse(wrong, f"price_{reason}", "price_usd_per_hour")
    rows.refuse(
        _where(rows.good.pop("currency"), lambda w: w.upper() != "USD"), "currency_not_usd", "currency"
    )
    option, term, kind = (_words(rows.column(name)) for name in ("purchase_option", "term", "price_kind"))
    rows.refuse(_where(option, lambda w: w not in _OPTIONS), "unknown_purchase_option", "purchase_option")
    rows.refuse(_where(kind, lambda w: w not in ("", *PRICE_KINDS)), "unknown_price_kind", "price_kind")
    pairs = [(*_OPTIONS.get(o, (o, "")), t) for o in option.categories for t in term.categories]
    pair = option.codes.astype(np.int32) * len(term.categories) + term.codes
    fits = [
        (o == "reserved") == bool(t or i) and (t or i) in TERMS and t in ("", i or t) for o, i, t in pairs
    ]
    rows.refuse(~np.array(fits, bool)[pair], "unknown_term", "term")
    rows.good["purchase_option"] = _recode(pair, [o for o, _, _ in pairs])
    rows.good["term"] = _recode(pair, [t or i for _, i, t in pairs])
    aws_spot = _where(rows.good["provider"], lambda w: w == "aws") & _where(option, lambda w: w == "spot")
    usual = [w or default for w in kind.categories for default in PRICE_KINDS]
    rows.good["price_kind"] = _recode(kind.codes.astype(np.int32) * 2 + aws_spot, usual)
