"""data/README.md holds the dictionary of the schema, which this prints: ``python tests/test_dictionary.py``."""

from cloudarb_lib.base import locations
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.stored_schema import STORED

BEGIN, END = "<!-- dictionary: python tests/test_dictionary.py -->", "<!-- end of dictionary -->"


def dictionary() -> str:
    """Return the data dictionary as Markdown."""
    lines: list[str] = []
    for title, tables in (("Stored tables", STORED), ("Tables that stages hand over", RUN_TABLES)):
        lines += [f"### {title}", ""]
        for table in tables.values():
            lines += [
                f"#### {table.name}",
                "",
                table.meaning,
                "",
                f"Key: {', '.join(table.key)}.",
                "",
            ]
            lines += ["| column | type | unit | meaning | null |", "|---|---|---|---|---|"]
            lines += [
                f"| {c.name} | {c.dtype} | {c.unit} | {c.meaning} | {'yes' if c.nullable else ''} |"
                for c in table.columns
            ]
            lines.append("")
    return "\n".join(lines)


def test_the_readme_holds_the_generated_dictionary() -> None:
    text = (locations.data() / "README.md").read_text()
    kept = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()
    assert kept == dictionary().strip(), (
        f"put what `python tests/test_dictionary.py` prints between {BEGIN} and {END}"
    )


def test_every_bundled_file_has_its_source() -> None:
    text = (locations.data() / "README.md").read_text()
    for path in locations.data().iterdir():
        if path.suffix in (".parquet", ".csv"):
            assert f"| {path.name} |" in text
    assert sum(p.stat().st_size for p in locations.data().glob("*.*") if p.is_file()) < 5_000_000


if __name__ == "__main__":
    print(dictionary())
