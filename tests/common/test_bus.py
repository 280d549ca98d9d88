"""The bus over real sockets: what is sent arrives, what is foreign does not, and nobody waits for a slow reader."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import msgpack
import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from common.bus import (
    ASK,
    FRAME,
    PING,
    READER_QUEUE,
    RESULT,
    TAKEN,
    Endpoints,
    FrameGiver,
    FrameTaker,
    HubSockets,
    Publisher,
    Request,
    Subscriber,
    listen,
)
from common.errors import UserError
from common.landmarks import SIZE
from common.messages import Action, Frame, Header, Keypoints, Message, Status, Window

DEADLINE_S = 10.0
VECTOR = np.arange(SIZE, dtype=np.float32)


def until(done: Callable[[], object]) -> None:
    """Call `done`, which itself waits a little, until it is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, "did not happen in time"


def free_ports() -> Endpoints:
    """Four free ports in a row."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + 4):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return Endpoints("127.0.0.1", first)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Closes what a test opened, in reverse order."""
    with contextlib.ExitStack() as closing:
        yield closing


@pytest.fixture
def hub(stack: contextlib.ExitStack) -> HubSockets:
    while True:
        with contextlib.suppress(UserError):  # somebody took a port in between
            endpoints = free_ports()
            sockets = HubSockets(endpoints)
            break
    stack.callback(sockets.close)
    sockets.endpoints = endpoints  # type: ignore[attr-defined]
    return sockets


@pytest.fixture
def endpoints(hub: HubSockets) -> Endpoints:
    return hub.endpoints  # type: ignore[attr-defined,no-any-return]


def keypoints(seq: int, stream: str = "cam", live: bool = True) -> Keypoints:
    return Keypoints(stream=stream, seq=seq, captured_ns=seq, entered_ns=seq, live=live)


def frame(seq: int, end: bool = False) -> Frame:
    return Frame(stream="cam", seq=seq, captured_ns=seq, entered_ns=seq, width=4, height=3, end=end)


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((3, 4, 3), value, np.uint8)


def publisher(endpoints: Endpoints, stack: contextlib.ExitStack) -> Publisher:
    made = Publisher(endpoints)
    stack.callback(made.close)
    return made


def subscriber(endpoints: Endpoints, stack: contextlib.ExitStack, *topics: str, stream: str = "") -> Subscriber:
    made = Subscriber(endpoints, topics, stream)
    stack.callback(made.close)
    return made


def connect(sender: Publisher, *readers: Subscriber) -> None:
    """Until a status message comes through: each of the readers reads that topic too."""
    for reader in readers:

        def heard(reader: Subscriber = reader) -> list[Message]:
            sender.send(Status(stream="probe.1", seq=0, captured_ns=0, entered_ns=0))
            return reader.receive(20)

        until(heard)
    for reader in readers:
        until(lambda reader=reader: not reader.receive(50))


def collect(reader: Subscriber, count: int) -> list[Message]:
    messages: list[Message] = []
    until(lambda: messages.extend(reader.receive(50)) or len(messages) >= count)
    return messages


# --- publish and subscribe --------------------------------------------------------------------------


def test_headers_and_arrays_arrive_as_they_were_sent(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender, reader = publisher(endpoints, stack), subscriber(endpoints, stack, "status", "keypoints", "action")
    connect(sender, reader)
    action = Action(stream="cam", seq=3, captured_ns=1, entered_ns=2, event="ended", id=1, label="hello", end_s=2.5)
    sender.send(keypoints(0), VECTOR)
    sender.send(action)
    by_kind = {type(header): Message(header, array) for header, array in collect(reader, 2)}
    assert by_kind[Action] == (action, None)
    assert by_kind[Keypoints].header == keypoints(0)
    np.testing.assert_array_equal(by_kind[Keypoints].array, VECTOR)


def test_a_reader_of_cam1_does_not_hear_cam10(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    everything = subscriber(endpoints, stack, "status", "keypoints")
    one = Subscriber(endpoints, ["keypoints"], "cam1")
    stack.callback(one.close)
    connect(sender, everything)
    for seq in range(3):
        sender.send(keypoints(seq, "cam10"), VECTOR)
    heard: list[Message] = []
    until(lambda: sender.send(keypoints(0, "cam1"), VECTOR) or heard.extend(one.receive(20)) or heard)
    assert {message.header.stream for message in heard} == {"cam1"}


def test_foreign_messages_are_dropped_and_counted_and_good_ones_still_come(
    endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    sender, reader = publisher(endpoints, stack), subscriber(endpoints, stack, "status", "keypoints")
    connect(sender, reader)
    foreign = stack.enter_context(zmq.Context.instance().socket(zmq.PUB))
    foreign.linger = 0
    foreign.connect(endpoints.publish)
    good = msgpack.packb({"stream": "cam", "seq": 0, "captured_ns": 0, "entered_ns": 0})
    garbage: list[list[bytes]] = [
        [b"keypoints/cam/"],
        [b"keypoints/cam/", b"\xff\x00garbage", b"x"],
        [b"keypoints/cam/", good, VECTOR.tobytes()[:-4]],
        [b"keypoints/other/", good, VECTOR.tobytes()],
        [b"keypoints/cam/", b"\x81\xa6stream\xa1\xff", b""],  # not UTF-8
    ]

    def sent() -> bool:
        foreign.send_multipart(garbage[0])
        assert not reader.receive(20)
        return reader.bad > 0

    until(sent)
    until(lambda: not reader.receive(100))
    before = reader.bad
    for parts in garbage:
        foreign.send_multipart(parts)
    until(lambda: reader.receive(20) or reader.bad == before + len(garbage))
    sender.send(keypoints(7), VECTOR)
    assert [m.header.seq for m in collect(reader, 1)] == [7]


def test_a_reader_that_does_not_read_delays_nobody(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    asleep, awake = (subscriber(endpoints, stack, "status", "keypoints") for _ in range(2))
    connect(sender, asleep, awake)
    seqs: list[int] = []
    longest_s, count = 0.0, 4000  # 27 MB: more than all queues and buffers on the way to the sleeper
    for seq in range(count):
        begun = time.perf_counter()
        sender.send(keypoints(seq), VECTOR)
        longest_s = max(longest_s, time.perf_counter() - begun)
        if seq % 50 == 49:  # as fast as the other reader reads, but no faster
            until(lambda seq=seq: seqs.extend(m.header.seq for m in awake.receive(20)) or len(seqs) > seq)
    assert seqs == list(range(count))
    assert not awake.missed
    assert longest_s < 1.0


def test_missed_frames_are_counted_for_each_stream(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender, reader = publisher(endpoints, stack), subscriber(endpoints, stack, "status", "keypoints")
    connect(sender, reader)
    for stream, seqs in (("left", [0, 1, 4, 5]), ("right", [10, 12]), ("left", [0, 1])):  # left began again
        for seq in seqs:
            sender.send(keypoints(seq, stream), VECTOR)
    assert len(collect(reader, 8)) == 8
    assert reader.missed == {"keypoints": 2 + 1}


def test_of_live_windows_only_the_newest_that_wait_are_read_and_of_a_file_every_one(
    endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    def window(stream: str, seq: int, end: bool = False) -> Window:
        return Window(stream=stream, seq=seq, captured_ns=0, entered_ns=0, live=stream == "cam", end=end, length=1)

    sender = publisher(endpoints, stack)
    reader, witness = (subscriber(endpoints, stack, "status", "windows") for _ in range(2))
    connect(sender, reader, witness)
    for seq in range(20):
        sender.send(window("cam", seq), VECTOR[None])
        sender.send(window("clip", seq), VECTOR[None])
    sender.send(window("clip", 20, end=True))
    until(lambda: any(m.header.end for m in witness.receive(20)))  # meanwhile the reader is at work on something
    received: list[Header] = []
    until(lambda: received.extend(m.header for m in reader.receive(20)) or (received and received[-1].end))
    seqs = {name: [h.seq for h in received if h.stream == name] for name in ("cam", "clip")}
    assert seqs["clip"] == list(range(21))
    assert seqs["cam"][-1] == 19 and len(seqs["cam"]) < 20
    assert len(seqs["cam"]) + reader.skipped == 20
    assert not reader.missed  # it has superseded them; they were not lost on the way


def test_listen_yields_headers_and_with_an_array_both(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    probe = subscriber(endpoints, stack, "status")
    connect(sender, probe)
    messages = listen("action", "keypoints", host=endpoints.host, port=endpoints.port)
    stack.callback(messages.close)  # type: ignore[attr-defined]
    done = threading.Event()

    def talk() -> None:
        while not done.wait(0.02):
            sender.send(Action(stream="cam", seq=0, captured_ns=0, entered_ns=0, label="hello"))
            sender.send(keypoints(0), VECTOR)

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        kinds = {type(next(messages)) for _ in range(10)}
    finally:
        done.set()
        talker.join()
    assert kinds == {Action, tuple}


@pytest.mark.parametrize("topics", [(), ("actions",)])
def test_listen_to_an_unknown_topic_says_which_there_are(topics: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="keypoints"):
        next(listen(*topics))


# --- the hub's end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", range(4))
def test_a_port_in_use_is_named_and_the_others_are_free_again(offset: int) -> None:
    endpoints = free_ports()
    port = endpoints.port + offset
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UserError, match=rf"port {port} .*bus\.port"):
        HubSockets(endpoints)
    hub = HubSockets(endpoints)
    hub.close()


def requests(hub: HubSockets, count: int) -> list[Request]:
    received: list[Request] = []
    until(lambda: received.extend(hub.receive(50)) or len(received) >= count)
    return received


def asked(hub: HubSockets, taker: FrameTaker) -> bytes:
    """The name under which the hub knows an extractor."""
    taker._socket.poll(1000, zmq.POLLOUT)
    taker.ask()
    (request,) = requests(hub, 1)
    assert request.kind == ASK
    return request.peer


def test_a_frame_goes_from_camera_to_extractor_and_its_keypoints_come_back(
    hub: HubSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    giver, taker = FrameGiver(endpoints), FrameTaker(endpoints)
    stack.callback(giver.close)
    stack.callback(taker.close)
    extractor = asked(hub, taker)
    assert giver.give(frame(5), picture(9), timeout_ms=5000)
    (request,) = requests(hub, 1)
    assert (request.kind, request.header) == (FRAME, frame(5))
    assert giver.taken() == []

    assert hub.send(extractor, PING)
    assert hub.send(extractor, FRAME, request.header, request.payload)
    assert hub.send(request.peer, TAKEN, request.header)
    message = taker.take(5000)
    assert message is not None and message.header == frame(5)
    np.testing.assert_array_equal(message.array, picture(9))
    assert giver.taken(5000) == [5]

    taker.answer(keypoints(5), VECTOR)
    (answer,) = requests(hub, 1)
    assert (answer.peer, answer.kind, answer.header) == (extractor, RESULT, keypoints(5))
    np.testing.assert_array_equal(answer.payload, VECTOR)


def test_the_end_of_a_stream_passes_without_a_picture(
    hub: HubSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    giver, taker = FrameGiver(endpoints), FrameTaker(endpoints)
    stack.callback(giver.close)
    stack.callback(taker.close)
    extractor = asked(hub, taker)
    assert giver.give(frame(8, end=True), None, timeout_ms=5000)
    (request,) = requests(hub, 1)
    assert request.header == frame(8, end=True)
    assert hub.send(extractor, FRAME, frame(8, end=True), b"")
    assert taker.take(5000) == (frame(8, end=True), None)


def test_no_frame_in_time_is_none_and_no_hub_takes_none(stack: contextlib.ExitStack) -> None:
    endpoints = free_ports()
    giver, taker = FrameGiver(endpoints), FrameTaker(endpoints)
    stack.callback(giver.close)
    stack.callback(taker.close)
    assert not giver.give(frame(0), picture(0), timeout_ms=50)
    taker.ask()
    assert taker.take(50) is None


def test_sending_to_an_extractor_that_vanished_is_false(
    hub: HubSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    taker = FrameTaker(endpoints)
    extractor = asked(hub, taker)
    assert hub.send(extractor, PING)
    taker.close()
    until(lambda: hub.receive(10) or not hub.send(extractor, PING))
    assert not hub.send(extractor, FRAME, frame(0), b"x" * 36)
    assert not hub.send(b"never there", PING)


def test_foreign_requests_are_counted_and_good_ones_still_come(
    hub: HubSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    foreign = stack.enter_context(zmq.Context.instance().socket(zmq.DEALER))
    foreign.linger = 0
    foreign.connect(endpoints.request)
    header = msgpack.packb({"stream": "cam", "seq": 0, "captured_ns": 0, "entered_ns": 0, "width": 4, "height": 3})
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
        [RESULT, msgpack.packb(msgpack.unpackb(good) | {"end": True}), b""],  # only a camera ends a stream
    ):
        before = hub.bad
        foreign.send_multipart(parts)
        until(lambda before=before: hub.receive(50) or hub.bad == before + 1)
    foreign.send_multipart([FRAME, good, bytes(36)])
    (request,) = requests(hub, 1)
    assert request.kind == FRAME


def test_a_viewer_sees_frames_and_a_slow_one_skips_them_and_counts(
    hub: HubSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    viewer = subscriber(endpoints, stack, "frames")
    seen: list[Header] = []

    def shown() -> bool:
        hub.watch(frame(0), picture(0).tobytes())
        seen.extend(m.header for m in viewer.receive(20))
        return bool(seen)

    until(shown)
    begun = time.monotonic()
    wide = Frame(stream="cam", seq=0, captured_ns=0, entered_ns=0, width=640, height=480)
    for seq in range(1, 200):  # 184 MB that nobody takes
        hub.watch(Frame(**{**_fields(wide), "seq": seq}), bytes(640 * 480 * 3))
    assert time.monotonic() - begun < 5
    messages = collect(viewer, 1)
    assert messages[-1].header.seq < 199
    until(lambda: not viewer.receive(100))
    missed = viewer.missed["frames"]
    hub.watch(Frame(**{**_fields(wide), "seq": 300}), bytes(640 * 480 * 3))
    collect(viewer, 1)
    assert viewer.missed["frames"] >= missed + 99


def _fields(header: Frame) -> dict[str, object]:
    return {name: getattr(header, name) for name in header.__struct_fields__}


def test_the_readers_queue_at_the_hub_is_longer_than_a_stall_of_some_seconds() -> None:
    assert READER_QUEUE >= 5 * 30
