"""Pictures of the take that is being captured in; a video beside its sequence out, once the take is complete."""

from pathlib import Path
from typing import Final

from common.bus.messages import Frame, Message
from common.video.image import Decoder
from common.video.writer import VideoFile

DRAFT: Final = ".take.mp4.part"  # whoever opens the data set again removes what was left of it


class TakeVideo:
    """Written while it is captured, so that no more pictures are in memory than wait for their keypoints."""

    def __init__(self, folder: Path) -> None:
        self._draft = folder / DRAFT
        self._video: VideoFile | None = None
        self._decode = Decoder()
        self.frames = 0  # of this take

    def add(self, frame: Message | None) -> None:
        """The take's next frame; None if its picture was lost. Raises UserError or OSError where it cannot be kept."""
        picture = self._decode(frame) if frame else None
        if frame is None or picture is None:
            return
        assert isinstance(frame.header, Frame)
        if self._video is None:
            size = picture.shape[1], picture.shape[0]
            self._video = VideoFile(self._draft, frame.header.fps, size, live=False)
        self._video.write(picture, frame.header.captured_ns)
        self.frames += 1

    def keep(self, path: Path) -> None:
        """The take is complete, and this is its video's name; raises OSError."""
        if self._video:
            self._video.close()
            self._video = None
            path.parent.mkdir(parents=True, exist_ok=True)
            self._draft.replace(path)

    def discard(self) -> None:
        """Another take begins, or none."""
        if self._video:
            self._video.abandon()
            self._draft.unlink(missing_ok=True)
        self._video, self.frames = None, 0
