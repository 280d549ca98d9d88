"""Which services are there: their status messages in; who runs, who finished and who fell silent out."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from common.bus.messages import Status
from common.runtime import watchdog

HEARTBEAT_TIMEOUT_S = 3.0  # a service reports every second
RESTART_TIMEOUT_S = float(watchdog.TIMEOUT_S)  # and its keeper gives it so long
STARTUP_TIMEOUT_S = 60.0  # but not while it imports tensorflow or opens a camera


class Report(NamedTuple):
    """The last report of one process, and when it was heard (monotonic seconds)."""

    status: Status
    heard_s: float

    def is_present(self, now_s: float) -> bool:
        return now_s - self.heard_s <= HEARTBEAT_TIMEOUT_S

    def is_timed_out(self, now_s: float) -> bool:
        return now_s - self.heard_s > (STARTUP_TIMEOUT_S if self.status.state == "starting" else HEARTBEAT_TIMEOUT_S)


class ServiceRegistry:
    """Keeps the last report of every process."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}

    def on_status(self, status: Status, now_s: float) -> None:
        if status.state == "stopping":
            self._reports.pop(status.stream, None)
        else:
            self._reports[status.stream] = Report(status, now_s)

    def all(self) -> list[Report]:
        return sorted(self._reports.values(), key=lambda seen: (seen.status.service, seen.status.pid))

    def present(self, service: str, now_s: float) -> list[Status]:
        """The reports of a service's processes that are not silent."""
        return [seen.status for seen in self.all() if seen.status.service == service and seen.is_present(now_s)]

    def alive(self, service: str, now_s: float) -> list[Status]:
        """The reports of a service's processes that are not known to have ended; a busy machine may make one late."""
        return [s.status for s in self.all() if s.status.service == service and now_s - s.heard_s <= RESTART_TIMEOUT_S]

    def not_running(self, services: Iterable[str], now_s: float) -> list[str]:
        """Those of which no process is at work, be it that it waits for a disk; a service named twice needs two."""
        wanted = Counter(services)
        for service in wanted:
            wanted[service] -= sum(s.state in ("running", "waiting") for s in self.present(service, now_s))
        return sorted((+wanted).elements())

    def replaced(self, members: Iterable[Status], now_s: float) -> list[str]:
        """Services of which a process among `members` is silent or gone while one that is none of them is there.

        There is one hub at a time, so that another one says by itself that the first is gone.
        """
        names = {member.stream for member in members}
        return sorted(
            {
                member.service
                for member in members
                if member.service == "hub"
                or member.stream not in self._reports
                or not self._reports[member.stream].is_present(now_s)
                if any(status.stream not in names for status in self.present(member.service, now_s))
            }
        )

    def not_drained(self, members: Iterable[Status], stream: str, now_s: float) -> list[str]:
        """Services of which one of these processes neither has dealt with the end of a stream nor has said goodbye.

        One that is silent is not asked while another of them is there: it had just crashed when the stream began.
        """
        last = [self._reports[member.stream] for member in members if member.stream in self._reports]
        there = {seen.status.service for seen in last if seen.is_present(now_s)}
        asked = [seen.status for seen in last if seen.is_present(now_s) or seen.status.service not in there]
        return sorted({status.service for status in asked if stream not in status.ended_streams})

    def lag_s(self, services: Iterable[str], now_s: float) -> float:
        """How much older frames are when the slowest of the services is done with them than when the hub has them."""
        at_hub_ms = max((status.min_latency_ms for status in self.present("hub", now_s)), default=0.0)
        ages_ms = (status.min_latency_ms for service in set(services) for status in self.present(service, now_s))
        return (max(ages_ms, default=0.0) - at_hub_ms) / 1000

    def pop_timed_out(self, now_s: float) -> list[Status]:
        """The processes that have just fallen silent without saying that they stop; each is told once."""
        silent = [seen.status for seen in self._reports.values() if seen.is_timed_out(now_s)]
        for status in silent:
            del self._reports[status.stream]
        return silent
