"""Collect keypoints into windows, one for every frame, resampled to the rate the model was trained at."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Keypoints, Message, Window, derive_header, of_kind
from common.config import Settings
from common.keypoints.window import Windower
from common.recognition.classifier import read_card
from common.runtime.service import Service, log, main


class Windows(Service):
    """Keeps a Windower for each stream."""

    topics = ("keypoints",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._windowers: dict[str, tuple[int, Windower]] = {}  # by stream, with the start it is for

    def setup(self) -> None:
        """Read what windows the model needs."""
        card = read_card(self.settings.model)
        chosen = self.settings.windows
        self._length = chosen.length or card.window.length
        self._fps = chosen.fps or card.window.fps
        self._legs_confirm = card.features.whole_body

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        """Add keypoints, yield windows."""
        for header, vector in of_kind(inbox, Keypoints):
            if header.end_of_stream:
                self._windowers.pop(header.stream, None)
                yield Message(derive_header(header, Window, end_of_stream=True))
            elif vector is not None:
                yield from self._push(header, vector)

    def _push(self, header: Keypoints, vector: NDArray[np.float32]) -> Iterator[Message]:
        start, windower = self._windowers.get(header.stream, (None, None))
        if windower is None or start != header.start:
            chosen = self.settings.windows
            windower = Windower(self._length, self._fps, chosen.stride, chosen.max_gap_s, self._legs_confirm)
            self._windowers[header.stream] = header.start, windower
        gaps = windower.gaps
        window = windower.push(header.captured_ns, vector)
        if windower.gaps > gaps:
            log.warning("%s: a gap before frame %d; a new window begins", header.stream, header.seq)
        if window is not None:
            facts = {"start_ns": window.start_ns, "filled": window.filled, "person_ratio": window.person_ratio}
            yield Message(
                derive_header(header, Window, length=self._length, stride=self.settings.windows.stride, **facts),
                window.vectors,
            )


if __name__ == "__main__":
    main(Windows, "windows")
