"""What workers found in videos in; a line of extract.jsonl for each, by which a run that was cut off goes on, out."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
import numpy as np

from common.files import JsonLinesWriter, atomic_write
from common.keypoints.landmarks import split
from common.recording.dataset_writer import DatasetWriter
from data.extraction.extractor import ExtractionResult
from data.extraction.videos import Video
from data.extraction.workers import Crash

REPORT: Final = "extract.jsonl"
STEADY_POSE: Final = (
    0.7  # of the frames: a logo taken for a pose is lost on 4 of 10, a push-up seen from afar on 2 at most
)


class ReportRow(msgspec.Struct, kw_only=True):
    """A line of the report: what became of one video."""

    path: str  # below the source, or as listed
    label: str
    start_s: float | None
    end_s: float | None
    size: int  # bytes
    mtime_ns: int
    subject: str
    fps: float = 0.0  # of a folder of pictures, as was said
    outcome: Literal["ok", "failed", "crashed"] = "ok"
    reason: str = ""
    file: str = ""  # the sequence, below the data set
    frames: int = 0
    seconds: float = 0.0  # from the first frame to the last
    rate: float = 0.0  # frames/s that its worker did
    pose: float = 0.0  # share of the frames that have it
    face: float = 0.0
    left_hand: float = 0.0
    right_hand: float = 0.0


Key = tuple[object, ...]


def key(it: Video | ReportRow) -> Key:
    """By which a video is the same as before."""
    name = it.name if isinstance(it, Video) else it.path
    return name, it.label, it.start_s, it.end_s, it.subject, it.size, it.mtime_ns, it.fps


class Report:
    """extract.jsonl: the rows of the videos that are finished, by key."""

    def __init__(self, writer: DatasetWriter) -> None:
        path = writer.folder / REPORT
        lines = path.read_bytes().splitlines() if path.exists() else []
        # The row comes before the sequence, so one without the other was cut off; who crashed, gets another chance.
        rows = [row for row in _rows(lines) if row.outcome == "failed" or row.file in writer.entries]
        self.rows = {key(row): row for row in rows}
        if len(rows) < len(lines):
            atomic_write(path, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        self._lines = JsonLinesWriter(path)

    def add(self, row: ReportRow) -> None:
        self._lines.add(row)
        self._lines.flush()
        self.rows[key(row)] = row

    def close(self) -> None:
        self._lines.close()


def _rows(lines: Iterable[bytes]) -> Iterator[ReportRow]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=ReportRow)
        except msgspec.MsgspecError:
            continue  # cut or damaged: the video is done again


def result_row(video: Video, take: ExtractionResult | Crash) -> ReportRow:
    """The row of a video, of which no sequence is written yet."""
    row = ReportRow(
        path=video.name,
        label=video.label,
        start_s=video.start_s,
        end_s=video.end_s,
        size=video.size,
        mtime_ns=video.mtime_ns,
        subject=video.subject,
        fps=video.fps,
    )
    if isinstance(take, Crash):
        row.outcome, row.reason = "crashed", take.reason
        return row
    row.frames = len(take.keypoints)
    if row.frames:
        row.seconds = round(float(np.ptp(take.captured_ns)) / 1e9, 3)
        row.rate = round(row.frames / take.work_s, 1)
        for part, points in split(take.keypoints).items():
            setattr(row, part, round(float(points.any(axis=(1, 2)).mean()), 3))
    row.reason = take.failure or rejection_reason(row)
    row.outcome = "failed" if row.reason else "ok"
    return row


def shows_face_or_hand(row: ReportRow) -> bool:
    return bool(row.face or row.left_hand or row.right_hand)


def rejection_reason(row: ReportRow) -> str:
    """Why the frames make no sequence, if so.

    As docs/decisions/0008 has it, neither face nor hand means nobody; but who names a video after what somebody does in
    it is believed where the pose is there all along.
    """
    if not row.frames:
        return "there is no picture between its start and end"
    if not row.pose:
        return "nobody is in view"
    if row.pose < STEADY_POSE and not shows_face_or_hand(row):
        return f"nobody is in view: what looks like a pose on {row.pose:.0%} of the frames has neither face nor hands"
    return ""
