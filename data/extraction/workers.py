"""Run jobs in worker processes that may crash.

LocalWorkers are processes on this machine; any other class with the `run` of Workers, such as a cluster's, fits too.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection, wait
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import psutil

from common.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

MAX_BYTES: Final = 1_500_000_000  # MediaPipe needs 370 MB with small frames


class Crash(NamedTuple):
    """In place of a result: the job ended its worker."""

    reason: str


class Workers(Protocol):
    """Run jobs in parallel."""

    def run(
        self, make: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | Crash], None, None]:
        """Run every job once, started in this order; yields each with its result as it ends.

        Each worker calls `make` once, and the function that it returns with each of its jobs. Close the iterator to
        end the workers early. Raises UserError where `make` fails.
        """


class LocalWorkers:
    """So many processes, each replaced by a new one when it holds more than `max_bytes` of memory after a job."""

    def __init__(self, count: int, max_bytes: int = MAX_BYTES) -> None:
        self._count, self._max_bytes = count, max_bytes

    def run(
        self, make: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | Crash], None, None]:
        """See Workers.run."""
        waiting, team = deque(jobs), dict[Any, _Worker]()  # by connection
        try:
            while waiting or team:
                while waiting and len(team) < self._count:
                    worker = _Worker(make, self._max_bytes)
                    team[worker.connection] = worker
                    worker.send(waiting.popleft())
                for connection in wait(list(team)):
                    worker = team[connection]
                    done, (result, keep_alive) = worker.job, worker.receive()
                    if keep_alive and waiting:  # it works on while the caller handles the result
                        worker.send(waiting.popleft())
                    else:
                        team.pop(connection).end()
                    yield done, result
        finally:
            for worker in team.values():
                worker.end()


class _Worker:
    """One process and its current job."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], max_bytes: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork copies the locks of MediaPipe's threads, not these
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(make, max_bytes, theirs), daemon=True)
        # Ctrl-C reaches all processes of a terminal: workers ignore it from the start, this process ends them.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        theirs.close()  # so that the connection ends with the process
        self.job: Any = None

    def send(self, job: Any) -> None:
        self.job = job
        with contextlib.suppress(OSError):  # it may have crashed, which `receive` reports
            self.connection.send(job)

    def receive(self) -> tuple[Any, bool]:
        """The job's result, and whether the process can run another job."""
        try:
            result, keep_alive = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Crash(f"its worker {_ending(self._process.exitcode or 0)}"), False
        if isinstance(result, InitError):
            raise UserError(f"No worker can start: {result.reason}.")
        return result, keep_alive

    def end(self) -> None:
        self._process.kill()  # it holds nothing that was not sent
        self._process.join()
        self.connection.close()


class InitError(NamedTuple):
    """In place of a result: `make` failed."""

    reason: str


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    return "was killed by " + next((s.name for s in signal.Signals if s == -exit_code), f"signal {-exit_code}")


def _work(make: Callable[[], Callable[[Any], Any]], max_bytes: int, connection: Connection) -> None:
    """The main function of a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = make()
    except Exception as error:  # noqa: BLE001 (anything may be wrong with an installation)
        connection.send((InitError(f"{type(error).__name__}: {error}"), False))
        return
    while True:
        job = connection.recv()
        try:
            result, keep_alive = work(job), psutil.Process().memory_info().rss <= max_bytes
        except Exception as error:  # noqa: BLE001 (whatever a job does to a library, it costs this job alone)
            result, keep_alive = Crash(f"its worker ended with {type(error).__name__}: {error}"), False
        connection.send((result, keep_alive))


def _end_with_parent() -> None:
    """End the process when the parent has ended, even by a kill."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
    os._exit(1)
