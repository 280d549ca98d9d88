"""Check assignments in a simulated hub with cameras, files and extractors that are slow, die or time out."""

import random
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.bus.messages import Frame
from common.frames.dispatcher import (
    FILE_TIMEOUT_S,
    FRAME_TIMEOUT_S,
    MAX_TRIES,
    OVERTAKEN_S,
    REQUEST_TIMEOUT_S,
    SHARE_S,
    Dispatcher,
    OrderedResult,
)

STEP_S = 0.01
A, B = b"a", b"b"


def frame(stream: str, seq: int, live: bool = True, start: int = 0, end_of_stream: bool = False) -> Frame:
    return Frame(
        stream=stream, seq=seq, captured_ns=seq, ingested_ns=seq, start=start, live=live, end_of_stream=end_of_stream
    )


@dataclass
class Extractor:
    """Takes `work_s` for a frame; from dies_at on it is disconnected, from times_out_at on it sends nothing."""

    work_s: float
    dies_at: float = 1e9
    times_out_at: float = 1e9
    frame: Frame | None = None
    ready_at: float = 0.0
    next_request: float = 0.0
    received: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Hub:
    """The dispatcher in a world of its own time, as services/hub.py drives it."""

    extractors: dict[bytes, Extractor]
    dispatcher: Dispatcher[str, int] = field(default_factory=Dispatcher)
    now: float = 0.0
    released: dict[str, list[OrderedResult[int]]] = field(default_factory=lambda: defaultdict(list))
    submitted: int = 0

    def submit(self, header: Frame) -> None:
        self.submitted += not header.end_of_stream
        self.dispatcher.submit(header, "image", b"camera", self.now)

    def run(self, until: float) -> None:
        while self.now < until:
            self.step()

    def step(self) -> None:
        self.now += STEP_S
        for name, extractor in self.extractors.items():
            self._work(name, extractor)
        self.dispatcher.tick(self.now)
        for assignment in list(self.dispatcher.assignments(self.now)):
            self._send(assignment.extractor, assignment.header)
        for release in self.dispatcher.ordered_results():
            self.released[release.header.stream].append(release)

    def _work(self, name: bytes, extractor: Extractor) -> None:
        if self.now >= min(extractor.dies_at, extractor.times_out_at):
            return
        if extractor.frame is None and self.now >= extractor.next_request:
            self.dispatcher.request(name, self.now)
            extractor.next_request = self.now + 1.0
        elif extractor.frame is not None and self.now >= extractor.ready_at:
            done, extractor.frame = extractor.frame, None
            self.dispatcher.result(name, done, done.seq, self.now)
            self.dispatcher.request(name, self.now)
            extractor.next_request = self.now + 1.0

    def _send(self, name: bytes, header: Frame) -> None:
        extractor = self.extractors[name]
        if self.now >= extractor.dies_at:
            self.dispatcher.remove_worker(name)
            return
        assert extractor.frame is None, "two frames at once for one extractor"
        extractor.frame, extractor.ready_at = header, self.now + extractor.work_s
        extractor.received.append((header.stream, header.seq))

    def seqs(self, stream: str) -> list[int]:
        return [r.header.seq for r in self.released[stream] if not r.header.end_of_stream]


def frame_counts(hub: Hub, stream: str, since: int = 0) -> dict[bytes, int]:
    """How many of a stream's frames each extractor received."""
    return {n: sum(s == stream and q >= since for s, q in e.received) for n, e in hub.extractors.items()}


def play(hub: Hub, streams: dict[str, float], seconds: float) -> None:
    """Live streams of so many frames a second each."""
    start, due = hub.now, dict.fromkeys(streams, 0)
    while hub.now < start + seconds:
        for name, fps in streams.items():
            if hub.now - start >= due[name] / fps:
                hub.submit(frame(name, due[name]))
                due[name] += 1
        hub.step()


# --- any world --------------------------------------------------------------------------------------

worlds = st.fixed_dictionaries(
    {
        "files": st.lists(st.integers(0, 25), max_size=2),
        "cameras": st.lists(st.tuples(st.integers(1, 40), st.sampled_from([10.0, 30.0])), max_size=2),
        "workers": st.lists(
            st.tuples(st.floats(0.01, 0.3), st.none() | st.floats(0, 3), st.none() | st.floats(0, 3)), max_size=3
        ),
        "survivor_s": st.floats(0.01, 0.1),
        "seed": st.integers(0, 2**32),
    }
)


def simulate(world: dict) -> Hub:
    """Files send up to four frames ahead and sometimes twice; cameras send theirs in time; all end."""
    rng = random.Random(world["seed"])  # noqa: S311
    workers = {
        str(i).encode(): Extractor(work, dies if dies is not None else 1e9, times_out if times_out is not None else 1e9)
        for i, (work, dies, times_out) in enumerate(world["workers"])
    }
    hub = Hub({**workers, b"survivor": Extractor(world["survivor_s"])})
    submitted_of = {f"file{i}": 0 for i in range(len(world["files"]))}
    shown = {f"camera{i}": 0 for i in range(len(world["cameras"]))}
    for _ in range(12_000):  # more than FILE_TIMEOUT_S for each of the workers
        for i, count in enumerate(world["files"]):
            name = f"file{i}"
            seq, waiting = submitted_of[name], hub.dispatcher.streams.get(name)
            if seq <= count and (waiting is None or len(waiting.unassigned()) < 4):
                header = frame(name, seq, live=False, end_of_stream=seq == count)
                hub.submit(header)
                submitted_of[name] += 1
                if rng.random() < 0.3:
                    hub.dispatcher.submit(header, "image", b"camera", hub.now)  # sent again
        for i, (count, fps) in enumerate(world["cameras"]):
            name = f"camera{i}"
            if shown[name] <= count and hub.now >= shown[name] / fps:
                hub.submit(frame(name, shown[name], end_of_stream=shown[name] == count))
                shown[name] += 1
        hub.step()
        ended = sum(bool(r) and r[-1].header.end_of_stream for r in hub.released.values())
        if ended == len(submitted_of) + len(shown):
            break
    return hub


@settings(max_examples=60)
@given(worlds)
def test_files_are_complete_cameras_in_order_and_every_frame_is_accounted_for(world: dict) -> None:
    hub = simulate(world)
    for i, count in enumerate(world["files"]):
        assert hub.seqs(f"file{i}") == list(range(count))  # each once, in order, none lost
    for i in range(len(world["cameras"])):
        seqs = hub.seqs(f"camera{i}")
        assert seqs == sorted(set(seqs))  # in order, none twice
    given_up = 0
    for releases in hub.released.values():
        assert [r.header.end_of_stream for r in releases] == [False] * (len(releases) - 1) + [
            True
        ]  # the end comes last
        # Its own result; a frame on which MAX_TRIES extractors died has none.
        assert all(r.result in (r.header.seq, None) for r in releases if not r.header.end_of_stream)
        given_up += sum(r.result is None for r in releases if not r.header.end_of_stream)
    assert given_up == hub.dispatcher.given_up
    assert len(hub.released) == len(world["files"]) + len(world["cameras"])
    assert not hub.dispatcher.streams
    released = sum(len(hub.seqs(name)) for name in hub.released)
    assert released + hub.dispatcher.dropped + hub.dispatcher.lost == hub.submitted


# --- assignments ------------------------------------------------------------------------------------


def test_a_stream_that_one_extractor_keeps_up_with_stays_with_it() -> None:
    hub = Hub({A: Extractor(0.02), B: Extractor(0.02)})
    play(hub, {"cam": 25}, 10)
    assert sorted(frame_counts(hub, "cam").values())[0] == 0
    assert hub.dispatcher.dropped == 0


def test_it_stays_with_one_though_frames_waited_before_the_first_extractor_came() -> None:
    # A camera is ready in a second, an extractor in ten: nothing fell behind.
    hub = Hub({})
    play(hub, {"cam": 25}, 1)
    hub.extractors = {A: Extractor(0.02), B: Extractor(0.02)}
    for seq in range(1000, 1000 + round(1.5 * SHARE_S / 0.04)):
        hub.submit(frame("cam", seq))
        hub.run(hub.now + 0.04)
    assert min(frame_counts(hub, "cam").values()) == 0


def test_a_stream_that_falls_behind_is_shared() -> None:
    hub = Hub({A: Extractor(0.06), B: Extractor(0.06)})
    play(hub, {"cam": 25}, 10)
    counts = frame_counts(hub, "cam")
    assert min(counts.values()) > 0.8 * max(counts.values())
    assert hub.dispatcher.dropped < 5


def test_sharing_ends_when_one_extractor_keeps_up_again() -> None:
    hub = Hub({A: Extractor(0.06), B: Extractor(0.06)})
    play(hub, {"cam": 25}, 2)
    for extractor in hub.extractors.values():
        extractor.work_s = 0.02
    start = hub.released["cam"][-1].header.seq
    for seq in range(start + 10, start + 800):
        hub.submit(frame("cam", seq))
        hub.run(hub.now + 0.04)
    late = round(start + 10 + (SHARE_S + 1) / 0.04)
    assert min(frame_counts(hub, "cam", since=late).values()) == 0


def test_two_streams_and_two_extractors_end_up_with_one_each() -> None:
    hub = Hub({A: Extractor(0.035)})
    play(hub, {"left": 25, "right": 24}, 2)
    hub.extractors[B] = Extractor(0.035)
    for seq in range(1000, 1500):
        hub.submit(frame("left", seq))
        hub.submit(frame("right", seq))
        hub.run(hub.now + 0.04)
    settled = [frame_counts(hub, name, since=1400) for name in ("left", "right")]
    assert all(min(counts.values()) == 0 for counts in settled), settled
    assert settled[0][A] != settled[1][A]


def test_a_file_is_shared_by_all() -> None:
    hub = Hub({A: Extractor(0.05), B: Extractor(0.05)})
    for seq in range(40):
        hub.submit(frame("clip", seq, live=False))
    hub.run(3)
    assert hub.seqs("clip") == list(range(40))
    assert frame_counts(hub, "clip") == {A: 20, B: 20}


@pytest.mark.parametrize("again", [False, True])
def test_a_file_is_assigned_round_robin_because_tracking_is_steadier_then(again: bool) -> None:
    hub = Hub({A: Extractor(0.05), B: Extractor(0.06)})
    if again:
        hub.submit(frame("clip", 0, live=False))
        hub.run(1)
        hub.extractors[A].received.clear()
        hub.extractors[B].received.clear()
    for seq in range(10):
        hub.submit(frame("clip", seq, live=False, start=1))
    hub.run(hub.now + 3)
    received = [[seq for _, seq in extractor.received] for extractor in hub.extractors.values()]
    assert sorted(received) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_a_file_does_not_wait_long_for_the_extractor_that_is_next() -> None:
    hub = Hub({A: Extractor(0.05), B: Extractor(2.0)})
    for seq in range(20):
        hub.submit(frame("clip", seq, live=False))
    hub.run(4)
    assert hub.seqs("clip") == list(range(20))
    assert frame_counts(hub, "clip")[A] > 15


def test_the_stream_that_waited_longest_comes_first() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.submit(frame("late", 0), "x", b"camera", 2.0)
    dispatcher.submit(frame("early", 0), "x", b"camera", 1.0)
    dispatcher.request(A, 3.0)
    assert [assignment.header.stream for assignment in dispatcher.assignments(3.0)] == ["early"]


def test_an_extractor_that_requests_twice_still_holds_one_frame_at_a_time() -> None:
    # Its repeated request may cross the frame on its way; a second frame would only grow old with it.
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.request(A, 0.0)
    dispatcher.submit(frame("cam", 0), "x", b"camera", 0.0)
    assert len(list(dispatcher.assignments(0.0))) == 1
    dispatcher.request(A, 0.001)
    dispatcher.submit(frame("cam", 1), "x", b"camera", 0.04)
    assert not list(dispatcher.assignments(0.04))


# --- cameras that repeat, restart and end -----------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_frames_sent_again_are_ignored_even_after_their_release(live: bool) -> None:
    hub = Hub({A: Extractor(0.01)})
    for seq in range(3):
        hub.submit(frame("cam", seq, live))
        hub.run(hub.now + 0.1)
    for seq in range(3):
        hub.dispatcher.submit(frame("cam", seq, live), "x", b"camera", hub.now)
    hub.run(hub.now + 1)
    assert hub.seqs("cam") == [0, 1, 2]


def test_a_restarted_camera_starts_at_zero_and_its_pending_frames_are_counted_as_lost() -> None:
    hub = Hub({A: Extractor(0.3), B: Extractor(0.01)})
    hub.submit(frame("clip", 0, live=False))
    hub.submit(frame("clip", 1, live=False))
    hub.run(0.2)  # A has 0; B has done 1, which waits for it
    hub.submit(frame("clip", 0, live=False, start=1))
    hub.submit(frame("clip", 1, live=False, start=1))
    hub.run(3)
    assert [r.header.start for r in hub.released["clip"]] == [1, 1]
    assert len(hub.seqs("clip")) + hub.dispatcher.lost + hub.dispatcher.dropped == hub.submitted


def test_the_result_of_a_frame_from_before_a_restart_is_not_used_for_the_new_one() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.request(A, 0.0)
    dispatcher.submit(frame("cam", 0), "x", b"camera", 0.0)
    list(dispatcher.assignments(0.0))
    dispatcher.submit(frame("cam", 0, start=99), "x", b"camera", 0.1)
    assert not dispatcher.result(A, frame("cam", 0), 7, 0.2)
    assert not list(dispatcher.ordered_results())


def test_an_empty_stream_has_an_end_too_and_a_name_can_be_used_again() -> None:
    hub = Hub({A: Extractor(0.01)})
    for start in (0, 1):
        hub.submit(frame("clip", 0, live=False, start=start, end_of_stream=True))
        hub.run(hub.now + 0.1)
    assert [r.header.end_of_stream for r in hub.released["clip"]] == [True, True]


def test_a_camera_that_sends_two_ends_does_not_stop_the_hub() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.submit(frame("cam", 5, end_of_stream=True), "x", b"camera", 0.0)
    dispatcher.submit(frame("cam", 6, end_of_stream=True), "x", b"camera", 0.0)
    assert [r.header.seq for r in dispatcher.ordered_results()] == [5]


# --- extractors that are gone -----------------------------------------------------------------------


def test_a_file_loses_nothing_when_its_extractor_dies_and_a_live_stream_one_frame() -> None:
    for live, expected, lost in ((False, [0, 1], 0), (True, [1], 1)):
        dispatcher: Dispatcher[str, int] = Dispatcher()
        dispatcher.request(A, 0.0)
        dispatcher.submit(frame("cam", 0, live), "x", b"camera", 0.0)
        list(dispatcher.assignments(0.0))
        dispatcher.submit(frame("cam", 1, live), "x", b"camera", 0.0)
        assert dispatcher.remove_worker(A) == 1
        released = []
        for now in (0.1, 0.2):
            dispatcher.request(B, now)
            for assignment in list(dispatcher.assignments(now)):
                assert dispatcher.result(B, assignment.header, 0, now)
            released += [r.header.seq for r in dispatcher.ordered_results()]
        assert (released, dispatcher.lost) == (expected, lost)


def test_an_extractor_that_times_out_is_removed_and_its_late_result_ignored() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.request(A, 0.0)
    dispatcher.submit(frame("clip", 0, live=False), "x", b"camera", 0.0)
    list(dispatcher.assignments(0.0))
    assert dispatcher.tick(FILE_TIMEOUT_S) == 0
    assert dispatcher.tick(FILE_TIMEOUT_S + 0.01) == 1
    later = FILE_TIMEOUT_S + 1
    dispatcher.request(B, later)
    list(dispatcher.assignments(later))
    assert not dispatcher.result(A, frame("clip", 0, live=False), 1, later + 0.1)
    assert dispatcher.result(B, frame("clip", 0, live=False), 2, later + 0.2)
    assert [r.result for r in dispatcher.ordered_results()] == [2]


def test_an_idle_extractor_that_stopped_requesting_gets_no_frame() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.request(A, 0.0)
    dispatcher.tick(REQUEST_TIMEOUT_S + 0.01)
    dispatcher.submit(frame("cam", 0), "x", b"camera", REQUEST_TIMEOUT_S + 0.02)
    assert not list(dispatcher.assignments(REQUEST_TIMEOUT_S + 0.02))


def test_busy_workers_are_those_that_have_had_a_frame_for_too_long() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.request(A, 0.0)
    dispatcher.submit(frame("cam", 0), "x", b"camera", 0.0)
    list(dispatcher.assignments(0.0))
    assert dispatcher.busy_workers(0.1, for_s=0.2) == set()
    assert dispatcher.busy_workers(0.3, for_s=0.2) == {A}


def test_headers_are_passed_on_unchanged() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    header = msgspec.structs.replace(frame("cam", 3), width=640, height=480)
    dispatcher.request(A, 0.0)
    dispatcher.submit(header, "pixels", b"camera", 0.0)
    (assignment,) = list(dispatcher.assignments(0.0))
    assert (assignment.header, assignment.payload, assignment.extractor) == (header, "pixels", A)
    dispatcher.result(A, assignment.header, 1, 0.1)
    assert list(dispatcher.ordered_results()) == [OrderedResult(b"camera", header, 1)]


# --- what cannot be done ----------------------------------------------------------------------------


def test_a_frame_on_which_extractors_die_is_given_up_and_the_file_continues() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    for seq in range(3):
        dispatcher.submit(frame("clip", seq, live=False), "x", b"camera", 0.0)
    released = []
    for number in range(20):
        extractor = str(number).encode()
        dispatcher.request(extractor, number)
        for assignment in list(dispatcher.assignments(number)):
            if assignment.header.seq == 1:
                dispatcher.remove_worker(extractor)
            else:
                dispatcher.result(extractor, assignment.header, assignment.header.seq, number)
        released += [(r.header.seq, r.result) for r in dispatcher.ordered_results()]
    assert released == [(0, 0), (1, None), (2, 2)]
    assert dispatcher.given_up == 1


def test_a_try_counts_for_the_frame_in_work_and_not_for_the_prefetched_one() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    for seq in range(2):
        dispatcher.submit(frame("clip", seq, live=False), "x", b"camera", 0.0)
    for number in range(MAX_TRIES):
        extractor = str(number).encode()
        dispatcher.request(extractor, number)
        list(dispatcher.assignments(number))
        dispatcher.prefetch(extractor, number + 0.5)
        list(dispatcher.assignments(number + 0.5))
        dispatcher.remove_worker(extractor)
    dispatcher.request(B, 9.0)
    assert [assignment.header.seq for assignment in dispatcher.assignments(9.0)] == [1]
    assert [(r.header.seq, r.result) for r in dispatcher.ordered_results()] == [(0, None)]


def test_results_that_cannot_be_used_are_bounded_too_and_a_live_one_is_lost() -> None:
    for live, given_up, lost in ((False, 1, 0), (True, 0, 1)):
        dispatcher: Dispatcher[str, int] = Dispatcher()
        dispatcher.submit(frame("cam", 0, live), "x", b"camera", 0.0)
        for number in range(2 * MAX_TRIES):
            dispatcher.request(A, number)
            for assignment in list(dispatcher.assignments(number)):
                dispatcher.failed(A, assignment.header, number)
        assert (dispatcher.given_up, dispatcher.lost) == (given_up, lost)


# --- several streams --------------------------------------------------------------------------------


def test_a_file_does_not_starve_a_camera() -> None:
    hub = Hub({A: Extractor(0.04)})
    for seq in range(400):
        hub.submit(frame("clip", seq, live=False))
    play(hub, {"cam": 25}, 10)
    assert len(hub.seqs("cam")) > 0.8 * len(hub.seqs("clip"))


def test_no_frame_of_a_file_is_prefetched_while_a_camera_waits() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    for seq in range(3):
        dispatcher.submit(frame("clip", seq, live=False), "x", b"camera", 0.0)
    dispatcher.request(A, 0.0)
    assert len(list(dispatcher.assignments(0.0))) == 1
    dispatcher.submit(frame("cam", 0), "x", b"other", 0.1)
    dispatcher.prefetch(A, 0.1)
    assert not list(dispatcher.assignments(0.2))


def test_a_hung_extractor_holds_a_live_stream_up_for_a_second_while_another_is_free() -> None:
    hub = Hub({A: Extractor(0.02), B: Extractor(0.02)})
    play(hub, {"cam": 25}, 2)
    assigned = max(hub.extractors, key=lambda name: len(hub.extractors[name].received))
    hub.extractors[assigned].times_out_at = hub.now
    frozen, start = [0.0], hub.now
    for seq in range(100, 250):
        hub.submit(frame("cam", seq))
        before = len(hub.seqs("cam"))
        hub.run(hub.now + 0.04)
        frozen.append(0.0 if len(hub.seqs("cam")) > before else frozen[-1] + 0.04)
    assert hub.now - start > FRAME_TIMEOUT_S
    assert max(frozen) <= OVERTAKEN_S + 0.3


# --- cameras ----------------------------------------------------------------------------------------


def test_another_beginning_counts_whatever_the_clock_says() -> None:
    """The camera's clock was set back before it began again."""
    hub = Hub({A: Extractor(0.01)})
    for start in (1000, 10):
        for seq in range(3):
            hub.submit(frame("cam", seq, start=start))
            hub.run(hub.now + 0.05)
    assert [(r.header.start, r.header.seq) for r in hub.released["cam"]] == [
        (s, q) for s in (1000, 10) for q in range(3)
    ]


def test_a_reconnected_camera_receives_acknowledgements_under_its_new_identity() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.request(A, 0.0)
    for seq in range(2):
        assert dispatcher.submit(frame("clip", seq, live=False), "x", b"before", 0.0) == "new"
    (assignment,) = list(dispatcher.assignments(0.0))
    dispatcher.result(A, assignment.header, 7, 0.1)
    assert [r.camera for r in dispatcher.ordered_results()] == [b"before"]
    assert dispatcher.submit(frame("clip", 0, live=False), "x", b"after", 0.2) == "released"  # it had not received that
    assert dispatcher.submit(frame("clip", 1, live=False), "x", b"after", 0.2) == "again"
    dispatcher.request(A, 0.3)
    (assignment,) = list(dispatcher.assignments(0.3))
    dispatcher.result(A, assignment.header, 7, 0.4)
    assert [r.camera for r in dispatcher.ordered_results()] == [b"after"]


def test_an_end_that_is_sent_again_after_its_release_does_not_end_the_stream_twice() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    end = frame("clip", 0, live=False, end_of_stream=True)
    assert dispatcher.submit(end, "", b"camera", 0.0) == "new"
    assert len(list(dispatcher.ordered_results())) == 1
    assert dispatcher.submit(end, "", b"camera", 0.1) == "released"
    assert not list(dispatcher.ordered_results())


def test_a_second_camera_of_a_name_is_noticed_while_the_first_is_not_over() -> None:
    dispatcher: Dispatcher[str, int] = Dispatcher()
    dispatcher.submit(frame("cam", 0, start=1), "x", b"first", 0.0)
    assert dispatcher.previous_camera(frame("cam", 0, start=2)) == b"first"
    assert dispatcher.previous_camera(frame("cam", 1, start=1)) is None
    assert dispatcher.previous_camera(frame("other", 0, start=2)) is None
