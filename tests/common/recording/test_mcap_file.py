"""A recording is read as it was written; one that was cut off is read up to there, and has no end."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import Writer

from common.bus.messages import Action, Frame, Keypoints, Message, Window
from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.recording.mcap_file import BusReader, BusWriter

START_NS = 1_700_000_000_000_000_000


def messages(count: int = 60) -> list[Message]:
    rng = np.random.default_rng(0)
    made = []
    for seq in range(count):
        head = {"stream": "cam", "seq": seq, "captured_ns": seq * 40_000_000, "ingested_ns": START_NS + seq}
        made.append(Message(Keypoints(**head, detected_parts=("pose", "face")), rng.random(SIZE, np.float32)))
        made.append(Message(Window(**head, length=30, filled=3), np.empty((0, SIZE), np.float32)))
        made.append(Message(Frame(**head, width=8, height=4), rng.integers(0, 255, (4, 8, 3), np.uint8)))
        made.append(Message(Action(**head, label="nod", id=seq, start_s=0.5, confidence=0.25)))
    made.append(Message(Keypoints(stream="cam", seq=count, captured_ns=0, ingested_ns=0, end_of_stream=True)))
    return made


def written(path: Path, closed: bool = True) -> list[Message]:
    made, writer = messages(), BusWriter(path, {"version": "1"})
    for place, message in enumerate(made):
        writer.add(START_NS + place, message)
        if place % 40 == 0:
            writer.flush()
    on_disk = path.read_bytes()
    writer.close({"reason": "stopped"})
    if not closed:
        path.write_bytes(on_disk)  # as when it is killed
    return made


def same(one: Message, other: Message) -> bool:
    if one.array is None or not one.array.size:
        return one.header == other.header and (other.array is None or not other.array.size)
    return one.header == other.header and bool((one.array == other.array).all())


def test_there_and_back(tmp_path: Path) -> None:
    made, reader = written(tmp_path / "a.mcap"), BusReader(tmp_path / "a.mcap")
    read = list(reader)
    assert [received.received_ns - START_NS for received in read] == list(range(len(made)))
    assert all(same(received.message, message) for received, message in zip(read, made, strict=True))
    assert reader.begin == {"version": "1"}
    assert reader.end == {"reason": "stopped"}


def test_the_tools_of_the_format_read_it_by_its_index(tmp_path: Path) -> None:
    written(tmp_path / "a.mcap")
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert sorted(c.topic for c in summary.channels.values()) == [
            "action/cam",
            "frames/cam",
            "keypoints/cam",
            "windows/cam",
        ]
        assert summary.statistics.message_count == 241
        assert summary.chunk_indexes
        assert len(list(reader.iter_messages(topics=["action/cam"]))) == 60
        assert {m.name for m in reader.iter_metadata()} == {"begin", "end"}


def test_what_was_flushed_survives_whatever_comes_after(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    made = written(path, closed=False)
    whole = path.read_bytes()
    for cut in range(len(whole) // 2, len(whole), 997):
        path.write_bytes(whole[:cut])
        reader = BusReader(path)
        read = list(reader)
        assert reader.end is None
        assert read
        assert all(same(received.message, message) for received, message in zip(read, made, strict=False))


def test_a_full_disk_is_an_error_and_what_was_flushed_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = BusWriter(tmp_path / "a.mcap", {"version": "1"})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[0][1]))
        with pytest.raises(OSError, match="large"):
            fill(writer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    assert 0 < len(list(BusReader(tmp_path / "a.mcap"))) < 241
    writer.close({})


def fill(writer: BusWriter) -> None:
    for place, message in enumerate(messages()):
        writer.add(START_NS + place, message)
        writer.flush()


def others_files(path: Path) -> Iterator[tuple[str, Path]]:
    (path / "text.mcap").write_text("This is not a recording.\n" * 20)
    (path / "empty.mcap").touch()
    with (path / "other.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        channel = writer.register_channel("/imu", "json", 0)
        writer.add_message(channel, 1, b"{}", 1)
        writer.finish()
    yield from (("not a recording", path / name) for name in ("text.mcap", "empty.mcap", "other.mcap"))
    yield "cannot be read", path / "none.mcap"


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    for sentence, path in others_files(tmp_path):
        with pytest.raises(UserError, match=sentence):
            list(BusReader(path))


def test_a_recording_from_before_the_first_version_is_refused(tmp_path: Path) -> None:
    BusWriter(tmp_path / "a.mcap", {"release": "0.1.0"}).close({"reason": "stopped"})
    with pytest.raises(UserError, match=r"a\.mcap is of a time before version 0\.1\.0.*record anew"):
        list(BusReader(tmp_path / "a.mcap"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    written(tmp_path / "a.mcap")
    with pytest.raises(FileExistsError):
        BusWriter(tmp_path / "a.mcap", {})
