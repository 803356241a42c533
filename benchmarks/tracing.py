"""What tracing costs: a span recorded, a span that nobody asked for, and both as shares of a run.

Usage: python -m benchmarks.tracing [RUN ...]   (folders of runs that were traced)
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from cloudarb_lib.base.tracing import span
from pipelines.observe.spans import read_spans
from pipelines.observe.tracing import SPANS_FILE, recorded

COUNT = 2000


def seconds_each() -> float:
    """Return what a span takes now."""
    began = time.process_time()
    for _ in range(COUNT):
        with span("solve"):
            pass
    return (time.process_time() - began) / COUNT


def main(folders: list[str]) -> None:
    """Print the figures."""
    unheard_s = seconds_each()
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        with recorded("run", Path(folder) / "spans.jsonl"):
            start_s = time.process_time() - began
            each_s = seconds_each()
    print(f"a span nobody asked for: {unheard_s * 1e6:.2f} us of a core")
    print(f"a span recorded: {each_s * 1e6:.0f} us, and {start_s:.2f} s to begin in a process")
    for name in folders:
        spans = read_spans(Path(name) / SPANS_FILE)
        processes = len({told["pid"] for told in spans})
        cost_s = len(spans) * each_s + processes * start_s
        whole_s = max(told["seconds"] for told in spans)
        said = f"{len(spans)} spans in {processes} processes: {cost_s:.2f} s"
        print(f"{Path(name).name}: {said}, {cost_s / whole_s:.2%} of {whole_s:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
