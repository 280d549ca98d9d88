"""Write messages of the bus to an MCAP file, and read them back.

A channel is a topic of a stream, such as `keypoints/cam`; a message is the header as it was on the wire, a
MessagePack map, with the array's bytes under the key `array`. Two metadata records frame it: `begin` (settings,
versions) and `end` (the reason, what was missed). A file without `end` was cut off.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import zstandard
from mcap import records
from mcap.exceptions import McapError
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from common.bus.errors import BadMessage
from common.bus.messages import Message
from common.bus.topics import TOPIC_OF
from common.bus.wire import pack, unpack
from common.errors import UserError
from common.lfs import refuse_pointer

CHUNK_BYTES: Final = 1 << 20
MAX_RECORD_BYTES: Final = 1 << 28  # so that a damaged length does not fill the memory
_ARRAY: Final = "array"
_DAMAGE: Final = (McapError, zstandard.ZstdError, struct.error, EOFError, BadMessage, msgspec.MsgspecError, ValueError)


class Received(NamedTuple):
    """A message and when it was received, in Unix nanoseconds."""

    received_ns: int
    message: Message


class BusWriter:
    """Writes a new file; every method raises OSError where the disk is full, and what was flushed stays readable."""

    def __init__(self, path: Path, begin: Mapping[str, str]) -> None:
        """Create the file with `begin` as its first record; raises FileExistsError where it exists."""
        self._file = path.open("xb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile="actionstream")
        self._writer.add_metadata("begin", dict(begin))
        self._channels: dict[tuple[str, str], int] = {}
        self.counts: Counter[str] = Counter()

    def add(self, received_ns: int, message: Message) -> None:
        """Append a message; its channel is created with the first of its topic and stream."""
        header, array = message
        topic = TOPIC_OF[type(header)].name
        if (topic, header.stream) not in self._channels:
            channel = self._writer.register_channel(f"{topic}/{header.stream}", "msgpack", schema_id=0)
            self._channels[topic, header.stream] = channel
        parts = pack(header, array)
        data = bytes(parts[1])
        if len(parts) == 3:
            data = msgspec.msgpack.encode({**msgspec.msgpack.decode(data), _ARRAY: parts[2]})
        channel, sent_ns = self._channels[topic, header.stream], max(0, header.ingested_ns)
        self._writer.add_message(channel, received_ns, data, publish_time=sent_ns, sequence=header.seq % 2**32)
        self.counts[topic] += 1

    def flush(self) -> None:
        """Write to the disk; a process that is killed loses what came after."""
        self._writer.flush()

    def close(self, end: Mapping[str, str]) -> None:
        """Write `end` and the index."""
        try:
            self._writer.add_metadata("end", dict(end))
            self._writer.finish()
        finally:
            self._file.close()


class BusReader:
    """The messages of a recording, to iterate over once; afterwards `end` is None where the file was cut off.

    Raises UserError while iterating where the file cannot be read or is no recording of the bus.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begin: dict[str, str] = {}
        self.end: dict[str, str] | None = None

    def __iter__(self) -> Iterator[Received]:
        refuse_pointer(self.path)
        try:
            with self.path.open("rb") as file:
                yield from self._read(file)
        except OSError as error:
            raise UserError(f"The recording {self.path} cannot be read: {error.strerror}.") from error

    def _check_version(self) -> None:
        if "version" not in self.begin:
            raise UserError(
                f"{self.path} is of a time before version 0.1.0, whose headers had other keys: record anew."
            )

    def _read(self, file: Any) -> Iterator[Received]:
        channels: dict[int, str] = {}
        try:
            for record in StreamReader(file, record_size_limit=MAX_RECORD_BYTES).records:
                if isinstance(record, records.Channel):
                    channels[record.id] = record.topic
                elif isinstance(record, records.Message):
                    yield _received(channels[record.channel_id], record)
                elif isinstance(record, records.Metadata) and record.name == "begin":
                    self.begin = record.metadata
                    self._check_version()
                elif isinstance(record, records.Metadata) and record.name == "end":
                    self.end = record.metadata
        except _DAMAGE as error:
            if not self.begin:
                raise UserError(f"{self.path} is not a recording of the bus ({type(error).__name__}).") from error
        if not self.begin:
            raise UserError(f"{self.path} is an MCAP file, but not a recording of this bus.")


def _received(topic: str, record: records.Message) -> Received:
    fields = msgspec.msgpack.decode(record.data)
    parts: list[Any] = [fields.pop(_ARRAY)] if _ARRAY in fields else []
    return Received(record.log_time, unpack([f"{topic}/".encode(), msgspec.msgpack.encode(fields), *parts]))
