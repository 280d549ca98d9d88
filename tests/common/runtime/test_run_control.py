"""Check when a source may begin, must pause, starts over and ends, given status messages."""

import pytest

from common import config
from common.bus.messages import Message, Status
from common.runtime.presence import HEARTBEAT_TIMEOUT_S
from common.runtime.run_control import DRAIN_TIMEOUT_S, MAX_STARTS, RunControl


class Run:
    """A RunControl on the test's own clock, and services that report."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *sets: str) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr("common.runtime.run_control.time.monotonic", lambda: self.now_s)
        wait_for = "camera.wait_for=[keypoints, windows, logger]"
        self.control = RunControl(config.load(sets=[wait_for, "camera.wait_s=120", *sets]))

    def report(self, *services: str, ended_streams: tuple[str, ...] = (), state: str = "running") -> None:
        for service in services:
            name, _, number = service.partition(".")
            header = Status(
                stream=f"{name}.{number or 1}", seq=0, captured_ns=0, ingested_ns=0, service=name, pid=int(number or 1),
                state=state, ended_streams=ended_streams,  # type: ignore[arg-type]
            )  # fmt: skip
            self.control.on_messages([Message(header)])

    def pass_by(self, seconds: float, *services: str, ended_streams: tuple[str, ...] = ()) -> None:
        for _ in range(int(seconds)):
            self.now_s += 1
            self.report(*services, ended_streams=ended_streams)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    begun = Run(monkeypatch)
    assert not begun.control.ready()
    begun.report("hub", "keypoints", "windows", "logger")
    assert begun.control.ready()
    return begun


def test_a_file_pauses_while_a_reader_is_absent_but_not_for_ever(run: Run) -> None:
    assert not run.control.backpressured()
    run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints", "logger")
    assert run.control.backpressured()
    assert run.control.detail == "paused, for windows"
    run.pass_by(1, "hub", "keypoints", "logger", "windows")
    assert not run.control.backpressured()
    run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints", "logger")
    assert run.control.backpressured()
    run.pass_by(121, "hub", "keypoints", "logger")
    assert not run.control.backpressured()


@pytest.mark.parametrize("crashed", ["hub", "windows", "logger"])
def test_a_file_starts_over_when_a_process_that_received_its_start_is_replaced(run: Run, crashed: str) -> None:
    others = {"hub", "keypoints", "windows", "logger"} - {crashed}
    run.pass_by(1, *others)
    assert run.control.replaced_readers() == ""
    run.report(f"{crashed}.2")  # there is one hub at a time; of others there may be two
    assert run.control.replaced_readers() == ("hub" if crashed == "hub" else "")
    run.pass_by(HEARTBEAT_TIMEOUT_S + 1, *others, f"{crashed}.2")
    assert run.control.replaced_readers() == crashed
    run.control.restart()
    assert run.control.ready()
    assert run.control.replaced_readers() == ""


def test_a_file_continues_when_an_extractor_or_an_overlay_without_a_video_is_replaced(monkeypatch) -> None:
    for sets, expected in ((["overlay.video=null"], ""), (["overlay.video=o.mp4"], "overlay")):
        run = Run(monkeypatch, "camera.wait_for=[keypoints, overlay]", *sets)
        run.report("hub", "keypoints", "overlay")
        assert run.control.ready()
        run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints.2", "overlay.2")
        assert run.control.replaced_readers() == expected


def test_a_second_process_beside_the_first_is_no_reason_to_start_over(run: Run) -> None:
    run.pass_by(10, "hub", "keypoints", "windows", "logger", "logger.2")
    assert run.control.replaced_readers() == ""


def test_a_service_that_crashes_repeatedly_does_not_restart_a_file_for_ever(run: Run) -> None:
    for number in range(2, 2 * MAX_STARTS):
        run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints", "logger", f"windows.{number}")
        if run.control.replaced_readers():
            run.control.restart()
            assert run.control.ready()
    assert number > MAX_STARTS
    assert run.control.replaced_readers() == ""


def test_the_run_ends_when_all_that_received_the_start_have_processed_the_end(run: Run) -> None:
    run.control.last_frame_sent(live=False)
    run.report("windows", ended_streams=("cam",))
    assert not run.control.drained(["cam"])
    assert "logger" in run.control.detail
    run.report("logger", ended_streams=("cam",))
    assert not run.control.drained(["cam"], acked=False)
    assert run.control.drained(["cam"])


def test_a_process_that_starts_after_the_end_is_not_waited_for(run: Run) -> None:
    run.control.last_frame_sent(live=False)
    run.report("windows", "logger", ended_streams=("cam",))
    run.report("keypoints.2", "logger.2")
    assert run.control.drained(["cam"])


def test_a_process_that_never_finishes_is_waited_for_a_minute(run: Run, caplog) -> None:
    run.control.last_frame_sent(live=False)
    run.pass_by(DRAIN_TIMEOUT_S - 1, "hub", "windows", "logger")
    assert not run.control.drained(["cam"])
    run.pass_by(2, "hub", "windows", "logger")
    assert run.control.drained(["cam"])
    assert "logger, windows did not finish" in caplog.text


def test_the_end_of_a_live_stream_is_for_the_processes_present_then(run: Run) -> None:
    run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints", "windows.2", "logger")  # the first one was killed
    run.control.last_frame_sent(live=True)
    run.report("logger", ended_streams=("cam",))
    assert not run.control.drained(["cam"])
    run.report("windows.2", ended_streams=("cam",))
    assert run.control.drained(["cam"])


def test_a_live_source_that_began_without_waiting_waits_at_the_end(monkeypatch) -> None:
    run = Run(monkeypatch)
    run.report("hub", "windows", "logger")
    run.control.last_frame_sent(live=True)
    assert not run.control.drained(["cam"])
    run.report("windows", "logger", ended_streams=("cam",))
    assert run.control.drained(["cam"])


def test_a_second_source_is_waited_for_though_it_is_late_until_all_have_processed_its_end(run: Run) -> None:
    run.report("camera.2")
    run.now_s += HEARTBEAT_TIMEOUT_S + 2  # busy
    assert run.control.others_running("camera")
    run.report("camera.2", ended_streams=("other",))
    assert not run.control.others_running("camera")
    run.report("camera.2")
    run.now_s += 60
    assert not run.control.others_running("camera")


def test_a_recorder_resumes_where_it_was(monkeypatch) -> None:
    run = Run(monkeypatch, "camera.wait_for=[keypoints, recorder]")
    run.report("hub", "keypoints", "recorder")
    assert run.control.ready()
    run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints")
    assert run.control.backpressured()
    run.report("recorder.2")
    assert not run.control.backpressured()
    assert run.control.replaced_readers() == ""


def test_readers_that_were_given_up_do_not_pause_a_source_but_others_do(monkeypatch) -> None:
    run = Run(monkeypatch)
    run.pass_by(121, "hub", "keypoints", "windows")
    assert run.control.ready()  # without the logger
    assert not run.control.backpressured()
    run.pass_by(HEARTBEAT_TIMEOUT_S + 1, "hub", "keypoints")
    assert run.control.backpressured()  # windows may come back
