"""Every job runs once, even if its worker crashes."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing

import psutil
import pytest

from common.errors import UserError
from data.extraction.workers import Crash, LocalWorkers
from tests.pace import until
from tests.pipeline import python


def worker() -> Callable[[str], tuple[str, int]]:
    return do


def do(job: str) -> tuple[str, int]:
    if job.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, job))
    if job == "exit":
        os._exit(3)
    if job == "raise":
        raise LookupError("no such thing")
    if job == "wait":
        threading.Event().wait()
    return job.upper(), os.getpid()


def broken() -> Callable[[str], str]:
    raise ImportError("libGL.so.1 is missing")


def results(workers: LocalWorkers, jobs: list[str]) -> dict[str, tuple[str, int] | Crash]:
    done = list(workers.run(worker, jobs))
    assert len(done) == len(jobs)
    return dict(done)


def processes(parent: int) -> list[psutil.Process]:
    """Its workers; multiprocessing's resource tracker is none."""
    return [child for child in psutil.Process(parent).children() if "spawn_main" in " ".join(child.cmdline())]


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # where orphans are not reaped
    except psutil.NoSuchProcess:
        return False


def test_every_job_is_done_once_by_two_processes() -> None:
    jobs = [f"job {number}" for number in range(50)]
    done = results(LocalWorkers(2), jobs)
    assert [done[job][0] for job in jobs] == [job.upper() for job in jobs]
    assert 1 <= len({pid for _, pid in done.values()} - {os.getpid()}) <= 2
    assert processes(os.getpid()) == []


def test_nothing_to_do_starts_no_worker() -> None:
    assert results(LocalWorkers(2), []) == {}


def test_a_crash_costs_its_job_alone_and_says_how() -> None:
    done = results(LocalWorkers(2), ["a", "SIGKILL", "b", "SIGSEGV", "c", "exit", "d", "raise", "e"])
    crashes = {job: result.reason for job, result in done.items() if isinstance(result, Crash)}
    assert crashes == {
        "SIGKILL": "its worker was killed by SIGKILL",
        "SIGSEGV": "its worker was killed by SIGSEGV",
        "exit": "its worker ended with exit code 3",
        "raise": "its worker ended with LookupError: no such thing",
    }


def test_a_worker_that_holds_too_much_makes_place_for_another() -> None:
    done = results(LocalWorkers(1, max_bytes=0), ["a", "b", "c"])
    assert len({pid for _, pid in done.values()}) == 3


def test_an_installation_that_does_not_work_is_reported_once() -> None:
    with pytest.raises(UserError, match=r"No worker can start: ImportError: libGL\.so\.1 is missing"):
        list(LocalWorkers(2).run(broken, ["a", "b", "c"]))


def test_closing_ends_the_workers_at_once() -> None:
    with closing(LocalWorkers(2).run(worker, ["wait", "a"])) as running:
        assert next(running)[0] == "a"
    assert processes(os.getpid()) == []


def test_workers_end_with_a_parent_that_is_killed() -> None:
    program = """
from data.extraction.workers import LocalWorkers
from tests.data.extraction.test_workers import worker
if __name__ == "__main__":
    for job, result in LocalWorkers(2).run(worker, ["a", "wait", "wait"]):
        print(result[1], flush=True)
"""
    with python("-c", program, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        started = processes(process.pid)
        process.kill()
    assert len(started) == 2
    until(lambda: not any(map(lives, started)), 20)
