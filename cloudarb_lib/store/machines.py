"""Machines of the files of a call: which come first, and what is not known of them.

Temporary table ``brought`` of the writer's connection, for one call: provider, instance_type and
the number of price rows that the files brought of it (0 where they only specify it).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import duckdb

from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.sources.base import OWN_COLUMNS
from cloudarb_lib.sources.names.gpus import MODELS
from cloudarb_lib.sources.names.providers import PROVIDERS, SPELLINGS
from cloudarb_lib.sources.names.spellings import key_of
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.columns import columns_of

LARGEST_LIST_OF_MACHINES = 2**23
"""Bytes; a larger file is one of prices."""
_ALIKE = 0.8
_NAMED = 3
"""Examples that a notice gives."""


def machines_first(batches: Sequence[Batch]) -> list[Batch]:
    """Return files of a call, those that specify machines before the prices that may need them.

    Files that are parts of named observations stay in their order.
    """
    if len(batches) < 2 or any(batch.look for batch in batches):
        return list(batches)
    return sorted(batches, key=lambda batch: not _specifies_machines(batch))


def _specifies_machines(batch: Batch) -> bool:
    """Tell whether the first rows of a file are of table instances; False where none are read."""
    try:
        if batch.path.stat().st_size > LARGEST_LIST_OF_MACHINES:
            return False
        piece = next(batch.read(), None)
        if piece is None or OWN_COLUMNS not in piece.tables:
            return False
        names = piece.tables[OWN_COLUMNS].schema.names[:-1]
        return columns_of(names, OWN_COLUMNS).table == "instances"
    except (DataError, OSError):  # told when its turn comes
        return False


class MachinesBrought:
    """What the files of a call bring of machines, and what nobody told of them."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        con.execute("""
            CREATE OR REPLACE TEMP TABLE brought AS
            SELECT provider, instance_type, 0::BIGINT AS prices FROM instances LIMIT 0
        """)

    def note(self, table: str) -> None:
        """Count the rows that wait in ``staged_TABLE``, where they are of machines."""
        if table == "price_events":
            self._con.execute("""
                INSERT INTO brought
                SELECT provider, instance_type, sum(prices)
                FROM (SELECT combination, count(*) AS prices FROM staged_prices GROUP BY ALL)
                JOIN combinations USING (combination)
                GROUP BY ALL
            """)
        if table == "instances":
            self._con.execute("""
                INSERT INTO brought
                SELECT DISTINCT provider, instance_type, 0 FROM staged_instances
            """)

    def notices(self) -> list[str]:
        """Return sentences on names that nothing is known of, with the rows that this concerns."""
        return [*self._unknown_providers(), *self._unspecified_machines(), *self._unknown_gpus()]

    def _unknown_providers(self) -> list[str]:
        rows = self._con.execute(
            f"""
            SELECT provider, sum(prices)::BIGINT
            FROM brought
            WHERE provider NOT IN ({", ".join("?" * len(PROVIDERS))})
                AND provider NOT IN (SELECT provider FROM instances)
            GROUP BY provider
            HAVING sum(prices) > 0
            ORDER BY provider
        """,
            list(PROVIDERS),
        ).fetchall()
        return [
            f"provider {provider!r} is none that we know{_perhaps(provider)}: {_rows(prices)} of it"
            for provider, prices in rows
        ]

    def _unspecified_machines(self) -> list[str]:
        query = """
            SELECT concat_ws(' ', provider, instance_type) AS machine, sum(prices)::BIGINT AS prices
            FROM brought ANTI JOIN instances USING (provider, instance_type)
            GROUP BY machine
            ORDER BY prices DESC, machine
        """
        rows = self._con.execute(query).fetchall()
        if not rows:
            return []
        prices = sum(count for _, count in rows)
        return [
            f"{_rows(prices)} {'is' if prices == 1 else 'are'} of machines without a specification"
            f" ({_examples([machine for machine, _ in rows])}): in no plan for GPUs until they"
            " have one: give columns gpu_model and gpu_count (vcpus and memory_gib too) beside the"
            " prices, or a table of machines with provider and instance_type"
        ]

    def _unknown_gpus(self) -> list[str]:
        query = f"""
            SELECT gpu_model, count(DISTINCT (provider, instance_type))
            FROM instances SEMI JOIN brought USING (provider, instance_type)
            WHERE gpu_model NOT IN ({", ".join("?" * len(MODELS))})
            GROUP BY gpu_model
            ORDER BY gpu_model
        """
        return [
            f"GPU {model!r} is no model that we know{did_you_mean(model, sorted(MODELS))}: only a"
            f" workload that names it so takes its {count:,} machine{'s' if count > 1 else ''}"
            for model, count in self._con.execute(query, sorted(MODELS)).fetchall()
        ]


def _perhaps(provider: str) -> str:
    """Return the provider whose spelling is most like a name, as a question in brackets, or ''."""
    close = difflib.get_close_matches(key_of(provider), SPELLINGS, n=1, cutoff=_ALIKE)
    return f" (did you mean {SPELLINGS[close[0]]!r}?)" if close else ""


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _examples(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else shown
