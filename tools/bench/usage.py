"""What processes use, read from /proc: CPU and memory of whole trees, and what everybody else used meanwhile."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """A process and all its descendants that run now."""
    try:
        main = psutil.Process(pid)
        return [pid, *(child.pid for child in main.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of these processes; of children that have ended and were waited for, too."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return total / TICKS_PER_S


def pss_mib(pids: Iterable[int]) -> float:
    """Proportional set size: what is shared is divided among those who share it."""
    return _rollup_mib(pids, "Pss:")


def private_mib(pids: Iterable[int]) -> float:
    """What a process has written and nobody shares: others that come and go do not move it."""
    return _rollup_mib(pids, "Private_Dirty:")


def _rollup_mib(pids: Iterable[int], field: str) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1])
    return total / 1024


def pin(pid: int, cores: Iterable[int]) -> None:
    """Every thread of the tree; what is started later inherits it."""
    chosen = set(cores)
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for thread in (PROC / str(member) / "task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), chosen)


def machine_cpu_s() -> float:
    """What all processes of the machine have used; without idling, waiting and interrupts."""
    user, nice, system = (int(field) for field in (PROC / "stat").read_text().split()[1:4])
    return (user + nice + system) / TICKS_PER_S


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Taken at the beginning of a block; asked at its end."""

    at: float
    cpu: Mapping[str, float]
    machine: float

    @classmethod
    def now(cls, pids: Mapping[str, int]) -> "Meter":
        """`pids`: the main process of each tree, by name; of this process, which started them, itself alone."""
        trees = {name: [pid] if pid == os.getpid() else tree(pid) for name, pid in pids.items()}
        return cls(
            at=time.monotonic(),
            cpu={name: cpu_s(members) for name, members in trees.items()},
            machine=machine_cpu_s(),
        )

    def used(self, pids: Mapping[str, int]) -> "Used":
        end = Meter.now(pids)
        took_s = end.at - self.at
        percent = {name: 100 * (end.cpu[name] - self.cpu[name]) / took_s for name in pids}
        everybody = 100 * (end.machine - self.machine) / took_s
        return Used(
            took_s=took_s,
            percent=percent,
            foreign_percent=max(0.0, everybody - sum(percent.values())) / (os.cpu_count() or 1),
        )


@dataclass(frozen=True, kw_only=True)
class Used:
    """Percent of one core by each tree; of the whole machine by processes that are none of ours."""

    took_s: float
    percent: Mapping[str, float]
    foreign_percent: float
