"""CPU seconds of a block, those of processes that it starts among them."""

import subprocess
import sys
import time

from cloudarb_lib.research import CpuClock

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_work_in_another_process_counts():
    with CpuClock() as clock:
        subprocess.run([sys.executable, "-c", BURN], check=True)
    assert clock.seconds >= 0.3


def test_waiting_costs_nothing():
    with CpuClock() as clock:
        time.sleep(0.3)
    assert clock.seconds < 0.2
