"""Headers and arrays through pack and unpack, and everything that must not come through."""

import contextlib
import math
from typing import Any, Literal, get_args, get_origin

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.bus.errors import BadMessage, BusError
from common.bus.messages import Frame, Header, Keypoints, Message, Prediction, Window, derive_header
from common.bus.topics import TOPIC_OF, TOPICS, Topic, topic_prefix
from common.bus.wire import MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, decode_array, pack, unpack
from common.keypoints.landmarks import SIZE

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True)
TIMES_NS = st.integers(-(2**62), 2**62)
COUNTS = st.integers(0, 2**53)
UNITS = st.floats(0, 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
KINDS = [topic.header for topic in TOPICS.values()]
FEW = settings(max_examples=50)  # a drawn header is a dozen drawn values
COMMON = {"stream": "cam", "seq": 0, "captured_ns": 0, "ingested_ns": 0}

# What hypothesis cannot see in a type: the shape of an array follows from Frame's and Window's fields.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "stream": NAMES,
    "seq": COUNTS,
    "captured_ns": TIMES_NS,
    "ingested_ns": TIMES_NS,
    "live": st.booleans(),
    "end_of_stream": st.just(False),
    "protocol": st.just(1),
    "fps": st.floats(1, 1000),
    "encoding": st.sampled_from(["raw", "jpeg"]),
    "width": st.integers(1, 9),
    "height": st.integers(1, 9),
    "length": st.integers(0, 4),
    "stride": st.integers(1, 4),
    "detected_parts": st.lists(st.sampled_from(["pose", "face"]), max_size=2).map(tuple),
    "ended_streams": st.lists(NAMES, max_size=3).map(tuple),
    "person_size_px": st.floats(0, 1e5),
    "person_ratio": UNITS,
    "confidence": UNITS,
    "probabilities": st.dictionaries(TEXTS, UNITS, max_size=3),
    "smoothed": st.dictionaries(TEXTS, UNITS, max_size=3),
    "event": st.sampled_from(["started", "ended"]),
    "progress": st.dictionaries(TEXTS, COUNTS, max_size=3),
}
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {int: COUNTS, float: st.floats(0, 1e9), str: TEXTS}


def field_values(field: msgspec.structs.FieldInfo) -> st.SearchStrategy[Any]:
    if field.name in FIELDS:
        return FIELDS[field.name]
    if get_origin(field.type) is Literal:
        return st.sampled_from(get_args(field.type))
    if type(None) in getattr(field.type, "__args__", ()):
        return st.none() | BY_TYPE[field.type.__args__[0]]
    return BY_TYPE[getattr(field.type, "__origin__", field.type)]


def headers_of(kind: type[Header]) -> st.SearchStrategy[Header]:
    return st.builds(kind, **{field.name: field_values(field) for field in msgspec.structs.fields(kind)})


HEADERS = st.sampled_from(KINDS).flatmap(headers_of)


def array_for(header: Header, seed: int = 0) -> np.ndarray[Any, Any] | None:
    rng = np.random.default_rng(seed)
    if isinstance(header, Frame):
        shape = (header.height, header.width, 3) if header.encoding == "raw" else (17,)
        return rng.integers(0, 256, shape, np.uint8)
    if isinstance(header, Keypoints):
        return rng.normal(size=SIZE).astype(np.float32)
    return rng.normal(size=(header.length, SIZE)).astype(np.float32) if isinstance(header, Window) else None


def parts_of(header: Header, seed: int = 0) -> list[bytes]:
    return [bytes(part) for part in pack(header, array_for(header, seed))]


def raw(topic: str = "prediction", array: bytes | None = None, **fields: Any) -> list[bytes]:
    """Parts as a foreign program would make them."""
    return [f"{topic}/cam/".encode(), msgpack.packb({**COMMON, **fields}), *([] if array is None else [array])]


@FEW
@given(HEADERS, st.integers(0, 2**32))
def test_every_header_and_its_array_come_back_as_they_were_sent(header: Header, seed: int) -> None:
    array = array_for(header, seed)
    message = unpack(parts_of(header, seed))
    assert message.header == header and type(message.header) is type(header)
    if array is None:
        assert message.array is None
    else:
        assert message.array is not None and message.array.shape == array.shape
        np.testing.assert_array_equal(message.array, array)


@FEW
@given(HEADERS)
def test_msgpack_alone_reads_every_key(header: Header) -> None:
    plain = msgpack.unpackb(parts_of(header)[1])
    assert set(plain) == {field.name for field in msgspec.structs.fields(header)}  # defaults too
    assert plain["protocol"] == 1
    assert plain == msgspec.to_builtins(header, builtin_types=()) | {
        key: list(value) for key, value in msgspec.structs.asdict(header).items() if isinstance(value, tuple)
    }


@pytest.mark.parametrize("dtype", [">f4", "<f4", "f8"])
def test_arrays_are_little_endian_float32_on_the_wire_wherever_they_come_from(dtype: str) -> None:
    vector = np.arange(SIZE).astype(dtype)
    part = bytes(pack(Keypoints(**COMMON), vector)[2])
    assert part == np.arange(SIZE).astype("<f4").tobytes()


def test_an_image_that_is_a_view_is_sent_row_by_row() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[:, ::-2]
    received = unpack([bytes(p) for p in pack(Frame(**COMMON, width=3, height=4), image)])
    assert received.array is not None
    np.testing.assert_array_equal(received.array, image)


@FEW
@given(HEADERS)
def test_an_end_has_no_array_whatever_its_topic(header: Header) -> None:
    end = msgspec.structs.replace(header, end_of_stream=True)
    assert unpack([bytes(part) for part in pack(end)]) == Message(end, None)


@FEW
@given(HEADERS, st.sampled_from(KINDS))
def test_derive_header_keeps_frame_and_age_from_camera_to_action(header: Header, kind: type[Header]) -> None:
    other = derive_header(header, kind)
    for name in ("stream", "seq", "captured_ns", "ingested_ns", "live"):
        assert getattr(other, name) == getattr(header, name)
    assert not other.end_of_stream


# --- what must not come through: BadMessage, and never anything else ------------------------------


def refused(parts: list[bytes], match: str | None = None) -> None:
    with pytest.raises(BadMessage, match=match):
        unpack(parts)


def survived(parts: list[bytes]) -> None:
    """Understood or refused; anything else raised here would stop a service."""
    with contextlib.suppress(BadMessage):
        unpack(parts)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_parts_never_stop_a_service(parts: list[bytes]) -> None:
    refused(parts)


@given(st.sampled_from(sorted(TOPICS)), st.binary(max_size=300), st.binary(max_size=300))
@example("keypoints", b"\x81\xa6stream\xa1\xff", b"")  # not UTF-8
@example("prediction", b"\x81\xa1x" + b"\x91" * 60_000 + b"\x00", b"")  # deeper than Python's stack
def test_random_headers_under_a_good_topic_never_stop_a_service(topic: str, header: bytes, array: bytes) -> None:
    survived([f"{topic}/cam/".encode(), header, array])


@FEW
@given(HEADERS, st.data())
def test_a_flipped_byte_never_stops_a_service(header: Header, data: st.DataObject) -> None:
    parts = parts_of(header)
    changed = bytearray(parts[1])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    survived([parts[0], bytes(changed), *parts[2:]])


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@FEW
@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), st.data())))
def test_any_value_in_any_field_never_stops_a_service(drawn: tuple[type[Header], st.DataObject]) -> None:
    kind, data = drawn
    name = data.draw(st.sampled_from([field.name for field in msgspec.structs.fields(kind)]))
    survived(raw(TOPIC_OF[kind].name, b"", **{name: data.draw(VALUES)}))


@FEW
@given(HEADERS, st.integers(0, 6))
def test_a_wrong_number_of_parts_is_refused(header: Header, count: int) -> None:
    parts = (parts_of(header) + [b""] * 6)[:count]
    needed = 2 if TOPIC_OF[type(header)].shape is None else 3
    if count < needed or count > 3:
        refused(parts)


@FEW
@given(HEADERS, st.integers(-5, 5).filter(lambda protocol: protocol != 1))
def test_another_version_of_the_protocol_is_refused(header: Header, protocol: int) -> None:
    parts = parts_of(header)
    refused([parts[0], msgpack.packb(msgpack.unpackb(parts[1]) | {"protocol": protocol}), *parts[2:]], "protocol")


@FEW
@given(HEADERS, NAMES)
def test_a_topic_of_another_stream_than_the_header_is_refused(header: Header, other: str) -> None:
    if other != header.stream:
        parts = parts_of(header)
        refused([topic_prefix(header).replace(header.stream.encode(), other.encode(), 1)[:200], *parts[1:]])


def test_a_header_under_another_topic_is_refused_or_meant_for_it() -> None:
    refused([b"keypoint/cam/", *raw()[1:]], "unknown topic")
    refused([b"prediction/cam", *raw()[1:]])
    refused([b"prediction/cam/x/", *raw()[1:]])


@pytest.mark.parametrize("name", ["", "..", ".", ".hidden", "a/b", "/etc", "a\\b", "a\n", "a ", "a\0", "é", "x" * 65])
def test_a_stream_that_would_leave_its_topic_or_folder_is_refused(name: str) -> None:
    refused([f"prediction/{name}/".encode(), msgpack.packb({**COMMON, "stream": name})])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_in_an_array_are_refused(value: float) -> None:
    vector = np.zeros(SIZE, "<f4")
    vector[1000] = value
    refused(raw("keypoints", vector.tobytes()), "NaN")
    refused(raw("windows", vector.tobytes() * 2, length=2), "NaN")


@pytest.mark.parametrize(
    ("topic", "fields"),
    [
        ("prediction", {"confidence": math.nan}),
        ("prediction", {"probabilities": {"a": math.nan}}),
        ("prediction", {"confidence": 1.01}),
        ("prediction", {"seq": -1}),
        ("action", {"event": "maybe"}),
        ("action", {"confidence": math.nan}),
    ],
)
def test_a_value_out_of_its_range_is_refused(topic: str, fields: dict[str, Any]) -> None:
    refused(raw(topic, **fields), next(iter(fields)))


@pytest.mark.parametrize("size", [0, 1, 4 * (SIZE - 1), 4 * SIZE - 1, 4 * SIZE + 4, 8 * SIZE])
def test_keypoints_of_another_size_are_refused(size: int) -> None:
    refused(raw("keypoints", bytes(size)))


@pytest.mark.parametrize("size", [3, 4, 4 * SIZE - 4, 4 * SIZE + 1])
def test_half_a_vector_in_a_window_is_refused(size: int) -> None:
    refused(raw("windows", bytes(size)))


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(4, 3, 35), (4, 3, 37), (4, 3, 0), (2**32, 2**32, 0), (0, 2**62, 0), (2**64 - 1, 0, 0), (0, 0, 0)],
)
def test_an_image_of_another_size_than_its_header_says_is_refused(width: int, height: int, size: int) -> None:
    refused(raw("frames", bytes(size), width=width, height=height))


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    refused(raw(label="x" * MAX_HEADER_BYTES), "header of")
    with pytest.raises(BadMessage, match="array of"):
        decode_array(Window(**COMMON), memoryview(bytes(MAX_MESSAGE_BYTES + 4 * SIZE)))


def test_a_huge_topic_is_refused_with_a_short_reason() -> None:
    with pytest.raises(BadMessage) as caught:
        unpack([b"prediction/" + b"x" * 100_000, *raw()[1:]])
    assert len(str(caught.value)) < 400


def test_a_capture_time_that_numpy_cannot_hold_is_refused() -> None:
    # An int64 array of times is made of it in the windows stage.
    refused(raw(captured_ns=2**64 - 1))


def test_unknown_fields_of_a_later_release_are_ignored() -> None:
    header = unpack(raw(colour="green", label="hello")).header
    assert isinstance(header, Prediction) and header.label == "hello"


def test_topic_of_a_row_decodes_only_its_own_header() -> None:
    for topic in TOPICS.values():
        assert isinstance(topic, Topic) and TOPIC_OF[topic.header] is topic


def many(labels: int, length: int = 20) -> Prediction:
    probabilities = {f"{number:0{length}d}": 1 / labels for number in range(labels)}
    return Prediction(**COMMON, probabilities=probabilities, smoothed=probabilities)


@pytest.mark.parametrize(("labels", "length"), [(5000, 90), (15_000, 20)])
def test_a_prediction_of_thousands_of_labels_is_read(labels: int, length: int) -> None:
    header = many(labels, length)
    assert unpack(pack(header)) == (header, None)


def test_what_subscribers_would_drop_is_refused_where_it_is_sent() -> None:
    with pytest.raises(BusError, match=r"prediction header of 3,\d+,\d+ bytes .* 1,048,576: use fewer"):
        pack(many(50_000))
    wide = Frame(**COMMON, width=6000, height=4000)
    with pytest.raises(BusError, match=r"frames of 72,000,000 bytes .*camera\.width"):
        pack(wide, np.zeros((4000, 6000, 3), np.uint8))
