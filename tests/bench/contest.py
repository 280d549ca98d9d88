"""Measure frames/s and processor time of programs and pipelines side by side.

All are started, then each runs for a short slice while the others are stopped (SIGSTOP), in turn. A machine
whose speed drifts from minute to minute drifts for all alike, so that their ratios hold.
"""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from common.bus.messages import Prediction, Status
from common.bus.pubsub import Subscriber
from tests.pipeline import PAGE_OFFSET, pipeline

SLICE_S = 0.7
START_S = 90


class Contestant(ABC):
    """Something that works on frames for ever, in processes of its own."""

    @abstractmethod
    def processes(self) -> list[psutil.Process]: ...

    @abstractmethod
    def count(self) -> int:
        """Frames done since the last call."""

    def service(self, process: psutil.Process) -> str:
        """Under which name its processor time is counted."""
        return "all"

    def more(self) -> dict[str, Any]:
        """Other metrics."""
        return {}


class Programs(Contestant):
    """So many processes of one of tests.bench.loops."""

    def __init__(self, stack: ExitStack, kind: str, clip: Path, number: int = 1) -> None:
        command = [sys.executable, "-m", "tests.bench.loops", kind, str(clip)]
        self._started = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(number)
        ]
        for process in self._started:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            stack.callback(process.stdout.close)
            stack.callback(process.wait)
            stack.callback(process.kill)

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(process.pid) for process in self._started]

    def count(self) -> int:
        return sum((process.stdout.read() or b"").count(b"\n") for process in self._started if process.stdout)


class Pipelines(Contestant):
    """The Procfile on a file that begins again and again."""

    def __init__(
        self, stack: ExitStack, folder: Path, clip: Path, keypoints: int, viewer: bool = False, video: bool = False
    ) -> None:
        folder.mkdir()
        settings: dict[str, object] = {"overlay__video": folder / "overlay.mp4"} if video else {}
        without = () if viewer or video else ("overlay",)
        source = {"camera__source": clip, "camera__loop": "true", "logger__out": folder / "out"}
        self._running = stack.enter_context(
            pipeline(folder, keypoints=keypoints, without=without, **source, **settings)
        )
        self._subscriber = Subscriber(self._running.endpoints, ["prediction", "status"])
        stack.callback(self._subscriber.close)
        stack.callback(lambda: [process.resume() for process in self.processes()])  # to be ended in order
        self._statuses: dict[str, Status] = {}
        if viewer:
            port = self._running.endpoints.port + PAGE_OFFSET
            threading.Thread(target=view, args=(port,), daemon=True).start()

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self._running.process.pid).children(recursive=True)

    def count(self) -> int:
        headers = [header for header, _ in self._subscriber.receive(0)]
        self._statuses.update({header.stream: header for header in headers if isinstance(header, Status)})
        return sum(isinstance(header, Prediction) and bool(header.label) for header in headers)

    def service(self, process: psutil.Process) -> str:
        module, *arguments = process.cmdline()[2:]
        return arguments[0] if module == "services.supervisor" else module.removeprefix("services.")

    def more(self) -> dict[str, Any]:
        lost = Counter[str]()
        for status in self._statuses.values():
            lost[status.service] += status.missed + status.dropped
        return {"lost": lost}


def view(port: int) -> None:
    """A viewer: opens the page's stream as soon as it is there, and reads images until it ends."""
    looking = True
    while looking:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream/cam") as stream:
                while looking := bool(stream.read(65_536)):
                    pass
        except urllib.error.HTTPError:
            time.sleep(0.1)  # the page is there, its stream not yet
        except OSError:
            time.sleep(0.5)


def contest(starts: dict[str, Callable[[], Contestant]], rounds: int) -> dict[str, dict[str, Any]]:
    """By name: frames/s, and by service the milliseconds of processor time a frame."""
    contestants = {}
    for name, start in starts.items():
        contestants[name] = start()
        _wait_until_it_runs(contestants[name])
        _stop(contestants[name])
    tallies = {name: Counter[str]() for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            tally = _slice(contestant)
            if number:  # the first round warms up
                tallies[name] += tally
    return {name: _metrics(contestants[name], tally) for name, tally in tallies.items()}


def _metrics(contestant: Contestant, tally: Counter[str]) -> dict[str, Any]:
    frames = tally.pop("frames")
    fps = frames / tally.pop("ms") * 1000
    return {"frames_per_s": fps, "cpu_ms": {key: ms / frames for key, ms in tally.items()}, **contestant.more()}


def _wait_until_it_runs(contestant: Contestant) -> None:
    deadline, frames = time.monotonic() + START_S, 0
    while frames < 30:
        assert time.monotonic() < deadline, f"{contestant} does not begin"
        frames += contestant.count()
        time.sleep(0.1)


def _slice(contestant: Contestant) -> Counter[str]:
    before = _cpu_ms(contestant)
    contestant.count()
    began = time.perf_counter()
    for process in contestant.processes():
        process.resume()
    time.sleep(SLICE_S)
    _stop(contestant)
    elapsed_ms = (time.perf_counter() - began) * 1000
    used = _cpu_ms(contestant)
    used.subtract(before)
    return Counter({**used, "ms": elapsed_ms, "frames": contestant.count()})


def _stop(contestant: Contestant) -> None:
    for process in contestant.processes():
        process.suspend()


def _cpu_ms(contestant: Contestant) -> Counter[str]:
    used = Counter[str]()
    for process in contestant.processes():
        used[contestant.service(process)] += sum(process.cpu_times()[:2]) * 1000
    return used
