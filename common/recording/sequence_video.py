"""Write the frames of a sequence to a video beside it, once the sequence is complete."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame
from common.video.image import Decoder
from common.video.writer import VideoWriter

DRAFT: Final = ".sequence.mp4.part"  # DatasetWriter removes what is left of it after a crash


class SequenceVideo:
    """Written while frames come, so that memory holds no more of them than wait for their keypoints."""

    def __init__(self, folder: Path) -> None:
        self._draft = folder / DRAFT
        self._video: VideoWriter | None = None
        self._decode = Decoder()
        self.frames = 0  # written

    def add(self, frame: Frame | None, image: NDArray[np.uint8] | None) -> None:
        """Write the next frame; None where its image was lost. Raises UserError or OSError where it cannot be kept."""
        if frame is None or image is None or (image := self._decode(frame, image)) is None:
            return
        if self._video is None:
            size = image.shape[1], image.shape[0]
            self._video = VideoWriter(self._draft, frame.fps, size, live=False)
        self._video.write(image, frame.captured_ns)
        self.frames += 1

    def keep(self, path: Path) -> None:
        """Finish the video and give it its name; raises OSError."""
        if self._video:
            self._video.close()
            self._video = None
            path.parent.mkdir(parents=True, exist_ok=True)
            self._draft.replace(path)

    def discard(self) -> None:
        """Delete what was written, to start over."""
        if self._video:
            self._video.abandon()
            self._draft.unlink(missing_ok=True)
        self._video, self.frames = None, 0
