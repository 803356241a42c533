"""A file of our own columns brings evidence of sale, such as the quotas of an account."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import ingest, quarantine, write_text

HEADER = "provider,region,zone,instance_type,purchase_option,kind,source,seen_at,sold,note\n"


@pytest.mark.slow
def test_quotas_of_an_account_are_evidence_as_of_their_time(tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "quota.csv",
        HEADER
        + "google,us-central1,,a3-highgpu-8g,on_demand,quota,mine,2026-04-01T00:00:00Z,true,64\n"
        + "google,us-east4,,a3-*,,quota,mine,2026-04-20T00:00:00Z,false,none granted\n",
    )
    ingest(tmp_path / "s", file)
    with open_snapshot(tmp_path / "s") as snapshot:
        early = snapshot.evidence(as_of="2026-04-10")
        late = snapshot.evidence(as_of="2026-05-01")
    assert early[["provider", "region", "sold"]].values.tolist() == [["gcp", "us-central1", True]]
    assert late["sold"].tolist() == [True, False]
    assert late["note"].tolist() == ["64", "none granted"]


def test_evidence_of_an_unknown_kind_or_without_a_yes_or_no_is_held_back(tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "hearsay.csv",
        HEADER
        + "gcp,us-central1,,a3-highgpu-8g,,hearsay,mine,2026-04-01T00:00:00Z,true,\n"
        + "gcp,us-central1,,a3-highgpu-8g,,quota,mine,2026-04-01T00:00:00Z,perhaps,\n",
    )
    ingest(tmp_path / "s", file)
    reasons = quarantine(tmp_path / "s")["reason"].tolist()
    assert reasons == ["unknown_evidence_kind", "not_true_or_false"]
