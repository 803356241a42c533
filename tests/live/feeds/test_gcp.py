"""Google's feeds: pages by token, past months one by one, credentials in headers alone."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest

from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.gcp import API_KEY, GcpSkus, GcpZoneLists
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.services import GcpListing

ENVIRONMENT = {API_KEY: "a-key"}
NOW = Pull(COLLECTED_AT, environment=ENVIRONMENT)


def sku(number):
    return {"skuId": f"sku-{number}", "pricingInfo": [{}]}


SKUS = GcpListing(
    [sku(number) for number in range(7)],
    past={"2026-03": [sku(20)], "2026-04": [sku(21), sku(22)], "2026-05": [sku(23)]},
    page_items=3,
)


def ids(collected, part):
    pages = [json.loads(body) for body in collected.bodies[part]]
    return [sku["skuId"] for page in pages for sku in page["skus"]]


def test_the_current_catalogue_comes_in_all_its_pages(tmp_path):
    collected = collect(GcpSkus(), SKUS, tmp_path, NOW)
    assert ids(collected, "current") == [f"sku-{number}" for number in range(7)]
    assert len(collected.bodies["current"]) == 3
    assert all("a-key" not in str(asked.query) for asked in collected.asked)


def test_back_fill_asks_for_months_that_have_ended_each_of_its_end(tmp_path):
    since = pd.Timestamp("2026-03-15", tz="UTC")
    pull = Pull(COLLECTED_AT, since=since, environment=ENVIRONMENT)
    collected = collect(GcpSkus(), SKUS, tmp_path, pull)
    assert [part.name for part in collected.parts] == ["2026-03", "2026-04", "2026-05", "current"]
    assert ids(collected, "2026-04") == ["sku-21", "sku-22"]
    assert collected.part("2026-03").seen_at == pd.Timestamp("2026-04-01T07:00Z")
    assert collected.part("current").seen_at is None
    assert collected.faults == {}
    done = dict.fromkeys(["2026-03", "2026-04"], COLLECTED_AT)
    pull = Pull(COLLECTED_AT, since=since, last_done=done, environment=ENVIRONMENT)
    again = collect(GcpSkus(), SKUS, tmp_path, pull)  # a month that has ended never changes
    assert [part.name for part in again.parts] == ["2026-05", "current"]


def test_the_service_refuses_a_span_of_two_months(tmp_path):
    feed = GcpSkus()
    part = {"startTime": "2026-03-01T08:00:00Z", "endTime": "2026-05-01T07:00:00Z"}

    def answer(asked):
        return SKUS(type(asked)(asked.method, asked.path, {**asked.query, **part}, asked.headers))

    collected = collect(feed, answer, tmp_path, NOW)
    assert "400" in collected.faults["current"]


def test_a_token_that_comes_again_ends_the_walk_as_a_fault(tmp_path):
    def answer(asked):
        token = asked.query.get("pageToken", "")
        page = {"skus": [sku(token)], "nextPageToken": "again"}
        return Reply(json.dumps(page).encode())

    collected = collect(GcpSkus(), answer, tmp_path, NOW)
    assert "leads back to a page" in collected.faults["current"]
    assert len(collected.bodies["current"]) == 2


def test_a_catalogue_that_is_empty_is_a_fault(tmp_path):
    collected = collect(GcpSkus(), GcpListing([]), tmp_path, NOW)
    assert "is empty" in collected.faults["current"]


def test_a_refused_key_is_said_and_not_shown(tmp_path):
    pull = Pull(COLLECTED_AT, environment={API_KEY: "wrong-secret"})
    collected = collect(GcpSkus(), SKUS, tmp_path, pull)
    assert "403" in collected.faults["current"]
    assert "wrong-secret" not in str((collected.faults, collected.parts, collected.notices))
    assert len(collected.asked) == 1


def test_without_a_key_the_feed_says_what_it_needs():
    assert API_KEY in GcpSkus().missing(Pull(COLLECTED_AT))
    assert GcpSkus().missing(NOW) == ""


def test_the_current_catalogue_is_fetched_every_six_hours(tmp_path):
    last = {"current": COLLECTED_AT - pd.Timedelta(hours=1)}
    pull = Pull(COLLECTED_AT, last_done=last, environment=ENVIRONMENT)
    assert collect(GcpSkus(), SKUS, tmp_path, pull).parts == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"error": {}}'])
def test_an_answer_of_another_form_is_a_fault(body, tmp_path):
    collected = collect(GcpSkus(), lambda _: Reply(body), tmp_path, NOW)
    assert "has no 'skus'" in collected.faults["current"]


@pytest.fixture
def gcloud(tmp_path, monkeypatch):
    """Put a command gcloud on the path that is logged in."""
    program = tmp_path / "bin" / "gcloud"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = config ] && echo a-project || echo a-token\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def zone_list(asked):
    kind = asked.path.rpartition("/")[2]
    assert asked.path == f"/compute/v1/projects/a-project/aggregated/{kind}"
    if asked.headers["authorization"] != "Bearer a-token":
        return Reply(b"{}", 401)
    zones = {"zones/us-central1-a": {kind: [{"name": "m", "guestCpus": 4}]}}
    return Reply(json.dumps({"items": zones}).encode())


def test_zone_lists_are_asked_with_the_token_of_gcloud(gcloud, tmp_path):
    assert GcpZoneLists().missing(Pull(COLLECTED_AT)) == ""
    collected = collect(GcpZoneLists(), zone_list, tmp_path)
    assert list(collected.bodies) == ["zones"]
    assert collected.part("zones").whole == (Scope("gcp"),)
    machines, accelerators = collected.bodies["zones"]
    assert b"machineTypes" in machines
    assert b"acceleratorTypes" in accelerators
    assert collected.faults == {}
    assert "by zone" in collect(GcpZoneLists(), zone_list, tmp_path, probe=True).found


def test_gcloud_without_a_project_is_said(gcloud, tmp_path):
    gcloud.write_text('#!/bin/sh\n[ "$1" = config ] && echo "(unset)" || echo a-token\n')
    collected = collect(GcpZoneLists(), zone_list, tmp_path)
    assert "no project" in collected.faults["zones"]


def test_without_gcloud_the_feed_says_what_it_needs(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "gcloud" in GcpZoneLists().missing(Pull(COLLECTED_AT))


def test_probe_looks_for_a_price(tmp_path):
    assert "with prices" in collect(GcpSkus(), SKUS, tmp_path, NOW, probe=True).found
    found = collect(GcpSkus(), GcpListing([]), tmp_path, NOW, probe=True).found
    assert "no SKU with a price" in found
