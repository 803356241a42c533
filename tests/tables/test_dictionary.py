"""data/README.md holds the dictionary of the tables, and names the source of every file."""

from cloudarb_lib.base import locations
from cloudarb_lib.tables.dictionary import dictionary

COMMAND = "python -m cloudarb_lib.tables.dictionary"
BEGIN = f"<!-- dictionary: {COMMAND} -->"
END = "<!-- end of dictionary -->"


def test_the_readme_holds_the_generated_dictionary() -> None:
    text = (locations.data() / "README.md").read_text()
    kept = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()
    assert kept == dictionary().strip(), f"put what {COMMAND} prints between {BEGIN} and {END}"


def test_every_bundled_file_has_its_source() -> None:
    text = (locations.data() / "README.md").read_text()
    for path in locations.data().iterdir():
        if path.suffix in (".parquet", ".csv"):
            assert f"| {path.name} |" in text
    files = [path for path in locations.data().glob("*.*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5_000_000
