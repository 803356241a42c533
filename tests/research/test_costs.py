"""CPU seconds of a block, those of processes that it starts among them."""

import subprocess
import sys

import pytest

from cloudarb_lib.research import CpuClock

pytestmark = pytest.mark.slow

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_work_in_another_process_counts():
    with CpuClock() as clock:
        subprocess.run([sys.executable, "-c", BURN], check=True)
    assert clock.seconds >= 0.3


WAIT = """
import time
from cloudarb_lib.research import CpuClock
with CpuClock() as clock:
    time.sleep(0.3)
print(clock.seconds)
"""


def test_waiting_costs_nothing():
    # by itself: here, workers of other tests may be at work
    done = subprocess.run([sys.executable, "-c", WAIT], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 0.2
