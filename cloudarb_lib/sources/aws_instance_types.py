"""Machines of AWS: what ``aws ec2 describe-instance-types`` prints.

References
----------
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.sources.base import Match, Parsed, Reason, Source, UnreadRow, text_table
from cloudarb_lib.sources.json_files import (
    documents_in,
    looks_like_json,
    mapping_of,
    not_of_form,
    numbered,
    records_of,
    text_of,
)
from cloudarb_lib.sources.rows import INSTANCE_COLUMNS

Entry = tuple[int, dict[str, Any]]
"""The number of a machine in the listing, and what is said of it."""

SEVERAL_GPU_MODELS = Reason("several_gpu_models", "has GPUs of several models")
_MIB_PER_GIB = 1024
_MARKS = (b'"VCpuInfo"', b'"MemoryInfo"', b'"ProcessorInfo"', b'"InstanceStorageSupported"')
_NAME = "list of machines"
_WAY_OUT = "Give what `aws ec2 describe-instance-types` printed, complete."


class AwsInstanceTypes(Source[list[Entry]]):
    """vCPUs, memory and GPUs of machines; a share of a GPU counts as the fraction it is."""

    name = "aws-instance-types"

    def recognises(self, head: bytes) -> Match:
        is_listing = b'"InstanceTypes"' in head
        has_marks = sum(mark in head for mark in _MARKS) >= 2
        return Match.OWN if looks_like_json(head) and is_listing and has_marks else Match.NO

    def fetch(self, path: Path) -> Iterator[list[Entry]]:
        return numbered(documents_in(path, name=_NAME, way_out=_WAY_OUT), _entries_of)

    def parse(self, piece: list[Entry]) -> Parsed:
        rows = []
        unread = []
        for number, machine in piece:
            name = text_of(machine.get("InstanceType"))
            gpus = records_of(mapping_of(machine.get("GpuInfo")).get("Gpus"))
            if len({text_of(gpu.get("Name")) for gpu in gpus}) > 1:
                unread.append(UnreadRow(number, SEVERAL_GPU_MODELS, name, str(machine)))
                continue
            vcpus = text_of(mapping_of(machine.get("VCpuInfo")).get("DefaultVCpus"))
            memory = _gib_in(machine.get("MemoryInfo"))
            rows.append(("aws", name, vcpus, memory, *_gpus(gpus), number))
        return Parsed({"instances": text_table(INSTANCE_COLUMNS, rows)}, unread)


def _entries_of(document: Any) -> list[dict[str, Any]]:
    machines = mapping_of(document).get("InstanceTypes")
    if machines is None:
        raise not_of_form(_NAME, "it has no 'InstanceTypes'", _WAY_OUT)
    return records_of(machines)


def _gib_in(memory: Any) -> str:
    """Return SizeInMiB of an object in GiB, '' where it has none."""
    size = text_of(mapping_of(memory).get("SizeInMiB"))
    try:
        return str(float(size) / _MIB_PER_GIB) if size else ""
    except ValueError:
        return size


def _gpus(gpus: list[dict[str, Any]]) -> tuple[str | None, str, str]:
    """Return model, count and memory of one GPU."""
    if not gpus:
        return None, "0", ""
    gpu = gpus[0]
    share = text_of(gpu.get("GpuPartitionSize"))
    count = share if share and share != "1.0" else text_of(gpu.get("Count"))
    return text_of(gpu.get("Name")) or None, count, _gib_in(gpu.get("MemoryInfo"))
