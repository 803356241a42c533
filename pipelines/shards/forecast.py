"""One forecast as a graph of jobs: what they are asked, and the tables that they leave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.digests import digest_files, digest_values
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.files import locked
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import MAX_PATH_CELLS
from cloudarb_lib.forecast import shards as pieces
from pipelines.exit_codes import DONE
from pipelines.run.files import read_json, write_json
from pipelines.run.graph import run_snakemake
from pipelines.run.pipeline import RunError
from pipelines.shards.panel_file import panel_digest, write_panel

_SNAKEFILE = Path(__file__).with_name("Snakefile")
_LAST_LINES = 3


@dataclass(frozen=True)
class Asked:
    """What is asked of a forecast, and into how many jobs it is cut.

    Parameters
    ----------
    horizon_steps, n_paths, seed : int
        As ``forecast_offers`` takes them.
    blocks : int
        Jobs that learn.
    shares : int
        Jobs that draw paths, each of its share of the shards. How many of either there are changes
        no figure.
    """

    horizon_steps: int
    n_paths: int
    seed: int
    blocks: int = 8
    shares: int = 8


def forecast_in_shards(panel: Panel, folder: Path, asked: Asked, *, cores: int) -> list[Path]:
    """Forecast the offers of a panel from its last cell on, by provider and region.

    Jobs run here, or where a profile of Snakemake's says (docs/clusters.md). What a folder has of
    the same prices, code and question already is not made again.

    Parameters
    ----------
    panel : Panel
        All offers that teach.
    folder : Path
        Gets ``forecast/PROVIDER-REGION.parquet``, and beside it what jobs read and leave.
    asked : Asked
        What is asked.
    cores : int
        Jobs at once.

    Returns
    -------
    list of Path
        Table ``forecast`` of each shard, in the order of their names.

    Raises
    ------
    ParameterError
        Where nothing could be cut like that, a shard is too large, or the folder cannot be written.
    DataError
        Without a price.
    RunError
        Where the folder is in use, or a job failed.
    """
    found = pieces.shards(panel) if len(panel.times) else {}
    _refuse(found, asked)
    what = f"forecast {folder}"
    with locked(folder / "lock", RunError, what, unwritable=ParameterError) as lock:
        key = digest_values(panel_digest(panel), _code_digest(), asdict(asked))
        if (read_json(folder / "graph.json") or {}).get("key") != key:
            write_panel(panel, folder)
            write_json(folder / "asked.json", asdict(asked))
        by_size = sorted(found, key=lambda name: (-len(found[name]), name))
        shares = {str(k): by_size[k :: asked.shares] for k in range(asked.shares)}
        graph = _graph({k: names for k, names in shares.items() if names}, key, asked)
        write_json(folder / "graph.json", graph)
        tables = [folder / "forecast" / f"{name}.parquet" for name in sorted(found)]
        for stale in set(folder.glob("forecast/*.parquet")) - set(tables):
            stale.unlink()
        log = folder / "graph.log"
        code = run_snakemake(_SNAKEFILE, folder, log=log, lock=lock, cores=cores)
    if code != DONE:
        end = " ".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        raise RunError(f"a job of the forecast failed: {end}", f"See {log}, then start again.")
    return tables


def _graph(shares: dict[str, list[str]], key: str, asked: Asked) -> dict[str, Any]:
    import sys

    return {"python": sys.executable, "key": key, "blocks": asked.blocks, "shares": shares}


def _refuse(found: dict[str, Any], asked: Asked) -> None:
    if min(asked.blocks, asked.shares) < 1:
        raise ParameterError(f"{asked.blocks} blocks and {asked.shares} shares.", "Name 1 or more.")
    if not found:
        raise DataError("no offer of the panel has a price at the origin.", "Choose another as_of.")
    largest = max(found, key=lambda name: len(found[name]))
    cells = len(found[largest]) * asked.n_paths * asked.horizon_steps
    if cells > MAX_PATH_CELLS:
        raise ParameterError(
            f"{asked.n_paths} paths of the {len(found[largest])} offers of {largest} and "
            f"{asked.horizon_steps} steps are too many for one job.",
            "Ask for fewer paths or steps.",
        )


def _code_digest() -> str:
    return digest_files(sorted(locations.library().rglob("*.py")))
