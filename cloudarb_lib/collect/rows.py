"""Rows of our own tables: good ones typed, bad ones with line, reason and a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.gpus import canonical
from cloudarb_lib.schema import PRICE_KINDS, PURCHASE_OPTIONS, STORED, TERMS, nearest

REASONS = {
    "missing_column": "the row lacks it; give every column that table needs",
    "unknown_column": "the table has no such column; remove or rename it",
    "row_unreadable": "the line does not end as CSV should; check its quotes",
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
    "count_not_whole": "is not a whole number of offers; give 0 or more, or leave it empty",
    "empty_key": "is empty, but names the offer; fill it in",
    "key_not_plain": "holds a slash or an unreadable character, which a name may not",
    "empty_value": "is empty; the table needs a value",
    "value_not_a_number": "is not a number that the column can hold",
    "product_not_linux": "is not a Linux price; only Linux offers are compared",
    "duplicate_disagrees": "differs from another row of the same offer and times; keep one",
}
"""Why a row goes to quarantine, and the way out."""
ALIASES = {"price_usd_hour": "price_usd_per_hour"}
IGNORED = ("offer_id", "quality", "flagged_at")
"""Columns of our own exports that ingestion works out itself."""
_NEEDED = (
    "provider", "region", "instance_type", "purchase_option", "price_usd_per_hour", "effective_at",
)  # fmt: skip
_OPTIONS = {
    **{name: (name, "") for name in PURCHASE_OPTIONS},
    "reserved_1y": ("reserved", "1y"),
    "reserved_3y": ("reserved", "3y"),
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.I)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?)? ?(?P<zone>Z|UTC|[+-]\d\d:?(\d\d)?)?", re.I
)


@dataclass(frozen=True)
class Parsed:
    """Rows of one piece of a file: ``good`` is typed and has ``line``; ``bad`` is line, reason,
    detail, row_text. ``table`` names where the good ones belong."""

    table: str
    good: pd.DataFrame
    bad: pd.DataFrame


def bad_rows(rows: Sequence[tuple[int, str, str, str]]) -> pd.DataFrame:
    """Return (line, reason, detail, row_text) tuples as the frame ``Parsed.bad``."""
    return pd.DataFrame(rows, columns=["line", "reason", "detail", "row_text"])


def which_table(columns: Sequence[str]) -> str | None:
    """Return the stored table that the columns of a file belong to, None if none is likely."""
    names = {ALIASES.get(c, c) for c in columns}
    tables = [n for n in STORED if n not in ("ingest_log", "quarantine")]
    score = {n: len(names & set(STORED[n].names)) / len(STORED[n].names) for n in tables}
    score["price_events"] = len(names & set(_NEEDED)) / len(_NEEDED)
    best = max(tables, key=lambda n: score[n])
    return best if score[best] >= 0.5 else None


def check_header(columns: Sequence[str], table: str) -> tuple[str, str] | None:
    """Return (reason, detail) where the columns do not fit ``table``, else None."""
    known = list(STORED[table].names)
    names = [ALIASES.get(c, c) for c in columns]
    for name in names:
        if name not in known and name not in IGNORED:
            detail = f"column {name!r}{nearest(name, known)}: {REASONS['unknown_column']}."
            return "unknown_column", detail
    needed = _NEEDED if table == "price_events" else known
    for name in needed:
        if name not in names:
            return "missing_column", f"column {name!r}: {REASONS['missing_column']}."
    if len(set(names)) < len(names):
        return "unknown_column", f"column {max(names, key=names.count)!r} stands twice; keep one."
    return None


class _Marks:
    """The first reason found against each row, with the column it was found in."""

    def __init__(self, raw: pd.DataFrame) -> None:
        self._raw = raw
        self._reason = np.full(len(raw), "", object)
        self._column = np.full(len(raw), "", object)

    def add(self, mask: np.ndarray, reason: str, column: str) -> None:
        new = mask & (self._reason == "") if mask.any() else mask
        self._reason[new], self._column[new] = reason, column

    def split(self, table: str, good: pd.DataFrame) -> Parsed:
        at = np.flatnonzero(self._reason != "")
        raw = self._raw.drop(columns="line")
        shown = raw.iloc[at].astype(object)
        texts = [",".join("" if pd.isna(v) else str(v) for v in row) for row in shown.to_numpy()]
        rows = []
        for i, text in zip(at, texts, strict=True):
            column = self._column[i]
            value = raw[column].iloc[i] if column in raw else ""
            said = "" if pd.isna(value) else str(value)[:60]
            detail = f"{column} {said!r} {REASONS[self._reason[i]]}."
            rows.append((int(self._raw["line"].iloc[i]), self._reason[i], detail, text[:1000]))
        keep = good if not len(at) else good[self._reason == ""]
        return Parsed(table, keep, bad_rows(rows))


def _words(column: pd.Series, fix: Callable[[str], str] = str) -> pd.Categorical:
    """Return text stripped and fixed, one category per distinct word; empty where null."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, uniques = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, uniques = pd.factorize(column.astype(object))
    cleaned = [*(fix(str(u).strip()) for u in uniques), fix("")]
    return _recode(codes, cleaned)


def _recode(codes: np.ndarray, words: Sequence[str]) -> pd.Categorical:
    """Return ``words[codes]``, one category per distinct word."""
    again, distinct = pd.factorize(np.array(words, object))
    return pd.Categorical.from_codes(again[codes], distinct)


def _where(words: pd.Categorical, test: Callable[[str], bool]) -> np.ndarray:
    return np.array([test(w) for w in words.categories], bool)[words.codes]


def _number(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return values (NaN where empty) and which are not numbers."""
    if column.dtype.kind in "fiu":
        return column.to_numpy(float), np.zeros(len(column), bool)
    words = _words(column)
    values = np.array([float(w) if _NUMBER.fullmatch(w) else np.nan for w in words.categories])
    return values[words.codes], np.isnan(values)[words.codes] & _where(words, bool)


def _times(column: pd.Series, marks: _Marks, now: pd.Timestamp | None) -> pd.DatetimeIndex:
    """Return times in UTC; naive, unreadable and, given ``now``, later ones are marked."""
    name = str(column.name)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        times = pd.DatetimeIndex(column).tz_convert("UTC").as_unit("us")
    elif column.dtype.kind == "M":
        marks.add(column.notna().to_numpy(), "time_naive", name)
        times = pd.DatetimeIndex(column).tz_localize("UTC").as_unit("us")
    else:
        words = _words(column)
        found = [_TIME.fullmatch(w) for w in words.categories]
        naive = np.array([m is not None and m["zone"] is None for m in found], bool)
        texts = [w if m else None for w, m in zip(words.categories, found, strict=True)]
        parsed = pd.to_datetime(
            pd.Series(texts, dtype=object), utc=True, format="ISO8601", errors="coerce"
        )
        times = pd.DatetimeIndex(parsed).as_unit("us")[words.codes]
        marks.add(naive[words.codes] & ~times.isna(), "time_naive", name)
    marks.add(np.asarray(times.isna()), "time_unreadable", name)
    if now is not None:
        marks.add(np.asarray(times > now), "time_future", name)
    return times


def _plain(word: str) -> bool:
    return word.isprintable() and "/" not in word and "\ufffd" not in word


def parse_prices(raw: pd.DataFrame, *, source: str, now: pd.Timestamp) -> Parsed:
    """Return raw price rows (columns of price_events or their aliases, and ``line``) as Parsed.

    What a file may leave out: zone and term '', currency USD, observed_at = effective_at,
    source as given, price_kind market for AWS spot, else administered, offer_count unknown.
    """
    raw = raw.rename(columns=ALIASES)
    marks, n = _Marks(raw), len(raw)

    def column(name: str) -> pd.Series:
        return raw[name] if name in raw else pd.Series(np.full(n, None, object), name=name)

    good: dict[str, Any] = {"line": raw["line"].to_numpy(np.int64)}
    fixes = {"provider": str.lower, "region": lambda w: w or "unstated"}
    for name in ("provider", "region", "zone", "instance_type"):
        words = _words(column(name), fixes.get(name, str))
        if name in ("provider", "instance_type"):
            marks.add(_where(words, lambda w: not w), "empty_key", name)
        marks.add(_where(words, lambda w: not _plain(w)), "key_not_plain", name)
        good[name] = words
    option = _words(
        column("purchase_option"), lambda w: w.lower().replace("-", "_").replace(" ", "_")
    )
    marks.add(
        _where(option, lambda w: w not in _OPTIONS), "unknown_purchase_option", "purchase_option"
    )
    given = _words(column("term"))
    pairs = [
        (name, term or implied, (name == "reserved") == bool(term or implied) and (term or implied) in TERMS
         and (not implied or term in ("", implied)))
        for name, implied in (_OPTIONS.get(w, (w, "")) for w in option.categories)
        for term in given.categories
    ]  # fmt: skip
    pair = option.codes.astype(np.int32) * len(given.categories) + given.codes
    marks.add(~np.array([fits for *_, fits in pairs], bool)[pair], "unknown_term", "term")
    good["purchase_option"] = _recode(pair, [name for name, *_ in pairs])
    good["term"] = _recode(pair, [term for _, term, _ in pairs])
    currency = _words(column("currency"), lambda w: w.upper() or "USD")
    marks.add(_where(currency, lambda w: w != "USD"), "currency_not_usd", "currency")

    price, not_number = _number(column("price_usd_per_hour"))
    marks.add(not_number, "price_not_a_number", "price_usd_per_hour")
    marks.add(np.isinf(price), "price_infinite", "price_usd_per_hour")
    marks.add(price < 0, "price_negative", "price_usd_per_hour")
    marks.add(price == 0, "price_zero", "price_usd_per_hour")
    good["price_usd_per_hour"] = price
    effective = _times(column("effective_at"), marks, now)
    good["effective_at"] = effective
    good["observed_at"] = (
        _times(raw["observed_at"], marks, now) if "observed_at" in raw else effective
    )
    good["source"] = _words(column("source"), lambda w: w or source)
    spot = _where(good["provider"], lambda w: w == "aws") & _where(option, lambda w: w == "spot")
    kind = _words(column("price_kind"))
    marks.add(
        _where(kind, lambda w: w not in ("", *PRICE_KINDS)), "unknown_price_kind", "price_kind"
    )
    usual = [w or default for w in kind.categories for default in ("administered", "market")]
    good["price_kind"] = _recode(kind.codes.astype(np.int32) * 2 + spot, usual)
    count, not_number = _number(column("offer_count"))
    whole = np.isnan(count) | ((count >= 0) & (count < 2**31) & (count == np.floor(count)))
    marks.add(not_number | ~whole, "count_not_whole", "offer_count")
    good["offer_count"] = count
    return marks.split("price_events", pd.DataFrame(good, copy=False))


def parse_table(raw: pd.DataFrame, table: str, *, now: pd.Timestamp) -> Parsed:
    """Return raw rows of any other stored table as Parsed; GPU models get their one name."""
    marks = _Marks(raw)
    good: dict[str, Any] = {"line": raw["line"].to_numpy(np.int64)}
    for column in STORED[table].columns:
        values = raw[column.name]
        if column.dtype == "TIMESTAMPTZ":
            good[column.name] = _times(values, marks, now)
        elif column.dtype == "VARCHAR":
            words = _words(values, str.lower if column.name == "provider" else str)
            key = column.name in STORED[table].key
            marks.add(_where(words, lambda w: not _plain(w)), "key_not_plain", column.name)
            if not column.nullable:
                marks.add(
                    _where(words, lambda w: not w),
                    "empty_key" if key else "empty_value",
                    column.name,
                )
            good[column.name] = pd.Series(words.astype(object)).replace("", None)
        else:
            number, wrong = _number(values)
            part = (number != np.floor(number)) & ~np.isnan(number) & (column.dtype != "DOUBLE")
            marks.add(wrong | np.isinf(number) | part, "value_not_a_number", column.name)
            if not column.nullable:
                marks.add(np.isnan(number), "empty_value", column.name)
            good[column.name] = number
    frame = pd.DataFrame(good)
    if "gpu_model" in frame:
        pairs = zip(frame["gpu_model"], frame["gpu_memory_gib"], strict=True)
        frame["gpu_model"] = pd.Series([canonical(m, g) for m, g in pairs], dtype=object)
    return marks.split(table, frame)
