"""Members that need seconds take part only in tests marked ``members``; a disk that fills up."""

import subprocess

import pytest
from hypothesis import settings

from cloudarb_lib.forecast.members import MEMBERS, SLOW

settings.register_profile("untimed", deadline=None)  # a busy machine is no mistake
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Put notebooks and other runs in a kernel first: begun last, the longest would end alone."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb" and "kernel" not in item.keywords)


@pytest.fixture(autouse=True)
def quick_members(request, monkeypatch):
    if "members" not in request.keywords:
        for name in SLOW:
            monkeypatch.delitem(MEMBERS, name)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 16 MiB of its own."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk may not be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def fill(small_disk):
    """A call fills the small disk up to its last byte; the file that it returns gives way."""

    def fill_up():
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (65536, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        return filler

    return fill_up
