"""Run notebooks with their defaults and store the outputs of their contract cells, no others.

Outputs stay only in cells tagged keep_output; execution counts, timings and widget state go, so
that the file changes only when the notebook or one of its contract tables does (make golden).
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat

from pipelines.run.notebook import KernelWatch, execute
from pipelines.workbench.stored import stripped

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
TIMEOUT_S = 3600.0
"""For a notebook that hangs; the longest, 06, takes minutes."""


def asked(words: Sequence[str] | None = None) -> tuple[list[Path], float]:
    """Return the notebooks that a command line names, all without a name, and their time limit."""
    known = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    parser = argparse.ArgumentParser("python -m benchmarks.refresh_golden", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds a notebook")
    given = parser.parse_args(words)
    stems = [Path(name).stem for name in given.names]
    unknown = [stem for stem in stems if stem not in known]
    if unknown:
        parser.error(f"no notebook is named {unknown[0]}. Known: {', '.join(known)}.")
    return [known[stem] for stem in stems or known], given.timeout


def refresh(path: Path, timeout_s: float) -> bool:
    """Run a notebook and store it; return whether the file changed."""
    with tempfile.TemporaryDirectory() as folder, KernelWatch(timeout_s) as watch:
        output = Path(folder) / "tables" / path.name
        output.parent.mkdir()
        execute(path, output, {}, watch)
        executed = nbformat.read(output, as_version=4)
    before = path.read_text(encoding="utf-8")
    nbformat.write(stripped(nbformat.read(path, as_version=4), executed), path)
    return path.read_text(encoding="utf-8") != before


def main() -> None:
    """Refresh what is asked for, a line each."""
    notebooks, timeout_s = asked()
    for path in notebooks:
        print(f"{path.name:<26}", end="", flush=True)
        print("changed" if refresh(path, timeout_s) else "as before", flush=True)


if __name__ == "__main__":
    main()
