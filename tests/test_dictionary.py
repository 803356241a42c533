"""data/README.md holds the dictionary that the schema prints."""

from cloudarb_lib.handover import PROJECT
from cloudarb_lib.schema import dictionary
from cloudarb_lib.store import BUNDLED

BEGIN, END = "<!-- dictionary: python -m cloudarb_lib.schema -->", "<!-- end of dictionary -->"


def test_the_readme_holds_the_generated_dictionary() -> None:
    text = (PROJECT / "data" / "README.md").read_text()
    kept = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()
    assert kept == dictionary().strip(), (
        f"put what `python -m cloudarb_lib.schema` prints between {BEGIN} and {END}"
    )


def test_every_bundled_file_has_its_source() -> None:
    text = (PROJECT / "data" / "README.md").read_text()
    for path in BUNDLED.iterdir():
        if path.suffix in (".parquet", ".csv"):
            assert f"| {path.name} |" in text
    assert sum(p.stat().st_size for p in BUNDLED.glob("*.*") if p.is_file()) < 5_000_000
