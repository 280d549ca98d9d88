"""Check which services run, have finished or have timed out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.bus.messages import Status
from common.runtime.presence import HEARTBEAT_TIMEOUT_S, ServiceRegistry


def status(service: str, pid: int = 1, state: str = "running", ended_streams: tuple[str, ...] = ()) -> Status:
    return Status(
        stream=f"{service}.{pid}", seq=0, captured_ns=0, ingested_ns=0,
        service=service, pid=pid, state=state, ended_streams=ended_streams,  # type: ignore[arg-type]
    )  # fmt: skip


def registry_of(*statuses: Status, now_s: float = 0.0) -> ServiceRegistry:
    registry = ServiceRegistry()
    for each in statuses:
        registry.on_status(each, now_s)
    return registry


def test_a_service_is_ready_when_one_of_its_processes_runs_and_not_while_it_starts() -> None:
    registry = registry_of(status("hub"), status("keypoints", 1, "starting"), status("logger", 1, "waiting"))
    # One that waits, for a disk with room, is there: a file that waited for it in turn would stand still.
    assert registry.not_running(["hub", "keypoints", "logger", "overlay"], 0.0) == ["keypoints", "overlay"]
    registry.on_status(status("keypoints", 2), 0.0)
    assert registry.not_running(["hub", "keypoints"], 0.0) == []


def test_two_extractors_are_waited_for_where_two_are_named() -> None:
    registry = registry_of(status("keypoints", 1), status("keypoints", 2, "starting"))
    assert registry.not_running(["keypoints", "keypoints"], 0.0) == ["keypoints"]
    registry.on_status(status("keypoints", 2), 0.0)
    assert registry.not_running(["keypoints", "keypoints"], 0.0) == []


def test_a_stream_is_drained_when_every_process_that_received_its_start_has_processed_its_end() -> None:
    first, second = status("logger", 1, ended_streams=("cam", "clip")), status("logger", 2, ended_streams=("cam",))
    registry = registry_of(first, second)
    assert registry.not_drained([first, second], "cam", 0.0) == []
    assert registry.not_drained([first, second], "clip", 0.0) == ["logger"]
    assert registry.not_drained([first], "clip", 0.0) == []  # the other one began later, and will never receive the end


def test_a_process_that_times_out_is_waited_for_and_one_that_stops_is_not() -> None:
    overlay = status("overlay")
    registry = registry_of(overlay)
    assert registry.not_drained([overlay], "cam", HEARTBEAT_TIMEOUT_S + 1) == ["overlay"]
    registry.on_status(status("overlay", state="stopping"), 1.0)
    assert registry.not_drained([overlay], "cam", 1.0) == []


def test_a_process_that_had_crashed_when_the_stream_began_is_not_waited_for() -> None:
    dead, new = status("overlay", 1), status("overlay", 2)
    registry = registry_of(dead, new)
    registry.on_status(status("overlay", 2, ended_streams=("cam",)), 9.0)
    assert registry.not_drained([dead, new], "cam", 9.0) == []
    assert registry.not_drained([dead, new], "clip", 9.0) == ["overlay"]


def test_a_process_is_replaced_when_it_timed_out_and_a_new_one_is_present() -> None:
    old, new = status("windows", 1), status("windows", 2)
    registry = registry_of(old)
    assert registry.replaced([old], HEARTBEAT_TIMEOUT_S + 1) == []  # it is gone, but not replaced
    registry.on_status(new, 2.0)
    assert registry.replaced([old], 2.0) == []  # two of them
    assert registry.replaced([old], HEARTBEAT_TIMEOUT_S + 0.1) == ["windows"]
    assert registry.replaced([new], HEARTBEAT_TIMEOUT_S + 0.1) == []
    hub = status("hub", 1)
    assert registry_of(hub, status("hub", 2)).replaced([hub], 0.0) == ["hub"]  # there is one at a time
    registry.on_status(status("windows", 1, "stopping"), 2.5)
    assert registry.replaced([old], 2.5) == ["windows"]


@pytest.mark.parametrize(
    ("later_s", "there"), [(0.0, True), (HEARTBEAT_TIMEOUT_S, True), (HEARTBEAT_TIMEOUT_S + 0.01, False)]
)
def test_a_service_that_timed_out_is_neither_present_nor_ready(later_s: float, there: bool) -> None:
    registry = registry_of(status("hub"))
    assert bool(registry.present("hub", later_s)) is there
    assert (registry.not_running(["hub"], later_s) == []) is there


def test_the_lag_of_a_reader_is_its_latency_minus_that_of_the_hub() -> None:
    hub, quick, slow = (
        msgspec.structs.replace(status(service), min_latency_ms=latency_ms)
        for service, latency_ms in (("hub", 2700.0), ("logger", 2900.0), ("overlay", 4700.0))
    )
    assert registry_of(hub, quick, slow).lag_s(["logger", "overlay"], 0.0) == pytest.approx(2.0)
    assert registry_of(hub, quick, slow).lag_s(["logger"], 0.0) == pytest.approx(0.2)
    # One that timed out causes no backpressure.
    assert registry_of(hub, quick, slow).lag_s(["overlay"], HEARTBEAT_TIMEOUT_S + 1) == 0.0
    assert registry_of().lag_s(["overlay"], 0.0) == 0.0


def test_a_timeout_is_reported_once_and_again_after_a_return() -> None:
    registry = registry_of(status("hub"), status("logger"))
    registry.on_status(status("logger"), 3.0)
    assert [s.service for s in registry.pop_timed_out(3.5)] == ["hub"]
    assert registry.pop_timed_out(3.6) == []
    registry.on_status(status("hub"), 4.0)
    assert {s.service for s in registry.pop_timed_out(8.0)} == {"hub", "logger"}


def test_a_process_that_stops_does_not_time_out() -> None:
    registry = registry_of(status("hub"), status("hub", state="stopping"))
    assert registry.all() == [] and registry.pop_timed_out(100.0) == []


def test_the_stop_of_an_unknown_process_is_harmless() -> None:
    assert registry_of(status("hub", state="stopping")).all() == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 3), st.floats(0, 10)), max_size=20))
def test_only_the_last_report_of_a_process_counts_and_the_list_is_in_order(reports: list) -> None:
    registry = ServiceRegistry()
    last = {}
    for service, pid, now_s in sorted(reports, key=lambda report: report[2]):
        registry.on_status(status(service, pid), now_s)
        last[service, pid] = now_s
    assert {(s.service, s.pid): received_s for s, received_s in registry.all()} == last
    assert [(s.service, s.pid) for s, _ in registry.all()] == sorted(last)
