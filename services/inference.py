"""Windows in; a prediction for each window, and actions that start and end, out."""

import time
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.classifier import Classifier
from common.config import Decision, Settings
from common.decision import Decider, Event, Parameters
from common.errors import UserError
from common.messages import Action, Header, Message, Prediction, Window, about
from common.service import Service, log, main

SILENT_S = 2.0  # a live stream without windows for this long has stopped, and with it any action
MIN_PRESENT = 0.5  # share of a window's frames with a person in view, below which there is nobody


class Inference(Service):
    """Runs the model on every window and keeps a Decider for each stream."""

    topics = ("windows",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._deciders: dict[str, Decider] = {}
        self._last: dict[str, tuple[Header, float]] = {}

    def setup(self) -> None:
        self._classifier = Classifier(self.settings.inference.model)
        card = self._classifier.card
        length = self.settings.windows.length
        if length not in (None, card.window.length):
            raise UserError(
                f"The model {self.settings.inference.model} takes windows of {card.window.length} frames, but "
                f"windows.length is {length}: leave that setting at null, or choose another model."
            )
        self._parameters = parameters(card.decision, self.settings.decision)

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        for header, vectors in inbox:
            assert isinstance(header, Window)
            if header.end:
                yield from self._close_stream(header)
                self._deciders.pop(header.stream, None)
                yield Message(about(header, Prediction, end=True))
                yield Message(about(header, Action, end=True))
            else:
                self._last[header.stream] = header, time.monotonic()
                yield from self._window(header, vectors)
        for header, heard in list(self._last.values()):
            if header.live and time.monotonic() - heard > SILENT_S:
                yield from self._close_stream(header)

    def _window(self, header: Window, vectors: NDArray[np.float32] | None) -> Iterator[Message]:
        decider = self._decider(header.stream)
        if header.filled < header.length or vectors is None:
            yield from _actions(header, decider.flush())
            yield Message(about(header, Prediction, filled=header.filled, length=header.length, stride=header.stride))
            return
        if len(vectors) != self._classifier.card.window.length:
            self._refuse(header, len(vectors))
            return
        probabilities = self._probabilities(header, vectors)
        middle_s = (header.start_ns + header.captured_ns) / 2e9  # a window speaks for its middle
        events = list(decider.update(middle_s, probabilities))
        label = max(probabilities, key=probabilities.__getitem__, default=None)
        yield Message(
            about(
                header,
                Prediction,
                label=label,
                confidence=probabilities[label] if label else 0.0,
                probabilities=probabilities,
                smoothed=decider.smoothed,
                filled=header.filled,
                length=header.length,
                stride=header.stride,
                present=header.present,
            )
        )
        yield from _actions(header, events)

    def _probabilities(self, header: Window, vectors: NDArray[np.float32]) -> dict[str, float]:
        if header.present < MIN_PRESENT:
            return {}
        row = np.clip(self._classifier(vectors[None])[0], 0, 1)
        return dict(zip(self._classifier.card.labels, row.tolist(), strict=True))

    def _decider(self, stream: str) -> Decider:
        if stream not in self._deciders:
            self._deciders[stream] = Decider(self._parameters, frozenset(self._classifier.card.idle))
        return self._deciders[stream]

    def _refuse(self, header: Window, length: int) -> None:
        wanted = self._classifier.card.window.length
        detail = f"{header.stream}: windows of {length} frames come, the model takes {wanted}; they are dropped"
        if self.health.detail != detail:
            log.error("%s", detail)
        self.health.detail = detail
        self.health.dropped += 1

    def _close_stream(self, header: Header) -> Iterator[Message]:
        self._last.pop(header.stream, None)
        if header.stream in self._deciders:
            yield from _actions(header, self._deciders[header.stream].flush())


def parameters(card: Parameters, settings: Decision) -> Parameters:
    """The card's, with what the settings say instead; raises UserError if they contradict each other."""
    chosen = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    merged = msgspec.structs.replace(card, **chosen)
    if merged.leave > merged.enter:
        raise UserError(f"decision.leave is {merged.leave}: it must not be above decision.enter, {merged.enter}.")
    return merged


def _actions(header: Header, events: Iterable[Event]) -> Iterator[Message]:
    for event in events:
        yield Message(about(header, Action, **event._asdict()))


if __name__ == "__main__":
    main(Inference, "inference")
