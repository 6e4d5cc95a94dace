"""Taking times: medians, rates over a while, bytes over the loopback interface."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Timing:
    """Seconds of each round, and what one round moved."""

    seconds: list[float] = field(default_factory=list)
    rows: int = 0
    logical_bytes: int = 0
    wire_bytes: int | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def rounds(count: int, action, before=lambda: None) -> Timing:
    """Runs `action` `count` times; it returns the rows and logical bytes it moved."""
    timing = Timing()
    for _ in range(count):
        before()
        sent = loopback_bytes()
        started = time.perf_counter()
        timing.rows, timing.logical_bytes = action()
        timing.seconds.append(time.perf_counter() - started)
        timing.wire_bytes = loopback_bytes() - sent
    return timing


def latencies(count: int, action) -> list[float]:
    """Milliseconds of `count` calls after a few that warm up, sorted."""
    for _ in range(max(3, count // 20)):
        action()
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        action()
        taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)


def rate(connections: int, seconds: float, make_action) -> float:
    """Calls per second of `connections` threads that each repeat an action of their own."""
    actions = [make_action(number) for number in range(connections)]
    counts = [0] * connections
    begin, stop = threading.Barrier(connections + 1), threading.Event()

    def repeat(number: int) -> None:
        begin.wait()
        while not stop.is_set():
            actions[number]()
            counts[number] += 1

    threads = [threading.Thread(target=repeat, args=(n,), daemon=True) for n in range(connections)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    taken = time.perf_counter() - started
    done = sum(counts)
    for thread in threads:
        thread.join(timeout=30)
    return done / taken


def drain(reader) -> tuple[int, int]:
    """Reads all batches; their rows and bytes."""
    rows = size = 0
    for batch in reader:
        rows += batch.num_rows
        size += batch.nbytes
    return rows, size


def loopback_bytes() -> int:
    """Bytes received on the loopback interface since the machine started."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise OSError("no loopback interface in /proc/net/dev")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
