"""Check over real sockets that frames are sent on request, and that foreign or slow peers do no harm."""

import contextlib
import socket
import time

import msgpack
import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from common.bus.connection import Endpoints, connect
from common.bus.errors import BusError
from common.bus.messages import Frame, Header
from common.bus.proxy import READER_HWM
from common.bus.pubsub import Subscriber
from common.frames.sockets import (
    ACK,
    FRAME,
    PING,
    REQUEST,
    RESULT,
    BrokerSockets,
    FrameProducer,
    FrameWorker,
    Request,
)
from tests.common.sockets import VECTOR, collect, free_ports, keypoints, subscriber, until
from tests.pace import patience


def frame(seq: int, end_of_stream: bool = False) -> Frame:
    return Frame(
        stream="cam", seq=seq, captured_ns=seq, ingested_ns=seq, width=4, height=3, end_of_stream=end_of_stream
    )


def image(value: int) -> NDArray[np.uint8]:
    return np.full((3, 4, 3), value, np.uint8)


def ends(endpoints: Endpoints, stack: contextlib.ExitStack) -> tuple[FrameProducer, FrameWorker]:
    """The sockets of a camera and of an extractor."""
    producer, worker = FrameProducer(endpoints), FrameWorker(endpoints)
    stack.callback(producer.close)
    stack.callback(worker.close)
    return producer, worker


@pytest.mark.parametrize("offset", range(4))
def test_a_port_in_use_is_named_and_the_others_are_free_again(offset: int) -> None:
    endpoints = free_ports()
    port = endpoints.port + offset
    with socket.create_server(("127.0.0.1", port)), pytest.raises(BusError, match=rf"port {port} .*bus\.port"):
        BrokerSockets(endpoints)
    hub = BrokerSockets(endpoints)
    hub.close()


def requests(hub: BrokerSockets, count: int) -> list[Request]:
    received: list[Request] = []
    until(lambda: received.extend(hub.receive(50)) or len(received) >= count)
    return received


def worker_identity(hub: BrokerSockets, worker: FrameWorker) -> bytes:
    """Request a frame; the identity of the worker's socket at the hub."""
    worker._socket.poll(1000, zmq.POLLOUT)
    worker.request()
    (request,) = requests(hub, 1)
    assert request.kind == REQUEST
    return request.peer


def test_a_frame_goes_from_camera_to_extractor_and_its_keypoints_come_back(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    producer, worker = ends(endpoints, stack)
    extractor = worker_identity(hub, worker)
    assert producer.send(frame(5), image(9), timeout_ms=5000)
    (request,) = requests(hub, 1)
    assert (request.kind, request.header) == (FRAME, frame(5))
    assert producer.acked() == []

    assert hub.send(extractor, PING)
    assert hub.send(extractor, FRAME, request.header, request.payload)
    assert hub.send(request.peer, ACK, request.header)
    message = worker.receive(5000)
    assert message is not None and message[0] == frame(5)
    np.testing.assert_array_equal(message[1], image(9))
    assert producer.acked(5000) == [frame(5)]

    worker.reply(keypoints(5), VECTOR)
    (answer,) = requests(hub, 1)
    assert (answer.peer, answer.kind, answer.header) == (extractor, RESULT, keypoints(5))
    np.testing.assert_array_equal(answer.payload, VECTOR)


def test_the_end_of_a_stream_is_sent_without_an_image(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    producer, worker = ends(endpoints, stack)
    extractor = worker_identity(hub, worker)
    assert producer.send(frame(8, end_of_stream=True), None, timeout_ms=5000)
    (request,) = requests(hub, 1)
    assert request.header == frame(8, end_of_stream=True)
    assert hub.send(extractor, FRAME, frame(8, end_of_stream=True), b"")
    assert worker.receive(5000) == (frame(8, end_of_stream=True), None)


def test_without_a_hub_nothing_is_sent_and_nothing_received(stack: contextlib.ExitStack) -> None:
    endpoints = free_ports()
    producer, worker = ends(endpoints, stack)
    assert not producer.send(frame(0), image(0), timeout_ms=50)
    worker.request()
    assert worker.receive(50) is None


def test_sending_to_an_extractor_that_vanished_is_false(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    worker = FrameWorker(endpoints)
    extractor = worker_identity(hub, worker)
    assert hub.send(extractor, PING)
    worker.close()
    until(lambda: hub.receive(10) or not hub.send(extractor, PING))
    assert not hub.send(extractor, FRAME, frame(0), b"x" * 36)
    assert not hub.send(b"never there", PING)


def test_foreign_requests_are_counted_and_good_ones_still_come(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    foreign = stack.enter_context(zmq.Context.instance().socket(zmq.DEALER))
    foreign.linger = 0
    connect(foreign, endpoints.request, endpoints.token())
    header = msgpack.packb({"stream": "cam", "seq": 0, "captured_ns": 0, "ingested_ns": 0, "width": 4, "height": 3})
    good = header
    for parts in (
        [b"hello"],
        [b""],
        [FRAME],
        [FRAME, b"\xff", b""],
        [FRAME, good, bytes(35)],  # a size that lies
        [FRAME, msgpack.packb(msgpack.unpackb(good) | {"height": 0, "width": 2**62}), b""],
        [FRAME, b"\x81\xa6stream\xa1\xff", b""],  # not UTF-8
        [RESULT, good, VECTOR.tobytes()[:-1]],
        [RESULT, msgpack.packb(msgpack.unpackb(good) | {"end_of_stream": True}), b""],  # only a camera ends a stream
    ):
        before = hub.malformed
        foreign.send_multipart(parts)
        until(lambda before=before: hub.receive(50) or hub.malformed == before + 1)
    foreign.send_multipart([FRAME, good, bytes(36)])
    (request,) = requests(hub, 1)
    assert request.kind == FRAME


def test_a_viewer_sees_frames_and_a_slow_one_skips_them_and_counts(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    viewer = subscriber(endpoints, stack, "frames")
    seen: list[Header] = []

    def shown() -> bool:
        hub.publish_frame(frame(0), image(0).tobytes())
        seen.extend(m.header for m in viewer.receive(20))
        return bool(seen)

    until(shown)
    begun = time.monotonic()
    wide = Frame(stream="cam", seq=0, captured_ns=0, ingested_ns=0, width=640, height=480)
    for seq in range(1, 200):  # 184 MB that are not read
        hub.publish_frame(Frame(**{**_fields(wide), "seq": seq}), bytes(640 * 480 * 3))
    assert time.monotonic() - begun < 5
    messages = collect(viewer, 1)
    assert messages[-1].header.seq < 199
    until(lambda: not viewer.receive(100))
    missed = viewer.missed["frames"]
    hub.publish_frame(Frame(**{**_fields(wide), "seq": 300}), bytes(640 * 480 * 3))
    collect(viewer, 1)
    assert viewer.missed["frames"] >= missed + 99


def _fields(header: Frame) -> dict[str, object]:
    return {name: getattr(header, name) for name in header.__struct_fields__}


def test_the_readers_queue_at_the_hub_is_longer_than_a_stall_of_some_seconds() -> None:
    assert READER_HWM >= 5 * 30


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_hub_whose_proxy_has_ended_fails_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its supervisor then starts another: a hub that forwards nothing is worse than none."""

    def fail(*sockets: object) -> None:
        raise zmq.ZMQError(zmq.ENOTSOCK)

    monkeypatch.setattr(zmq, "proxy", fail)
    hub = BrokerSockets(free_ports())
    try:
        hub._proxy._thread.join(10)
        with pytest.raises(RuntimeError, match="proxy"):
            hub.receive(0)
    finally:
        hub.close()  # waits for ever for a socket that is not closed


def test_viewers_that_connect_later_and_hubs_that_restart_lose_no_frame(stack: contextlib.ExitStack) -> None:
    endpoints = free_ports()
    viewers: list[Subscriber] = []
    for _ in range(3):
        with contextlib.closing(BrokerSockets(endpoints)) as hub:
            for _ in range(2):
                viewers.append(Subscriber(endpoints, ["frames"]))
                stack.callback(viewers[-1].close)
                _all_see(hub, viewers, 12)


def _all_see(hub: BrokerSockets, viewers: list[Subscriber], count: int) -> None:
    """Publish so many frames at once; each viewer receives all of them."""
    deadline, unseen = time.monotonic() + patience(10), set(viewers)
    while unseen:  # not connected yet
        assert time.monotonic() < deadline
        hub.publish_frame(frame(0), image(0).tobytes())
        unseen -= {viewer for viewer in viewers if viewer.receive(10)}
    for seq in range(1, count + 1):
        hub.publish_frame(frame(seq), image(0).tobytes())
    for viewer in viewers:
        seen: set[int] = set()
        while count not in seen:
            assert time.monotonic() < deadline, seen
            seen |= {header.seq for header, _ in viewer.receive(10)}
        assert seen - {0} == set(range(1, count + 1))


def test_a_viewer_that_was_suspended_receives_frames_again(hub: BrokerSockets, endpoints: Endpoints, stack) -> None:
    """libzmq does not wake a queue that was full when its depth was raised: nothing came any more, for good."""
    viewer = Subscriber(endpoints, ["frames"])
    stack.callback(viewer.close)
    large = np.zeros((300, 400, 3), np.uint8)
    shown = 0

    def show() -> None:
        nonlocal shown
        header = Frame(stream="cam", seq=shown, captured_ns=0, ingested_ns=0, width=400, height=300)
        hub.publish_frame(header, large.tobytes())
        shown += 1

    until(lambda: show() or any(s.poll(10) for s in viewer._topics))
    for _ in range(3000):
        show()
    seen: list[int] = []
    until(lambda: seen.extend(header.seq for header, _ in viewer.receive(10)) or show() or seen[-1:] > [3050])
