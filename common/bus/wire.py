"""Headers and arrays to message parts and back: what is on the wire, without the wire."""

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.bus.messages import BadMessage, Frame, Header, Message, Window
from common.bus.topics import TOPIC_OF, TOPICS, Topic, address
from common.errors import UserError
from common.keypoints.landmarks import SIZE

MAX_HEADER_BYTES: Final = 1024 * 1024  # two maps of 5,000 labels of 90 characters; a full queue of them is 1 GB
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024


def pack(header: Header, array: NDArray[Any] | None = None) -> list[bytes | memoryview]:
    """The parts of a message: topic, header and, for a topic that has one, the array, not copied.

    Raises UserError for what `unpack` would refuse for its size.
    """
    topic = TOPIC_OF[type(header)]
    parts: list[bytes | memoryview] = [address(header), msgspec.msgpack.encode(header)]
    if topic.array is not None:
        values = np.empty(0, topic.dtype) if array is None else array
        parts.append(np.ascontiguousarray(values, topic.dtype).reshape(-1).data)
    _check_sizes(topic, parts)
    return parts


def _check_sizes(topic: Topic, parts: list[bytes | memoryview]) -> None:
    header, array = len(parts[1]), memoryview(parts[-1]).nbytes
    if header > MAX_HEADER_BYTES:
        raise UserError(
            f"A {topic.name} header of {header:,} bytes does not fit onto the bus, which takes {MAX_HEADER_BYTES:,}: "
            f"fewer labels, or shorter ones, do."
        )
    if array > MAX_MESSAGE_BYTES:
        raise UserError(
            f"{topic.name} of {array:,} bytes do not fit onto the bus, which takes {MAX_MESSAGE_BYTES:,}: smaller "
            f"pictures (camera.width) do."
        )


_DECODERS: Final = {row.name: msgspec.msgpack.Decoder(row.header) for row in TOPICS.values()}


def unpack(parts: list[Any]) -> Message:
    """The inverse of pack, for bytes or buffers; raises BadMessage, with the reason."""
    if len(parts) not in (2, 3):
        raise BadMessage(f"{len(parts)} parts instead of 2 or 3")
    name = bytes(parts[0][:64]).split(b"/")[0].decode(errors="replace")
    topic = TOPICS.get(name)
    if topic is None:
        raise BadMessage(f"unknown topic {name!r}")
    header = decode_header(topic, parts[1])
    if address(header) != bytes(parts[0]):
        raise BadMessage(f"topic {bytes(parts[0][:80])!r} of another stream than its header's {header.stream!r}")
    if topic.array is None:
        return Message(header)
    if len(parts) != 3:
        raise BadMessage(f"{name} without its array")
    return Message(header, decode_array(topic, header, memoryview(parts[2])))


def decode_header(topic: Topic, part: Any) -> Header:
    """The typed header of a message part; raises BadMessage."""
    if len(part) > MAX_HEADER_BYTES:
        raise BadMessage(f"{topic.name} header of {len(part)} bytes, at most {MAX_HEADER_BYTES}")
    try:
        return _DECODERS[topic.name].decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"{topic.name} header: {error}") from error


def decode_array(topic: Topic, header: Header, buffer: memoryview) -> NDArray[Any] | None:
    if len(buffer) > MAX_MESSAGE_BYTES or len(buffer) % np.dtype(topic.dtype).itemsize:
        raise BadMessage(f"{topic.name} array of {len(buffer)} bytes")
    values = np.frombuffer(buffer, topic.dtype)
    if header.end:
        return None
    if isinstance(header, Frame):
        return _decode_picture(header, values)
    assert topic.array is not None
    if values.size % topic.array[-1] or (len(topic.array) == 1 and values.size != topic.array[0]):  # type: ignore[operator]
        raise BadMessage(f"{topic.name} array of {values.size} numbers, not {topic.array}")
    if not np.isfinite(values).all():
        raise BadMessage(f"{topic.name} array with NaN or infinity")
    if isinstance(header, Window) and values.size not in (0, header.length * SIZE):
        raise BadMessage(f"windows array of {values.size} numbers, not {header.length} x {SIZE}")
    return values if len(topic.array) == 1 else values.reshape(-1, topic.array[-1])  # type: ignore[arg-type]


def _decode_picture(header: Frame, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if header.encoding == "jpeg":
        return values
    if not values.size or values.size != header.height * header.width * 3:
        raise BadMessage(f"frames array of {values.size} bytes, not {header.height} x {header.width} x 3")
    return values.reshape(header.height, header.width, 3)
