"""Extract the keypoints of videos, one after another."""

import logging
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.keypoints.smoothing import PoseSmoother
from common.quiet import quiet
from common.video.sources import CapturedFrame, FileSource, FolderSource, Source
from data.extraction.videos import Video


class ExtractionResult(NamedTuple):
    """The keypoints of a video."""

    keypoints: NDArray[np.float32]  # (T, 1662), the pose smoothed; T is 0 if there is no frame
    captured_ns: NDArray[np.int64]  # (T,), the video's own times
    fps: float  # nominal
    work_s: float  # how long the extraction took
    failure: str = ""  # why there are no frames, or no more
    warnings: tuple[str, ...] = ()


class VideoExtractor:
    """Tracks the person in one video after another as the live pipeline does, with one MediaPipe graph for all."""

    def __init__(self) -> None:
        from common.keypoints.holistic import Holistic  # only workers need it: it takes a second and 300 MB

        self._holistic = Holistic()

    def __call__(self, video: Video) -> ExtractionResult:
        """Extract one video; what is wrong with it is in the result."""
        started_s, tracked, fps, failure, warnings = time.perf_counter(), list[_Frame](), 0.0, "", _WarningCollector()
        with quiet(), warnings:
            try:
                source = _open(video)
                fps = source.fps
                tracked.extend(self._track(_between(source, video)))
                source.close()
            except UserError as error:
                failure = str(error)
            except OSError as error:
                failure = f"{video.path} cannot be read: {error.strerror}."
            self._holistic.reset()
        keypoints = np.array([frame.vector for frame in tracked], np.float32).reshape(-1, SIZE)
        captured_ns = np.array([frame.captured_ns for frame in tracked], np.int64)
        return ExtractionResult(
            keypoints, captured_ns, fps, time.perf_counter() - started_s, failure, tuple(warnings.texts)
        )

    def _track(self, frames: Iterator[CapturedFrame]) -> Iterator["_Frame"]:
        smoother = PoseSmoother()
        for captured_ns, image in frames:
            vector, _, scale_px = self._holistic(image, captured_ns)
            height, width = image.shape[:2]
            yield _Frame(captured_ns, smoother(vector, captured_ns, scale_px, (width, height)))


class _Frame(NamedTuple):
    captured_ns: int
    vector: NDArray[np.float32]  # (1662,)


def _open(video: Video) -> Source:
    if video.error:
        raise UserError(video.error)
    return FolderSource(video.path, video.fps) if video.fps else FileSource(video.path)


def _between(source: Source, video: Video) -> Iterator[CapturedFrame]:
    """The frames from start to end; those before are decoded too, since only then are the times exact."""
    start_s, end_s = video.start_s or 0.0, math.inf if video.end_s is None else video.end_s
    while (frame := source.read()) and frame.captured_ns < end_s * 1e9:
        if frame.captured_ns >= start_s * 1e9:
            yield frame


class _WarningCollector(logging.Handler):
    """Collects the warnings logged meanwhile, such as frames that a video declares and does not have."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning's text."""
        self.texts.append(record.getMessage())

    def __enter__(self) -> None:
        logging.getLogger("common").addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("common").removeHandler(self)
