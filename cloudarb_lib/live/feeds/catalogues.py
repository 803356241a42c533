"""Catalogues that others keep: gpuhunt's and SkyPilot's, as a second opinion on each cloud."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pandas as pd

from cloudarb_lib.live.archives import archive_of
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.walk import is_due
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.sources.machine_patterns import provider_by_name
from cloudarb_lib.sources.names.providers import canonical_provider

GPUHUNT = "https://dstack-gpu-pricing.s3.eu-west-1.amazonaws.com/v3"
GPUHUNT_URL = "GPUHUNT_CATALOG_URL"
GPUHUNT_PROVIDERS = (
    "aws",
    "azure",
    "cloudrift",
    "gcp",
    "lambdalabs",
    "nebius",
    "oci",
    "runpod",
    "verda",
)
SKYPILOT_FILES = "https://raw.githubusercontent.com"
SKYPILOT_COMMITS = "https://api.github.com"
SKYPILOT_CLOUDS = (
    "aws",
    "azure",
    "cudo",
    "do",
    "fluidstack",
    "gcp",
    "hyperstack",
    "lambda",
    "nebius",
    "oci",
    "paperspace",
    "runpod",
    "vast",
)
_REPOSITORY = "skypilot-org/skypilot-catalog"
_DAY_IN_VERSION = re.compile(r"(20\d{6})(\D.*)?")
_HOURS = 6.0
_FAULT = "fault"
"""Detail of a part that cannot be fetched: why."""


class GpuhuntCatalog(Feed):
    """The catalogue that the gpuhunt library reads, every six hours.

    Its rows carry no time: they are of the day that the catalogue's version names, however late
    they are fetched.
    """

    name = "gpuhunt-catalog"
    provider = "gpuhunt"
    source = "gpuhunt-catalog"
    gives = "on-demand and spot prices of GPU clouds, and their machines"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        due = [name for name in GPUHUNT_PROVIDERS if is_due(pull, name, _HOURS)]
        return list(await asyncio.gather(*[self._part(client, pull, name) for name in due]))

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[Path]:
        _fail_where_undated(part)
        version = part.detail["version"]
        yield await client.download(f"{_gpuhunt_at(pull)}/{part.name}/{version}/catalog.zip")

    async def probe(self, client: Client, pull: Pull) -> str:
        version = await self._version(client, pull, "gcp")
        return f"version {version} of the catalogue of gcp"

    async def _part(self, client: Client, pull: Pull, name: str) -> Part:
        try:
            version = await self._version(client, pull, name)
            day = _day_of(version, pull.now)
        except FetchError as error:
            return Part(name, ".zip", detail={_FAULT: error.what})
        return Part(name, ".zip", _all_of(name), seen_at=day, detail={"version": version})

    async def _version(self, client: Client, pull: Pull, name: str) -> str:
        answer = await client.get(f"{_gpuhunt_at(pull)}/{name}/version")
        version = answer.body.decode("utf-8", "replace").strip()
        if not re.fullmatch(r"[\w.-]{1,40}", version):
            raise FetchError(f"{answer.url} names no version.", "Look at what it answers.")
        return version


def _gpuhunt_at(pull: Pull) -> str:
    return (pull.endpoint or pull.environment.get(GPUHUNT_URL) or GPUHUNT).rstrip("/")


def _day_of(version: str, now: pd.Timestamp) -> pd.Timestamp:
    """Return the day that a version names.

    Raises
    ------
    FetchError
        Where it names none that is past: of when its prices are cannot be told.
    """
    named = _DAY_IN_VERSION.fullmatch(version)
    try:
        day = pd.Timestamp(named[1], tz="UTC") if named else None
    except ValueError:
        day = None
    if day is None or day > now:
        raise FetchError(f"version {version!r} of the catalogue names no day that is past.")
    return day


def _all_of(cloud: str) -> tuple[Scope, ...]:
    """Return what the catalogue of a cloud shows whole: all its offers."""
    provider = provider_by_name(Path(f"{cloud}.csv")) or cloud
    return (Scope(canonical_provider(provider)),)


def _fail_where_undated(part: Part) -> None:
    """Raise FetchError where it could not be told of when a catalogue is: this part fails alone."""
    if _FAULT in part.detail:
        raise FetchError(part.detail[_FAULT], "Collect again later.")


class SkyPilotCatalog(Feed):
    """SkyPilot's hosted catalogue of each cloud, every six hours.

    Its rows carry no time: they are of the commit that last changed the file.
    """

    name = "skypilot-catalog"
    provider = "skypilot"
    source = "skypilot-catalog"
    gives = "on-demand and spot prices of clouds by zone, and evidence of sale"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        due = [cloud for cloud in SKYPILOT_CLOUDS if is_due(pull, cloud, _HOURS)]
        return list(await asyncio.gather(*[self._part(client, pull, cloud) for cloud in due]))

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        _fail_where_undated(part)
        commit = part.detail["commit"]
        base = pull.endpoint or SKYPILOT_FILES
        path = await client.download(f"{base}/{_REPOSITORY}/{commit}/{_path_of(part.name)}")
        try:
            yield archive_of(f"{part.name}.csv", path.read_bytes())
        finally:
            path.unlink()

    async def probe(self, client: Client, pull: Pull) -> str:
        commit, committed_at = await self._commit(client, pull, "aws")
        return f"the catalogue of aws changed last at {committed_at:%Y-%m-%d %H:%M} ({commit[:7]})"

    async def _part(self, client: Client, pull: Pull, cloud: str) -> Part:
        try:
            commit, committed_at = await self._commit(client, pull, cloud)
        except FetchError as error:
            return Part(cloud, ".zip", detail={_FAULT: error.what})
        seen_at = min(committed_at, pull.now)
        return Part(cloud, ".zip", _all_of(cloud), seen_at=seen_at, detail={"commit": commit})

    async def _commit(self, client: Client, pull: Pull, cloud: str) -> tuple[str, pd.Timestamp]:
        """Return the last commit of a cloud's file, and its time."""
        base = pull.endpoint or SKYPILOT_COMMITS
        params = {"path": _path_of(cloud), "per_page": "1"}
        answer = await client.get_json(f"{base}/repos/{_REPOSITORY}/commits", params=params)
        try:
            entry = answer.json()[0]
            committed_at = pd.Timestamp(entry["commit"]["committer"]["date"])
            return str(entry["sha"]), committed_at.tz_convert("UTC")
        except (LookupError, TypeError, ValueError, AttributeError):
            raise FetchError(f"{answer.url} names no commit.", "Look at what it says.") from None


def _path_of(cloud: str) -> str:
    return f"catalogs/v8/{cloud}/vms.csv"
