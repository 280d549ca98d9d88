"""Run a service: load settings, open sockets, loop, report, handle signals, and close in any case."""

import argparse
import gc
import json
import logging
import os
import secrets
import socket
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar

import psutil

from common import config
from common.bus import __version__
from common.bus.errors import BusError
from common.bus.messages import Message, Status
from common.bus.pubsub import Publisher, Subscriber
from common.bus.topics import END_TOPICS, TOPIC_OF
from common.clock import now_ns
from common.errors import EXIT_USER_ERROR, UserError
from common.runtime import watchdog
from common.runtime.signals import on_stop_signal

log = logging.getLogger(__name__)

THIS_START: Final = secrets.token_hex(4)  # distinguishes starts: containers and restarts may have the same process id
HEARTBEAT_S = 1.0
BATCH_WAIT_S = 0.15  # how long a reader lets the messages of a file accumulate


class _Closable(Protocol):
    def close(self) -> None: ...


Closable = TypeVar("Closable", bound=_Closable)


@dataclass
class Health:
    """The state that a service reports; it sets what the runner cannot know."""

    state: Literal["starting", "running", "waiting", "stopping"] = "starting"
    detail: str = ""
    processed: int = 0
    missed: int = 0
    gaps: int = 0  # messages lost on the way to it, counted by the runner
    dropped: int = 0
    ended_streams: set[str] = field(default_factory=set)
    latencies_ms: list[float] = field(default_factory=list)

    def record_latency(self, ingested_ns: int) -> None:
        """Count one processed message or frame, which entered the pipeline at this Unix time."""
        self.processed += 1
        self.latencies_ms.append((now_ns() - ingested_ns) / 1e6)


class Service:
    """One stage of the pipeline. Subclasses define the topics they read and what `step` does with the messages."""

    topics: tuple[str, ...] = ()  # what it reads
    conflate: bool = True  # skip messages of a live stream for which there is a newer one
    poll_ms: int = 100  # how long to wait for messages; 0 if `step` waits for something else

    def __init__(self, settings: config.Settings) -> None:
        self.settings = settings
        self.health = Health()
        self.resources = ExitStack()
        self.done = False  # set it when there is nothing left to do: the process ends with exit code 0

    def tracked_topics(self) -> tuple[str, ...]:
        """Return the topics whose lost messages, rate and latency are reported."""
        return self.topics[:1]

    def end_topics(self) -> set[str]:
        """Return the topics on which a stream must have ended for it to be processed."""
        return END_TOPICS & set(self.tracked_topics())

    def hwm(self) -> dict[str, int]:
        """Return the high-water marks that differ from the topics' own."""
        return {}

    def setup(self) -> None:
        """Do what takes long or may fail: imports, models, devices; raises UserError."""

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        """Process the messages that have arrived, possibly none; yields the messages to send."""
        raise NotImplementedError

    def closing(self, resource: Closable) -> Closable:
        """Register a resource to be closed with the service, after those that were registered later."""
        self.resources.callback(resource.close)
        return resource

    def close(self) -> None:
        """Close all resources; called once in any case, even if `setup` failed."""
        self.resources.close()


class Heartbeat:
    """Makes a Status message from a Health every second."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process = psutil.Process()
        self._seq = 0
        self._since = time.monotonic()
        self._processed = 0
        self._cpu_s = 0.0
        self._rate = 0.0
        self._cpu_cores = 0.0
        self._latency_ms = self._min_latency_ms = 0.0

    def due(self) -> bool:
        """Return whether a second has passed since the last rates were computed."""
        return time.monotonic() - self._since >= HEARTBEAT_S

    def status(self, health: Health, subscriber: Subscriber) -> Message:
        """Return the status of now, with rates over at least the last second."""
        elapsed = time.monotonic() - self._since
        cpu_s = sum(self._process.cpu_times()[:2])
        if elapsed >= HEARTBEAT_S:
            self._rate, self._cpu_cores = (
                (health.processed - self._processed) / elapsed,
                (cpu_s - self._cpu_s) / elapsed,
            )
            self._latency_ms = statistics.median(health.latencies_ms) if health.latencies_ms else 0.0
            self._min_latency_ms = min(health.latencies_ms, default=0.0)
            self._since, self._processed, self._cpu_s = time.monotonic(), health.processed, cpu_s
            health.latencies_ms.clear()
        now = now_ns()
        self._seq += 1
        return Message(
            Status(
                stream=f"{self._name}.{THIS_START}",
                seq=self._seq,
                captured_ns=now,
                ingested_ns=now,
                service=self._name,
                pid=os.getpid(),
                host=socket.gethostname(),
                version=__version__,
                state=health.state,
                detail=health.detail,
                rate=self._rate,
                missed=health.missed + health.gaps,
                dropped=health.dropped + subscriber.conflated + subscriber.malformed,
                latency_ms=self._latency_ms,
                min_latency_ms=self._min_latency_ms,
                cpu_cores=self._cpu_cores,
                cpu_s=cpu_s,
                memory_mb=self._process.memory_info().rss / 1e6,
                ended_streams=tuple(sorted(health.ended_streams)),
            )
        )


class Runner:
    """Runs one service until it is done or receives a stop signal."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._stopping = False
        self._in_setup = True
        self._ended_topics: defaultdict[str, set[str]] = defaultdict(set)  # of each stream, the topics that have ended
        endpoints = service.settings.bus.endpoints
        self._publisher = Publisher(endpoints)
        self._subscriber = Subscriber(endpoints, service.topics, hwm=service.hwm(), conflate=service.conflate)
        self._heartbeat = Heartbeat(name)
        on_stop_signal(self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True
        if self._in_setup:
            raise SystemExit(0)  # an import of many seconds cannot check a flag

    def run(self) -> None:
        """Set the service up, run its loop, and close it."""
        health = self._service.health
        try:
            self._report(watchdog.LONG_TIMEOUT_S)
            self._service.setup()
            self._in_setup = False
            gc.freeze()  # imported objects stay, so the collector need not scan them again
            if health.state == "starting":
                health.state = "running"
            self._report()
            while not (self._stopping or self._service.done):
                self._turn()
            if self._service.poll_ms:
                self._turn()  # process what has arrived by now
        finally:
            self._in_setup = False
            health.state = "stopping"
            watchdog.beat(watchdog.LONG_TIMEOUT_S)
            self._service.close()
            self._report()
            self._publisher.close()
            self._subscriber.close()

    def _turn(self) -> None:
        health, finished = self._service.health, set(self._service.health.ended_streams)
        inbox = self._subscriber.receive(self._service.poll_ms) if self._service.topics else []
        for message in self._service.step(inbox):
            self._publisher.send(*message)
        self._count(inbox)
        if self._heartbeat.due() or health.ended_streams != finished:
            self._report()
        if inbox and self._service.poll_ms and not any(header.live for header, _ in inbox):
            time.sleep(BATCH_WAIT_S)  # a file's messages can wait, and each wake-up costs CPU time

    def _count(self, inbox: list[Message]) -> None:
        """Update lost messages, latencies and ended streams of a service that reads."""
        health, main = self._service.health, self._service.tracked_topics()
        health.gaps = sum(self._subscriber.missed[topic] for topic in main)
        for header, _ in inbox:
            topic = TOPIC_OF[type(header)].name
            if header.end_of_stream:
                self._note_end(header.stream, topic)
            elif topic in main and not isinstance(header, Status):
                self._ended_topics.pop(header.stream, None)
                health.ended_streams.discard(header.stream)
                health.record_latency(header.ingested_ns)

    def _note_end(self, stream: str, topic: str) -> None:
        needed, ended = self._service.end_topics(), self._ended_topics[stream]
        ended.add(topic)
        if needed and ended >= needed:
            self._service.health.ended_streams.add(stream)

    def _report(self, allowed_s: int = watchdog.TIMEOUT_S) -> None:
        """Publish the status and send a heartbeat to the supervisor; without a supervisor the service stops."""
        self._publisher.send(*self._heartbeat.status(self._service.health, self._subscriber))
        self._stopping |= not watchdog.beat(allowed_s)


def main(kind: type[Service], name: str, options: argparse.ArgumentParser | None = None) -> None:
    """Run a service as the command `python -m services.<name>`; exit codes are those of common.errors.

    `options` may add arguments of its own, whose dest is the setting they stand for, such as `recorder.out`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}",
        description=sys.modules["__main__"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[options] if options else [],
    )
    config.add_arguments(parser)
    arguments = parser.parse_args()
    own = [f"{key}={_text(value)}" for key, value in vars(arguments).items() if "." in key and value is not None]
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        Runner(kind(config.load(arguments.config, [*own, *arguments.set])), name).run()
    except (UserError, BusError) as error:
        log.error("%s", error)
        sys.exit(EXIT_USER_ERROR)


def _text(value: str | list[str]) -> str:
    """Return a setting's value as YAML; several words become a list."""
    return value if isinstance(value, str) else json.dumps(value)
