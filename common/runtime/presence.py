"""Track which services run, have finished or have timed out, from their status messages."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from common.bus.messages import Status
from common.runtime import watchdog

HEARTBEAT_TIMEOUT_S = 3.0  # a service reports every second
RESTART_TIMEOUT_S = float(watchdog.TIMEOUT_S)  # when its supervisor restarts it
STARTUP_TIMEOUT_S = 60.0  # while it imports tensorflow or opens a camera it does not report


class Report(NamedTuple):
    """The last status of one process, and when it was received (monotonic seconds)."""

    status: Status
    received_s: float

    def is_present(self, now_s: float) -> bool:
        """Return whether the process has reported in time."""
        return now_s - self.received_s <= HEARTBEAT_TIMEOUT_S

    def is_timed_out(self, now_s: float) -> bool:
        """Return whether its heartbeat timed out, with more time for a process that starts."""
        return now_s - self.received_s > (STARTUP_TIMEOUT_S if self.status.state == "starting" else HEARTBEAT_TIMEOUT_S)


class ServiceRegistry:
    """Holds the last report of every process."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}

    def on_status(self, status: Status, now_s: float) -> None:
        """Store a status; a process that stops is removed."""
        if status.state == "stopping":
            self._reports.pop(status.stream, None)
        else:
            self._reports[status.stream] = Report(status, now_s)

    def all(self) -> list[Report]:
        """Return all reports, by service and process id."""
        return sorted(self._reports.values(), key=lambda report: (report.status.service, report.status.pid))

    def present(self, service: str, now_s: float) -> list[Status]:
        """Return the status of a service's processes that have reported in time."""
        reports = self.all()
        return [report.status for report in reports if report.status.service == service and report.is_present(now_s)]

    def alive(self, service: str, now_s: float) -> list[Status]:
        """Return the status of a service's processes that may still run; on a busy machine a report may be late."""
        reports = [report for report in self.all() if report.status.service == service]
        return [report.status for report in reports if now_s - report.received_s <= RESTART_TIMEOUT_S]

    def not_running(self, services: Iterable[str], now_s: float) -> list[str]:
        """Return the services without a process that runs or waits for a disk; a service named twice needs two."""
        wanted = Counter(services)
        for service in wanted:
            wanted[service] -= sum(s.state in ("running", "waiting") for s in self.present(service, now_s))
        return sorted((+wanted).elements())

    def replaced(self, members: Iterable[Status], now_s: float) -> list[str]:
        """Return the services of which a process among `members` timed out or ended and another one is present.

        There is one hub at a time, so another hub alone shows that the first has ended.
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
        """Return the services of which one of these processes has neither processed a stream's end nor stopped.

        A process that timed out is ignored while another of its service is present: it crashed as the stream began.
        """
        reports = [self._reports[member.stream] for member in members if member.stream in self._reports]
        present = {report.status.service for report in reports if report.is_present(now_s)}
        expected = [
            report.status for report in reports if report.is_present(now_s) or report.status.service not in present
        ]
        return sorted({status.service for status in expected if stream not in status.ended_streams})

    def lag_s(self, services: Iterable[str], now_s: float) -> float:
        """Return the latency of the slowest of the services minus that of the hub, in seconds."""
        at_hub_ms = max((status.min_latency_ms for status in self.present("hub", now_s)), default=0.0)
        latencies_ms = (status.min_latency_ms for service in set(services) for status in self.present(service, now_s))
        return (max(latencies_ms, default=0.0) - at_hub_ms) / 1000

    def pop_timed_out(self, now_s: float) -> list[Status]:
        """Remove and return the processes whose heartbeat timed out although they did not report that they stop."""
        timed_out = [report.status for report in self._reports.values() if report.is_timed_out(now_s)]
        for status in timed_out:
            del self._reports[status.stream]
        return timed_out
