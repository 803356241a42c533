"""What a table is: its columns with their types, units and meanings, and its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["VARCHAR", "DOUBLE", "INTEGER", "BIGINT", "TIMESTAMPTZ", "BOOLEAN"]
"""Types of DuckDB that our tables use."""

PURCHASE_OPTIONS = ("on_demand", "spot", "reserved")
TERM_YEARS = {"1y": 1, "3y": 3, "1y-plan": 1, "3y-plan": 3}
"""Terms of commitments: to a machine, or (``-plan``) to spending by the hour, a savings plan."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Its name.
    dtype : str
        Its type in DuckDB; ``validation`` says which pandas types stand for it.
    unit : str
        What its values are measured in, '' where nothing applies.
    meaning : str
        What it says, for the data dictionary.
    nullable : bool
        Whether null is legal.
    """

    name: str
    dtype: ColumnType
    unit: str
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One table.

    Parameters
    ----------
    name : str
        Its name.
    meaning : str
        What a row says, for the data dictionary.
    key : tuple of str
        The columns that identify a row.
    columns : tuple of Column
        All columns, in order.
    """

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    def ddl(self) -> str:
        """Return the statement that creates the stored table."""
        columns = [
            f"{column.name} {column.dtype}{'' if column.nullable else ' NOT NULL'}"
            for column in self.columns
        ]
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(columns)})"


OFFER = (
    Column("provider", "VARCHAR", "", "who rents it out, lower case"),
    Column(
        "region", "VARCHAR", "", "the provider's region; 'unstated' where the source names none"
    ),
    Column("zone", "VARCHAR", "", "availability zone, empty where the price is regional"),
    Column("instance_type", "VARCHAR", "", "the provider's machine name"),
    Column("purchase_option", "VARCHAR", "", "on_demand, spot or reserved"),
    Column(
        "term",
        "VARCHAR",
        "",
        "commitment: 1y or 3y to the machine, 1y-plan or 3y-plan to spending (savings"
        " plan); empty unless reserved",
    ),
)
"""What identifies an offer: the columns ``types.OFFER_PARTS``."""

OFFER_ID = Column(
    "offer_id", "VARCHAR", "", "provider/region/zone/instance_type/purchase_option/term"
)
