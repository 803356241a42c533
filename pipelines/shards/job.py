"""One job of a forecast in shards: python -m pipelines.shards.job FOLDER models|learn|shards [K].

It reads the panel and what is asked from FOLDER, and leaves there what its rule of the Snakefile
says: ``models`` of what a market prices, ``learn K`` block K of what past paths came to, ``shards
K`` table ``forecast`` of each shard of share K.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloudarb_lib import forecast
from cloudarb_lib.base.files import replaced
from cloudarb_lib.forecast import shards as pieces
from pipelines.shards.forecast import Asked
from pipelines.shards.panel_file import read_panel

_MODELS = "models"


def models(folder: Path, asked: Asked) -> None:
    """Fit the members of the forecast on what a market prices, where there is some."""
    panel = read_panel(folder)
    forecast.fit(panel, folder / _MODELS, horizon_steps=asked.horizon_steps, seed=asked.seed)


def learn(folder: Path, asked: Asked, block: int) -> None:
    """Leave one block of what past paths came to."""
    size = {"horizon_steps": asked.horizon_steps, "seed": asked.seed}
    learned = pieces.learn(read_panel(folder), **size, block=block, blocks=asked.blocks)
    pieces.write_block(learned, _block(folder, block))


def shards(folder: Path, asked: Asked, share: int) -> None:
    """Leave table ``forecast`` of each shard of a share."""
    panel = read_panel(folder)
    learned = pieces.read_blocks(_block(folder, block) for block in range(asked.blocks))
    offers = pieces.shards(panel)
    for name in _read(folder / "graph.json")["shares"][str(share)]:
        found = forecast.forecast_fitted(
            panel, folder / _MODELS, n_paths=asked.n_paths, paths_for=offers[name], learned=learned
        )
        with replaced(folder / "forecast" / f"{name}.parquet") as unfinished:
            found.table.to_parquet(unfinished)


def _block(folder: Path, block: int) -> Path:
    return folder / "learned" / f"{block}.npz"


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def main(words: Sequence[str]) -> None:
    """Carry out one job, given FOLDER, its kind, and its number where there are several."""
    folder = Path(words[0])
    asked = Asked(**_read(folder / "asked.json"))
    jobs: dict[str, Callable[..., None]] = {"models": models, "learn": learn, "shards": shards}
    jobs[words[1]](folder, asked, *map(int, words[2:]))


if __name__ == "__main__":
    main(sys.argv[1:])
