"""Encode headers and arrays as message parts, and decode them."""

import functools
import math
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import BadMessage, BusError
from .messages import AnyHeader, Frame, Header, Message, Window
from .topics import KEYPOINTS_SIZE, TOPIC_OF, TOPICS, Topic, topic_prefix

MAX_HEADER_BYTES: Final = 1024 * 1024  # two maps of 5,000 labels of 90 characters; a full queue of them is 1 GB
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024


def pack(header: Header, array: NDArray[Any] | None = None) -> list[bytes | memoryview]:
    """Encode a message as topic, header and, for a topic that has one, the array (not copied).

    Raises:
        BusError: It is larger than `unpack` accepts, or the header has no topic.
    """
    topic = TOPIC_OF[type(header)]
    parts: list[bytes | memoryview] = [topic_prefix(header), msgspec.msgpack.encode(header)]
    if topic.shape is not None:
        values = np.empty(0, topic.dtype) if array is None else array
        parts.append(np.ascontiguousarray(values, topic.dtype).reshape(-1).data)
    _check_sizes(topic, parts)
    return parts


def _check_sizes(topic: Topic, parts: list[bytes | memoryview]) -> None:
    header, array = len(parts[1]), memoryview(parts[-1]).nbytes
    if header > MAX_HEADER_BYTES:
        raise BusError(
            f"A {topic.name} header of {header:,} bytes is too large for the bus, which takes {MAX_HEADER_BYTES:,}: "
            f"use fewer or shorter labels."
        )
    if array > MAX_MESSAGE_BYTES:
        raise BusError(
            f"{topic.name} of {array:,} bytes are too large for the bus, which takes {MAX_MESSAGE_BYTES:,}: use "
            f"smaller images (camera.width)."
        )


@functools.cache
def _decoder(kind: type[AnyHeader]) -> "msgspec.msgpack.Decoder[AnyHeader]":
    return msgspec.msgpack.Decoder(kind)


def unpack(parts: list[Any]) -> Message:
    """Decode the parts of a message, bytes or buffers.

    Raises:
        BadMessage: They do not follow the schema.
    """
    if len(parts) not in (2, 3):
        raise BadMessage(f"{len(parts)} parts instead of 2 or 3")
    name = bytes(parts[0][:64]).split(b"/")[0].decode(errors="replace")
    topic = TOPICS.get(name)
    if topic is None:
        raise BadMessage(f"unknown topic {name!r}")
    header = decode_header(topic.header, parts[1])
    if topic_prefix(header) != bytes(parts[0]):
        raise BadMessage(f"topic {bytes(parts[0][:80])!r} of another stream than its header's {header.stream!r}")
    if topic.shape is None:
        return Message(header)
    if len(parts) != 3:
        raise BadMessage(f"{name} without its array")
    return Message(header, decode_array(header, memoryview(parts[2])))


def decode_header(kind: type[AnyHeader], part: Any) -> AnyHeader:
    """Decode the header part of a message.

    Raises:
        BadMessage: It does not follow the schema of this kind.
    """
    name = TOPIC_OF[kind].name
    if len(part) > MAX_HEADER_BYTES:
        raise BadMessage(f"{name} header of {len(part)} bytes, at most {MAX_HEADER_BYTES}")
    try:
        return _decoder(kind).decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"{name} header: {error}") from error


def decode_array(header: Header, buffer: memoryview) -> NDArray[Any] | None:
    """Decode the array part of a message, without a copy; None at the end of a stream.

    Raises:
        BadMessage: Its size is not that of the header's, or it has NaN or infinity.
    """
    topic = TOPIC_OF[type(header)]
    if len(buffer) > MAX_MESSAGE_BYTES or len(buffer) % np.dtype(topic.dtype).itemsize:
        raise BadMessage(f"{topic.name} array of {len(buffer)} bytes")
    if header.end_of_stream:
        return None
    values = np.frombuffer(buffer, topic.dtype)
    return _decode_image(header, values) if isinstance(header, Frame) else _decode_keypoints(header, values)


def _decode_image(header: Frame, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if header.encoding == "jpeg":
        return values
    if not values.size or values.size != header.height * header.width * 3:
        raise BadMessage(f"frames array of {values.size} bytes, not {header.height} x {header.width} x 3")
    return values.reshape(header.height, header.width, 3)


def _decode_keypoints(header: Header, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decode one frame's keypoints, or a window of them; empty while a window is not filled."""
    frames = (header.length if values.size else 0,) if isinstance(header, Window) else ()
    shape, name = (*frames, KEYPOINTS_SIZE), TOPIC_OF[type(header)].name
    if values.size != math.prod(shape):
        raise BadMessage(f"{name} array of {values.size} numbers, not {' x '.join(map(str, shape))}")
    if not np.isfinite(values).all():
        raise BadMessage(f"{name} array with NaN or infinity")
    return values.reshape(shape)
