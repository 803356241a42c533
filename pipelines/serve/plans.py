"""Plans made on request: each is ``cloudarb allocate`` in a process of its own, with a folder.

What is known of a plan lies in its folder, so any of several servers can tell of it or stop it, and
it outlives the server that began it. While it is made its process holds the folder's lock.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.base.files import locked, replaced
from pipelines.run.files import read_json, write_json
from pipelines.serve.faults import Busy, Full, NotThere

State = Literal["running", "solved", "infeasible", "failed", "out_of_time", "cancelled"]
CANCEL = "cancel"
"""File in the folder of a plan that asks its process to stop."""
LOCK = "lock"
SHAPES = {
    "skypilot-tasks": "sky",
    "dstack-fleets": "dstack",
    "launches.csv": "launches.csv",
    "plan.csv": "plan.csv",
    "plan.txt": "plan.txt",
}
"""Shapes of a solved plan, and where ``cloudarb allocate`` writes each in its folder."""
_KEPT_S = 24 * 3600.0
_NAME = re.compile("[0-9a-f]{16}")
_WORD = "^[a-z0-9][a-z0-9._-]*$"


class PlanAsked(BaseModel):
    """A demand file and the limits of its plan."""

    model_config = ConfigDict(extra="forbid")

    demand: str = Field(max_length=65_536, description="the demand file, YAML")
    as_of: str = Field(
        pattern=r"^\d{4}-\d{2}-\d{2}$", description="what was known at the end of the day"
    )
    paths: Literal["forecast", "history"] = Field(
        "forecast", description="where price paths come from"
    )
    providers: list[Annotated[str, Field(pattern=_WORD)]] = Field(
        [], max_length=50, description="whose offers may be used; none: all that are fresh"
    )
    horizon_steps: int = Field(13, ge=1, le=52, description="weeks that the plan covers")
    n_paths: int = Field(500, ge=1, le=1000, description="price paths over which cost is averaged")
    budget_usd: float | None = Field(None, gt=0, description="most to spend (USD)")
    cvar_usd: float | None = Field(
        None,
        gt=0,
        description="most that the worst price paths may cost on average, without fees (USD)",
    )
    solve_limit_s: float = Field(30.0, gt=0, le=60, description="most seconds to solve")

    def words(self, folder: Path) -> list[str]:
        """Return the command line of ``cloudarb`` that makes the plan in a folder."""
        given = {
            "--as-of": self.as_of,
            "--out": folder / "out",
            "--paths": self.paths,
            "--horizon-steps": self.horizon_steps,
            "--n-paths": self.n_paths,
            "--budget": self.budget_usd,
            "--cvar": self.cvar_usd,
            "--time-limit": self.solve_limit_s,
        }
        told = [f"{name}={value}" for name, value in given.items() if value is not None]
        chosen = [f"--providers={name}" for name in self.providers]
        return ["allocate", str(folder / "demand.yaml"), *told, *chosen]


class PlanMade(BaseModel):
    """How a plan stands."""

    id: str
    state: State
    message: str = Field(description="what the solver said, or why there is no plan")
    plan: list[dict[str, Any]] = Field(description="rows of table plan, once it is solved")
    summary: list[dict[str, Any]] = Field(description="the plan in facts, once it is solved")


@dataclass(frozen=True)
class Plans:
    """Plans in a folder, a folder each.

    Parameters
    ----------
    folder : Path
        Where they lie.
    store : Path
        Folder of the price store.
    most_running : int
        So many are made at a time; another is refused.
    limit_s : float
        After so many seconds a plan is given up, forecast included.
    """

    folder: Path
    store: Path
    most_running: int = 1
    limit_s: float = 300.0

    def begin(self, asked: PlanAsked) -> str:
        """Begin a plan, and return its name.

        Raises
        ------
        Busy
            Where as many are made as are allowed.
        Full
            Where its folder cannot be written; nothing is left of it then.
        """
        with locked(self.folder / LOCK, StoreError, "folder of plans", wait=True):
            self._forget_old()
            running = [folder.name for folder in self._folders() if self._state(folder) is None]
            if len(running) >= self.most_running:
                what = f"as many plans as are allowed are being made ({len(running)})."
                raise Busy(what, "Ask again when one is done.")
            folder = self.folder / secrets.token_hex(8)
            try:
                self._write(folder, asked)
            except OSError as cause:
                shutil.rmtree(folder, ignore_errors=True)
                what = f"the plan could not be written: {cause.strerror}."
                raise Full(what, "Make room on the server's disk.") from cause
            with locked(folder / LOCK, StoreError, "plan") as lock:  # the child keeps it
                subprocess.Popen(
                    [sys.executable, "-m", "pipelines.serve.worker", str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        return folder.name

    def _write(self, folder: Path, asked: PlanAsked) -> None:
        """Write what the process of a plan is to do."""
        folder.mkdir(mode=0o700)
        (folder / "demand.yaml").write_text(asked.demand, encoding="utf-8")
        words = [*asked.words(folder), f"--store={self.store}"]
        write_json(folder / "request.json", {"words": words, "limit_s": self.limit_s})

    def find(self, name: str) -> PlanMade:
        """Return how a plan stands.

        Raises
        ------
        NotThere
            Where there is none of that name.
        """
        folder = self._folder(name)
        ended = self._state(folder)
        if ended is None:
            return PlanMade(id=name, state="running", message="", plan=[], summary=[])
        tables = ("plan", "plan_summary") if ended["state"] == "solved" else ()
        plan, summary = ([*_rows(folder, table)] for table in tables) if tables else ([], [])
        return PlanMade(id=name, **ended, plan=plan, summary=summary)

    def exported(self, name: str, shape: str) -> Path:
        """Return the file, or folder, in which a solved plan has a shape of ``SHAPES``.

        Raises
        ------
        NotThere
            Where there is no plan of that name, or none yet.
        """
        state = self.find(name).state
        if state != "solved":
            raise NotThere(f"plan {name} is {state}.", "Ask for how it stands: /plans/ID.")
        return self.folder / name / "out" / SHAPES[shape]

    def cancel(self, name: str) -> PlanMade:
        """Ask the process of a plan to stop, and return how it stands; an ended one stays so."""
        folder = self._folder(name)
        if self._state(folder) is None:
            with replaced(folder / CANCEL) as unfinished:
                unfinished.touch()
        return self.find(name)

    def _state(self, folder: Path) -> dict[str, Any] | None:
        """Return how a plan ended, None while it is made."""
        ended = read_json(folder / "status.json")
        if ended is None and not _is_held(folder / LOCK):
            # It may have ended between these two looks.
            ended = read_json(folder / "status.json")
            return ended or {"state": "failed", "message": "its process died."}
        return ended

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name) or not (self.folder / name).is_dir():
            raise NotThere(f"no plan {name[:40]!r}.", "They are kept for a day: ask for a new one.")
        return self.folder / name

    def _folders(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]

    def _forget_old(self) -> None:
        for folder in self._folders():
            age_s = time.time() - folder.stat().st_mtime
            if age_s > _KEPT_S and self._state(folder) is not None:
                shutil.rmtree(folder)


def _rows(folder: Path, table: str) -> Iterator[dict[str, Any]]:
    frame = pd.read_parquet(folder / "out" / "tables" / f"{table}.parquet")
    yield from json.loads(frame.to_json(orient="records", date_format="iso"))


def _is_held(path: Path) -> bool:
    """Tell whether a living process holds a lock."""
    try:
        with locked(path, StoreError, "plan"):
            return False
    except StoreError:
        return True
