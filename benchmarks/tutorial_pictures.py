"""Draws the pictures of docs/tutorial.md: what its commands print, or the plans that they make.

usage: python -m benchmarks.tutorial_pictures [--run reports/RUN]

The commands of parts 2 to 6 run in a working folder of their own that is thrown away, in the order
of the page: part 5 is a run of minutes, part 6 writes into a stand-in for the crontab of whoever
calls this. With ``--run`` the summary of that run becomes the picture of part 1, and nothing runs.
A Chromium has to be there.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import plotly
import plotly.io as pio
from PIL import Image

from cloudarb_lib.base import locations
from cloudarb_lib.plots.allocation import who_runs_where
from cloudarb_lib.plots.style import FONT
from pipelines.report.paper import BROWSERS

DOCS = Path(__file__).parents[1] / "docs"
PART = re.compile(r"^## (\d)\..*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```\w*\n(.*?)```", re.DOTALL)
PLANS = {"3": ("plan",), "4": ("spread",)}
"""By part: the folders of plans that are drawn below the commands, instead of what these print."""
RUN = "5"
"""The part whose command is a run: its summary is drawn."""
STAND_INS = {
    "systemctl": "exit 1",
    "crontab": 'case "$1" in -l) cat "$0.lines" 2>/dev/null || true;; *) cat > "$0.lines";; esac',
}
"""By command of the system: what a shell does instead, so that no timer of this machine is set."""
WIDTH_PX = 900
SCREEN_PX = {"width": 1000, "height": 940}
PATIENCE_S = 900.0


def main() -> None:
    """Write docs/tutorial-PART.png, or docs/summary.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="draw the summary of this run instead")
    run = parser.parse_args().run
    if run is not None:
        draw_summary(run)
    else:
        draw_parts()


def draw_summary(run: Path) -> None:
    """Draw the upper part of the summary of a run."""
    with browser_page() as page:
        draw_page(page, run, DOCS / "summary.png")


def draw_page(page: Any, run: Path, picture: Path) -> None:
    """Draw the upper part of the summary of a run into a file."""
    page.goto((run / "05_summary.html").resolve().as_uri(), wait_until="load")
    photograph(page, picture)


def photograph(shown: Any, picture: Path) -> None:
    """Write what a page or a part of it shows; in 256 colours it is a third as large."""
    shown.screenshot(path=picture)
    with Image.open(picture) as whole:
        few = whole.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


def draw_parts() -> None:
    """Run the commands of the page, and draw each part."""
    parts = {found[1]: found[0] for found in PART.finditer((DOCS / "tutorial.md").read_text())}
    with tempfile.TemporaryDirectory() as folder, browser_page() as page:
        home = Path(folder)
        write_stand_ins(home / "bin")
        for number in ("2", "3", "4", RUN, "6"):
            with idle_daemon(home / "bin"):
                printed = carry_out(parts[number], home)
            picture = DOCS / f"tutorial-{number}.png"
            if number == RUN:
                draw_page(page, next((home / "reports").glob("weekly-*")), picture)
                continue
            figures = [who_runs_where(plan_in(home / name)) for name in PLANS.get(number, ())]
            page.set_content(as_html(printed, figures), wait_until="load")
            photograph(page.locator("body"), picture)


def write_stand_ins(folder: Path) -> None:
    """Write what stands in for commands of the system."""
    folder.mkdir()
    for name, does in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)


@contextmanager
def browser_page() -> Iterator[Any]:
    """Yield an empty page of a browser without a network."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit("No Chromium is here to draw with: apt-get install chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_context(offline=True, viewport=SCREEN_PX).new_page()
        browser.close()


@contextmanager
def idle_daemon(folder: Path) -> Iterator[None]:
    """Let a process run that is named as the daemon of cron and does nothing."""
    daemon = folder / "cron"
    sleeper = shutil.which("sleep")
    assert sleeper is not None
    shutil.copy(sleeper, daemon)
    process = subprocess.Popen([daemon, str(PATIENCE_S)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def carry_out(part: str, home: Path) -> list[tuple[str, str]]:
    """Write the files of a part, run its commands, and return each with what it printed."""
    printed = []
    for file, text in BLOCK.findall(part):
        if file:
            (home / file).write_text(text)
        elif text.startswith("cloudarb"):
            printed += [(command, output_of(command, home)) for command in text.splitlines()]
    return printed


def output_of(command: str, home: Path) -> str:
    """Return what a command prints, its errors too."""
    environment = os.environ | {
        locations.HOME_VARIABLE: str(home),
        "COLUMNS": "110",
        "PYTHONPATH": str(DOCS.parent),
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *shlex.split(command)[1:]],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )
    text = done.stdout.replace(f"{sys.executable} -m pipelines.cli", "cloudarb")
    return text.replace(str(home), "~/cloudarb").strip()


def plan_in(folder: Path) -> pd.DataFrame:
    """Return table ``plan`` of a folder that ``cloudarb allocate`` wrote."""
    return pd.read_parquet(folder / "tables" / "plan.parquet")


def as_html(printed: list[tuple[str, str]], figures: list[Any]) -> str:
    """Return a page with commands, and figures; without any, with what was printed."""
    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text()
    lines = "\n".join(
        f"<b>$ {html.escape(command)}</b>\n{'' if figures else html.escape(output)}"
        for command, output in printed
    )
    drawn = "".join(
        pio.to_html(figure, include_plotlyjs=False, full_html=False, config={"staticPlot": True})
        for figure in figures
    )
    return f"""<!doctype html>
        <style>
            body {{ width: {WIDTH_PX}px; margin: 0; padding: 16px; box-sizing: border-box;
              background: #fff; font-family: {FONT}; }}
            pre {{ background: #f6f7f9; padding: 14px 16px; border-radius: 6px; margin: 0 0 8px;
              font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; white-space: pre-wrap; }}
        </style>
        <script>{script}</script>
        <pre>{lines}</pre>{drawn}
    """


if __name__ == "__main__":
    main()
