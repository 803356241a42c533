"""Spellings of GPU models as providers, catalogues and marketplaces write them."""

from pathlib import Path

import gpuhunt
import pandas as pd
import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.sources.names.gpus import MODELS, canonical, with_form_of_machine
from cloudarb_lib.store import Batch, ingest_files, open_snapshot
from cloudarb_lib.testing import INGESTED_AT, write_text

SPELLINGS = {
    "A100-40GB": [
        "nvidia-tesla-a100",
        "NVIDIA A100-SXM4-40GB",
        "A100-PCIE-40GB",
        "A100_40G",
        "a100 40gb",
    ],
    "A100-80GB": [
        "A100-SXM4-80GB",
        "A100_80G",
        "nvidia-a100-80gb",
        "NVIDIA A100 80GB PCIe",
        "A100-80GB-SXM",
    ],
    "H100": [
        "NVIDIA H100 80GB HBM3",
        "nvidia-h100-80gb",
        "nvidia-h100-mega-80gb",
        "H100-MEGA",
        "H100_SXM5",
        "H100-SXM",
        "NVIDIA H100 Tensor Core GPU",
    ],
    "H100-PCIE": [
        "H100 PCIe",
        "NVIDIA H100 PCIe",
        "H100-PCIE-80GB",
        "NVIDIA H100 80GB PCIe",
        "H100-80G-PCIe-NVLink",
    ],
    "H100-NVL": ["NVIDIA H100 NVL", "H100NVL", "H100-94GB", "H100 NVL 94GB"],
    "H200": ["nvidia-h200-141gb", "H200-SXM", "NVIDIA H200"],
    "H200-NVL": ["H200NVL", "NVIDIA H200 NVL"],
    "GH200": ["NVIDIA GH200 480GB", "gh200"],
    "B200": ["nvidia-b200", "B200 180GB", "B200 SXM6 180GB"],
    "B300": ["B300 SXM6", "NVIDIA B300 SXM6 AC", "B300 PC", "B300 SXM6 268GB"],
    "GB200": ["GB200 NVL4", "GB200-NVL-186GB", "NVIDIA GB200 NVL72"],
    "A16": ["NVIDIA A16"],
    "A30": ["a30-24gb"],
    "V100": ["Tesla V100-SXM2-16GB", "V100-32GB", "nvidia-tesla-v100"],
    "T4": ["Tesla T4", "nvidia-tesla-t4-vws", "NVIDIA T4"],
    "T4G": ["NVIDIA T4G Tensor Core"],
    "L4": ["nvidia-l4", "NVIDIA L4 Tensor Core GPU"],
    "L40S": ["NVIDIA L40S", "l40s-48gb"],
    "A10": ["NVIDIA A10"],
    "A10G": ["NVIDIA A10G"],
    "K520": ["GRID K520"],
    "V520": ["AMD Radeon Pro V520"],
    "RTX-6000-ADA": ["RTX 6000 Ada", "RTX6000-Ada", "NVIDIA RTX 6000 Ada Generation"],
    "RTX-A6000": ["RTX A6000", "A6000", "RTXA6000"],
    "RTX-4090": ["GeForce RTX 4090", "RTX4090", "rtx-4090"],
    "RTX-PRO-6000": ["NVIDIA RTX PRO 6000 Blackwell Server Edition", "nvidia-rtx-pro-6000"],
    "RTX-3060": ["RTX3060", "GeForce RTX 3060"],
    "RTX-4080-SUPER": ["GeForce RTX 4080 SUPER", "RTX4080SUPER", "RTX 4080S"],
    "RTX-4070-TI-SUPER": ["RTX 4070S Ti", "RTX4070TiSUPER"],
    "RTX-PRO-6000-MAXQ": ["RTX PRO 6000 Blackwell Max-Q Workstation Edition"],
    "RTX-6000": ["Quadro RTX 6000", "RTX6000"],
    "RTX-8000": ["Q RTX 8000"],
    "GTX-1660-SUPER": ["GTX1660S"],
    "GAUDI": ["Gaudi HL-205"],
    "MI355X": ["MI355X_288GB"],
    "MI300X": ["AMD Instinct MI300X", "mi300x"],
}


@pytest.mark.parametrize(
    ("name", "spelling"), [(n, s) for n, all_ in SPELLINGS.items() for s in all_]
)
def test_spellings_come_to_one_name(name: str, spelling: str) -> None:
    assert canonical(spelling) == name
    assert canonical(name) == name


def test_names_of_the_bundled_machines_are_canonical() -> None:
    machines = pd.read_csv(locations.data() / "instances.csv").dropna(subset="gpu_model")
    for model, memory in set(zip(machines["gpu_model"], machines["gpu_memory_gib"], strict=True)):
        assert canonical(model, memory) == model


def test_memory_settles_what_the_name_leaves_open() -> None:
    assert canonical("A100", 80) == "A100-80GB"
    assert canonical("A100-PCIE", 40.0) == "A100-40GB"
    assert canonical("H100", 94) == "H100-NVL"
    assert canonical("H100", 95830 / 1024) == "H100-NVL"
    assert canonical("H100", 81559 / 1024) == "H100"
    assert canonical("H100 PCIe", 80) == "H100-PCIE"
    assert canonical("H100_SXM", 80) == "H100"
    assert canonical("A100") == "A100"
    assert canonical("A100", float("nan")) == "A100"


def test_unknown_names_are_normalised_not_guessed() -> None:
    assert canonical("Grayskull e150") == "GRAYSKULL-E150"
    assert canonical("h100x") == "H100X"
    assert canonical("H100-NVLINK") == "H100-NVLINK"
    assert canonical("RTX 4090 Laptop GPU") == "RTX-4090-LAPTOP-GPU"
    assert canonical("nvidia") == "NVIDIA"
    for nothing in (None, "", "  ", float("nan"), "--"):
        assert canonical(nothing) is None


def test_every_gpu_that_gpuhunt_knows_has_a_name() -> None:
    known = gpuhunt.KNOWN_NVIDIA_GPUS + gpuhunt.KNOWN_AMD_GPUS
    assert {gpu.name for gpu in known if canonical(gpu.name, gpu.memory) not in MODELS} == set()


def test_a_machine_called_pcie_tells_the_form_that_its_gpu_leaves_out() -> None:
    assert canonical(with_form_of_machine("H100", "gpu_1x_h100_pcie"), 80) == "H100-PCIE"
    assert canonical(with_form_of_machine("A100", "NVIDIA A100 80GB PCIe"), 80) == "A100-80GB"
    assert with_form_of_machine("H100", "gpu_8x_h100_sxm5") == "H100"
    assert with_form_of_machine("H100 NVL", "h100-pcie") == "H100 NVL"
    assert with_form_of_machine("", "h100-pcie") == ""


GPUHUNT = """instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size
gpu_1x_h100_pcie,us-west-1,2.49,26,200,1,H100,80,False,
"""
SKYPILOT = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
gpu_1x_h100_pcie,H100,1,26,200,2.49,us-west-1,,
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text"), [("lambdalabs", GPUHUNT), ("lambda", SKYPILOT)])
def test_catalogues_take_the_form_from_the_machine(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    file = write_text(tmp_path / name / ("vms.csv" if text is SKYPILOT else f"{name}.csv"), text)
    batch = Batch(file, seen_at=INGESTED_AT)
    ingest_files([batch], store_dir=tmp_path / "s", now=INGESTED_AT)
    with open_snapshot(tmp_path / "s") as snapshot:
        assert snapshot.table("instances")["gpu_model"].tolist() == ["H100-PCIE"]
