"""Large objects, by curl."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.relay.accounting import Memory, Meter, memory
from benchmarks.relay.layout import BLOBS, FOREIGN, MEBI
from benchmarks.relay.site import Running
from kecs.core.names import PROXY_UID

_SAMPLE_S = 0.05


class Peak:
    """The most memory that was seen."""

    def __init__(self, before: Memory) -> None:
        self.pss = before.pss
        self.rss = before.rss

    def see(self, now: Memory) -> None:
        """Take a sample."""
        self.pss = max(self.pss, now.pss)
        self.rss = max(self.rss, now.rss)

    def figures(self) -> dict[str, float]:
        """Return the peaks, in megabytes."""
        return {"peak_pss_mb": self.pss / 1e6, "peak_rss_mb": self.rss / 1e6}


@contextmanager
def watched(running: Running) -> Iterator[Peak]:
    """Sample an arm's memory twenty times a second, and at the end."""
    pids = running.pod.members(PROXY_UID)
    peak, ended = Peak(memory(pids)), threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            peak.see(memory(pids))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.see(memory(pids))


def download(size: int) -> Callable[[Running, float], dict[str, float]]:
    """Get an object of so many megabytes."""

    def measure(running: Running, _seconds: float) -> dict[str, float]:
        return _curl(running, f"{running.base}/blob-{size}", BLOBS[size])

    return measure


def pass_download(size: int) -> Callable[[Running, float], dict[str, float]]:
    """Get an object from a server that is not AWS."""

    def measure(running: Running, _seconds: float) -> dict[str, float]:
        return _curl(running, f"https://{FOREIGN}/blob-{size}", BLOBS[size])

    return measure


def upload(size: int) -> Callable[[Running, float], dict[str, float]]:
    """Put an object of so many megabytes."""

    def measure(running: Running, _seconds: float) -> dict[str, float]:
        file = running.site.directory / "world" / f"blob-{size}"
        return _curl(running, "--upload-file", str(file), f"{running.base}/sink", BLOBS[size])

    return measure


def _curl(running: Running, *arguments: str | int) -> dict[str, float]:
    *words, size = arguments
    told = [
        "-sS",
        "--fail",
        "--http1.1",
        "--cacert",
        str(running.material.root),
        "-o",
        "/dev/null",
        "--max-time",
        "300",
    ]
    figures = "%{size_download} %{size_upload} %{time_total}"
    meter = Meter(running.pod, PROXY_UID)
    with watched(running) as peak:
        said = running.pod.run("curl", *told, "-w", figures, *map(str, words))
    used_s = meter.used_s()
    down, up, seconds = map(float, said.split())
    if max(down, up) != size:
        raise SystemExit(f"error: {running.arm.name} moved {max(down, up):.0f} of {size} bytes")
    found = {"mb_s": down / 1e6 / seconds if down > up else up / 1e6 / seconds}
    if running.arm.program is None:
        return found
    return found | peak.figures() | {"cpu_ms_mb": used_s * 1000 / (float(size) / MEBI)}
