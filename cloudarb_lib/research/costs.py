"""What a method costs: CPU seconds of this process and of all that it started."""

from __future__ import annotations

import time
from types import TracebackType


class CpuClock:
    """Counts the CPU seconds of a with block, those of worker processes included.

    Wall-clock time would tell how busy the machine is.

    Attributes
    ----------
    seconds : float
        CPU seconds, once the block has ended; 0 before.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> CpuClock:
        self._began = _cpu_seconds()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = _cpu_seconds() - self._began


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process, its living children, and those that have ended."""
    import psutil

    me = psutil.Process()
    ended = me.cpu_times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in me.children(recursive=True):
        try:
            of_child = child.cpu_times()
        except psutil.NoSuchProcess:  # it ended just now, and is counted next time
            continue
        total += of_child.user + of_child.system
        total += of_child.children_user + of_child.children_system
    return total
