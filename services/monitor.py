"""Show the state of all services in the terminal, refreshed."""

import argparse
import logging
import sys
import time
from contextlib import closing, suppress

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from common import config
from common.bus.messages import Status
from common.bus.pubsub import Subscriber
from common.errors import UserError, command
from common.runtime.presence import ServiceRegistry

REFRESH_MS = 500
COLUMNS = ("service", "process", "state", "per s", "latency ms", "missed", "dropped", "cores", "MB")


def table(registry: ServiceRegistry, lost: list[str], now_s: float) -> Table:
    """Make a table with one row a process, and the lost services below."""
    shown = Table(box=box.SIMPLE, title="actionstream", caption="\n".join(lost[-5:]) or None)
    for column in COLUMNS:
        shown.add_column(column, no_wrap=column != "state", justify="left" if column in COLUMNS[:3] else "right")
    for report in registry.all():
        status, timed_out = report.status, report.is_timed_out(now_s)
        shown.add_row(
            status.service,
            str(status.pid),
            "timed out" if timed_out else f"{status.state} {status.detail}".strip(),
            f"{status.rate:.1f}",
            f"{status.latency_ms:.0f}",
            str(status.missed),
            str(status.dropped),
            f"{status.cpu_cores:.2f}",
            f"{status.memory_mb:.0f}",
            style="red" if timed_out else "yellow" if status.state != "running" else None,
        )
    return shown


def watch(subscriber: Subscriber, once_s: float | None) -> None:
    """Show the table until interrupted; with once_s, listen for so many seconds and print it once."""
    registry, lost, begun = ServiceRegistry(), [], time.monotonic()
    console = Console()
    with Live(console=console, auto_refresh=False, transient=once_s is not None) as live:
        while once_s is None or time.monotonic() - begun < once_s:
            now = time.monotonic()
            for header, _ in subscriber.receive(REFRESH_MS):
                if isinstance(header, Status):
                    registry.on_status(header, now)
            for status in registry.pop_timed_out(now):
                lost.append(
                    f"{time.strftime('%H:%M:%S')} {status.service} (process {status.pid})'s heartbeat timed out"
                )
            live.update(table(registry, lost, now), refresh=True)
    if once_s is not None:
        if not registry.all():
            raise UserError("No service reported: is a pipeline running, and is its port the one in bus.port?")
        console.print(table(registry, lost, time.monotonic()))


def main() -> None:
    """Show the table."""
    parser = argparse.ArgumentParser(
        prog="python -m services.monitor", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument(
        "--once", type=float, metavar="SECONDS", help="listen for so many seconds, print the table, end"
    )
    config.add_arguments(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with command(), suppress(KeyboardInterrupt):
        endpoints = config.load(arguments.config, arguments.set).bus.endpoints
        with closing(Subscriber(endpoints, ["status"])) as subscriber:
            watch(subscriber, arguments.once)


if __name__ == "__main__":
    main()
