"""Which services are there: their status messages in; who runs, who finished and who fell silent out."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from common.messages import Status

SILENT_S = 3.0  # a service reports every second
STARTING_S = 60.0  # but not while it imports tensorflow or opens a camera


class Seen(NamedTuple):
    """The last report of one process, and when it was heard (monotonic seconds)."""

    status: Status
    heard_s: float

    def is_silent(self, now_s: float) -> bool:
        return now_s - self.heard_s > (STARTING_S if self.status.state == "starting" else SILENT_S)


class Roster:
    """Keeps the last report of every process."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def hear(self, status: Status, now_s: float) -> None:
        if status.state == "stopping":
            self._seen.pop(status.stream, None)
        else:
            self._seen[status.stream] = Seen(status, now_s)

    def all(self) -> list[Seen]:
        return sorted(self._seen.values(), key=lambda seen: (seen.status.service, seen.status.pid))

    def present(self, service: str, now_s: float) -> list[Status]:
        """The reports of a service's processes that are not silent."""
        return [status for status, heard_s in self.all() if status.service == service and now_s - heard_s <= SILENT_S]

    def not_running(self, services: Iterable[str], now_s: float) -> list[str]:
        """Those of which no process runs; a service named twice needs two."""
        wanted = Counter(services)
        for service in wanted:
            wanted[service] -= sum(status.state == "running" for status in self.present(service, now_s))
        return sorted((+wanted).elements())

    def not_finished(self, services: Iterable[str], stream: str, now_s: float) -> list[str]:
        """Those of which a process is still at work on a stream."""
        return [
            service
            for service in sorted(set(services))
            if any(stream not in status.finished for status in self.present(service, now_s))
        ]

    def behind_s(self, services: Iterable[str], now_s: float) -> float:
        """How much older frames are when the slowest of the services is done with them than when the hub has them."""
        at_hub_ms = max((status.least_age_ms for status in self.present("hub", now_s)), default=0.0)
        ages_ms = (status.least_age_ms for service in set(services) for status in self.present(service, now_s))
        return (max(ages_ms, default=0.0) - at_hub_ms) / 1000

    def take_silent(self, now_s: float) -> list[Status]:
        """The processes that have just fallen silent without saying that they stop; each is told once."""
        silent = [seen.status for seen in self._seen.values() if seen.is_silent(now_s)]
        for status in silent:
            del self._seen[status.stream]
        return silent
