"""Jobs in, their results out as they end; where a worker crashes, which job it had at hand.

LocalWorkers are processes on this machine. Whatever else has the `run` of Workers can stand in, a cluster say.
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

MAX_BYTES: Final = 1_500_000_000  # MediaPipe takes 370 MB with small pictures


class Crash(NamedTuple):
    """Comes in place of a result where the worker did not survive the job."""

    reason: str


class Workers(Protocol):
    """Whoever does jobs."""

    def run(
        self, make: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | Crash], None, None]:
        """Do every job once, in about this order; close the iterator to end the workers early.

        Each worker calls `make` once, and what that returns with each of its jobs. Raises UserError where `make` fails.
        """


class LocalWorkers:
    """So many processes, each of which gives way to a new one when it holds more than `max_bytes` after a job."""

    def __init__(self, count: int, max_bytes: int = MAX_BYTES) -> None:
        self._count, self._max_bytes = count, max_bytes

    def run(
        self, make: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | Crash], None, None]:
        waiting, team = deque(jobs), dict[Any, _Worker]()  # by connection
        try:
            while waiting or team:
                while waiting and len(team) < self._count:
                    worker = _Worker(make, self._max_bytes)
                    team[worker.connection] = worker
                    worker.send(waiting.popleft())
                for connection in wait(list(team)):
                    worker = team[connection]
                    done, (result, stays) = worker.job, worker.receive()
                    if stays and waiting:  # it works on while the result is dealt with
                        worker.send(waiting.popleft())
                    else:
                        team.pop(connection).end()
                    yield done, result
        finally:
            for worker in team.values():
                worker.end()


class _Worker:
    """One process and the job it has at hand."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], max_bytes: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork has the locks of MediaPipe's threads, not the threads
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(make, max_bytes, theirs), daemon=True)
        # Ctrl-C reaches all processes of a terminal: it is left to this one to end the others, even while they start.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        theirs.close()  # so that the end of the process is the end of the connection
        self.job: Any = None

    def send(self, job: Any) -> None:
        self.job = job
        with contextlib.suppress(OSError):  # it may be dead, which `hear` will tell
            self.connection.send(job)

    def receive(self) -> tuple[Any, bool]:
        """What became of the job, and whether the process can take another."""
        try:
            result, stays = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Crash(f"its worker {_ending(self._process.exitcode or 0)}"), False
        if isinstance(result, InitError):
            raise UserError(f"No worker can begin: {result.reason}.")
        return result, stays

    def end(self) -> None:
        self._process.kill()  # it holds nothing that is not told
        self._process.join()
        self.connection.close()


class InitError(NamedTuple):
    """What a worker tells whose `make` failed."""

    reason: str


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    return "was killed by " + next((s.name for s in signal.Signals if s == -exit_code), f"signal {-exit_code}")


def _work(make: Callable[[], Callable[[Any], Any]], max_bytes: int, connection: Connection) -> None:
    """The life of a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = make()
    except Exception as error:  # noqa: BLE001 (anything may be wrong with an installation)
        connection.send((InitError(f"{type(error).__name__}: {error}"), False))
        return
    while True:
        job = connection.recv()
        try:
            result, stays = work(job), psutil.Process().memory_info().rss <= max_bytes
        except Exception as error:  # noqa: BLE001 (whatever a job does to a library, it costs this job alone)
            result, stays = Crash(f"its worker ended with {type(error).__name__}: {error}"), False
        connection.send((result, stays))


def _end_with_parent() -> None:
    """Also where the parent was killed and could not end anybody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
