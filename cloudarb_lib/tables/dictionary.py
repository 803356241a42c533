"""The data dictionary of data/README.md: ``python -m cloudarb_lib.tables.dictionary`` prints it."""

from __future__ import annotations

from collections.abc import Iterable

from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.schema import Table
from cloudarb_lib.tables.stored_schema import STORED


def dictionary() -> str:
    """Return the data dictionary as Markdown."""
    stored = _section("Stored tables", STORED.values())
    handed_over = _section("Tables that stages hand over", RUN_TABLES.values())
    return "\n".join([*stored, *handed_over])


def _section(title: str, tables: Iterable[Table]) -> list[str]:
    """Return the lines of some tables under one title."""
    lines = [f"### {title}", ""]
    for table in tables:
        lines += [f"#### {table.name}", "", table.meaning, ""]
        lines += [f"Key: {', '.join(table.key)}.", ""]
        lines += ["| column | type | unit | meaning | null |", "|---|---|---|---|---|"]
        for column in table.columns:
            null = "yes" if column.nullable else ""
            cells = (column.name, column.dtype, column.unit, column.meaning, null)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return lines


if __name__ == "__main__":
    print(dictionary())
