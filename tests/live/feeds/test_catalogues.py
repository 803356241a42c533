"""Catalogues that others keep: dated by what they say of themselves, clouds failing apart."""

from __future__ import annotations

import io
import zipfile

import pandas as pd
import pytest

from cloudarb_lib.live.archives import archive_of
from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.catalogues import (
    GPUHUNT_PROVIDERS,
    GPUHUNT_URL,
    SKYPILOT_CLOUDS,
    GpuhuntCatalog,
    SkyPilotCatalog,
)
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.services import Files

GPUHUNT = {
    path: content
    for name in GPUHUNT_PROVIDERS
    for path, content in (
        (f"/{name}/version", "20260530-2\n"),
        (f"/{name}/20260530-2/catalog.zip", archive_of(f"{name}.csv", name.encode())),
    )
}
SKYPILOT_REPOSITORY = "skypilot-org/skypilot-catalog"


def test_the_catalogue_of_each_provider_is_of_the_day_that_its_version_names(tmp_path):
    collected = collect(GpuhuntCatalog(), Files(GPUHUNT), tmp_path)
    assert collected.bodies["aws"] == [archive_of("aws.csv", b"aws")]
    assert set(collected.bodies) == set(GPUHUNT_PROVIDERS)
    part = collected.part("aws")
    assert (part.seen_at, part.suffix) == (pd.Timestamp("2026-05-30", tz="UTC"), ".zip")
    assert (part.whole, collected.faults) == ((Scope("aws"),), {})
    assert collected.part("verda").whole == (Scope("datacrunch"),)  # as prices have it


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("latest", "names no day"),
        ("20261301", "names no day"),
        ("20270101", "names no day that is past"),
        ("../../aws", "names no version"),
        ("", "names no version"),
    ],
)
def test_a_version_that_dates_nothing_fails_its_provider_alone(version, fault, tmp_path):
    service = Files({**GPUHUNT, "/oci/version": version})
    collected = collect(GpuhuntCatalog(), service, tmp_path)
    assert set(collected.faults) == {"oci"}
    assert fault in collected.faults["oci"]


def test_a_provider_that_is_not_there_fails_apart(tmp_path):
    service = Files({k: v for k, v in GPUHUNT.items() if not k.startswith("/verda/")})
    collected = collect(GpuhuntCatalog(), service, tmp_path)
    assert set(collected.faults) == {"verda"}
    assert "404" in collected.faults["verda"]


def test_the_catalogue_may_stand_elsewhere_as_for_the_library(tmp_path):
    feed = GpuhuntCatalog()
    pull = Pull(COLLECTED_AT, environment={GPUHUNT_URL: "http://127.0.0.1:9/v3"})
    asked = []

    class Recorder:
        async def get(self, url):
            asked.append(url)
            return type("Answer", (), {"body": b"20260530-1", "url": url})()

    import asyncio

    asyncio.run(feed.probe(Recorder(), pull))
    assert asked == ["http://127.0.0.1:9/v3/gcp/version"]


def commits(asked):
    """Answer as GitHub does, the file of each cloud saying which it is."""
    if asked.path == f"/repos/{SKYPILOT_REPOSITORY}/commits":
        if asked.query["path"] == "catalogs/v8/do/vms.csv":
            return Reply(b'{"message": "API rate limit exceeded"}', 403)
        return Reply(
            b'[{"sha": "abc123", "commit": {"committer": {"date": "2026-05-31T06:00:00Z"}}}]'
        )
    _, *repository, commit, _, _, cloud, _ = asked.path.split("/")
    assert ("/".join(repository), commit) == (SKYPILOT_REPOSITORY, "abc123")
    return Reply(cloud.encode())


def test_the_catalogue_of_each_cloud_is_of_its_last_commit(tmp_path):
    collected = collect(SkyPilotCatalog(), commits, tmp_path)
    assert set(collected.bodies) == set(SKYPILOT_CLOUDS)
    assert collected.part("gcp").seen_at == pd.Timestamp("2026-05-31T06:00Z")
    assert collected.part("vast").whole == (Scope("vast.ai"),)
    assert collected.part("do").whole == ()
    with zipfile.ZipFile(io.BytesIO(collected.bodies["gcp"][0])) as archive:
        assert archive.namelist() == ["gcp.csv"]
        assert archive.read("gcp.csv") == b"gcp"


def test_a_cloud_whose_age_cannot_be_told_is_not_taken_for_fresh(tmp_path):
    collected = collect(SkyPilotCatalog(), commits, tmp_path)
    assert set(collected.faults) == {"do"}
    assert collected.bodies["do"] == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b'[{"sha": 1}]', b'[{"sha": 1, "commit": {}}]'])
def test_a_commit_of_another_form_is_a_fault(body, tmp_path):
    found = collect(SkyPilotCatalog(), lambda _: Reply(body), tmp_path, probe=True).found
    assert "names no commit" in found


@pytest.mark.parametrize("feed", [GpuhuntCatalog(), SkyPilotCatalog()])
def test_catalogues_are_fetched_every_six_hours(feed, tmp_path):
    names = (*GPUHUNT_PROVIDERS, *SKYPILOT_CLOUDS)
    last = dict.fromkeys(names, COLLECTED_AT - pd.Timedelta(hours=5))
    assert collect(feed, Files({}), tmp_path, Pull(COLLECTED_AT, last_done=last)).parts == []


def test_the_same_content_gives_the_same_archive():
    assert archive_of("a.csv", b"x") == archive_of("a.csv", b"x")
    assert archive_of("a.csv", b"x") != archive_of("b.csv", b"x")


def test_probes_tell_how_old_the_catalogues_are(tmp_path):
    assert "20260530-2" in collect(GpuhuntCatalog(), Files(GPUHUNT), tmp_path, probe=True).found
    assert "2026-05-31 06:00" in collect(SkyPilotCatalog(), commits, tmp_path, probe=True).found
