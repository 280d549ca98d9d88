"""Classify windows, and detect when actions start and end."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from common.bus.messages import Action, Header, Message, Prediction, Window, derive_header, of_kind
from common.config import Settings
from common.errors import UserError
from common.keypoints.window import MIN_PERSON_RATIO
from common.labels import split_label
from common.recognition.classifier import Classifier
from common.recognition.decision import ActionDetector, Event, merge_parameters
from common.recognition.model_watcher import ModelWatcher
from common.recognition.open_actions import OpenActions
from common.runtime import watchdog
from common.runtime.service import Service, log, main

_Key = tuple[str, int, int]  # stream, start and frame

STREAM_TIMEOUT_S = 2.0  # a live stream without windows for this long has stopped, and with it any action


class Inference(Service):
    """Runs the model on every window and keeps an ActionDetector for each stream."""

    topics = ("windows",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._detectors: dict[str, ActionDetector] = {}
        self._last: dict[str, tuple[Header, float]] = {}
        self._open = OpenActions()

    def setup(self) -> None:
        """Load the model."""
        self._watcher = ModelWatcher(Path(self.settings.model))
        self._classifier = Classifier(self.settings.model)
        card = self._classifier.card
        length = self.settings.windows.length
        if length not in (None, card.window.length):
            raise UserError(
                f"The model {self.settings.model} takes windows of {card.window.length} frames, but "
                f"windows.length is {length}: leave that setting at null, or choose another model."
            )
        self._parameters = merge_parameters(card.decision, self.settings.decision)
        log.info("%s knows %s", self.settings.model, ", ".join(card.labels))

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        """Classify the windows, yield predictions and actions."""
        if self._watcher.replaced(time.monotonic()):
            yield from self._replace()
        if self._open.inherited:
            yield from self._end_inherited_actions()
        rows = self._classify(inbox)
        for header, _ in of_kind(inbox, Window):
            before, _ = self._last.get(header.stream, (header, 0.0))
            if header.start != before.start:
                yield from self._close_stream(before)
            if header.end_of_stream:
                yield from self._close_stream(header)
                yield Message(derive_header(header, Prediction, end_of_stream=True))
                yield Message(derive_header(header, Action, end_of_stream=True))
            else:
                self._last[header.stream] = header, time.monotonic()
                yield from self._window(header, rows.get(_key(header), {}))
        for last, received_s in list(self._last.values()):
            if last.live and time.monotonic() - received_s > STREAM_TIMEOUT_S:
                yield from self._close_stream(last)

    def _replace(self) -> Iterator[Message]:
        """Load the model that is in the folder now; if it cannot be used, the old one stays."""
        folder, old = self.settings.model, self._classifier.card
        watchdog.beat(watchdog.LONG_TIMEOUT_S)
        try:
            new = Classifier(folder)
            if new.card.window != old.window:
                raise UserError(
                    f"{folder} now takes {new.card.window}, but {old.window} comes: start the pipeline anew."
                )
            chosen = merge_parameters(new.card.decision, self.settings.decision)
        except UserError as error:
            self.health.detail = f"the model before stays: {error}"
            log.error("%s", self.health.detail)
            return
        for header, _ in list(self._last.values()):
            yield from self._close_stream(header)  # no action of the old model is ended by the new one
        self._classifier, self._parameters, self.health.detail = new, chosen, ""
        for stream, detector in self._detectors.items():
            self._detectors[stream] = self._new_detector(detector.next_id)
        log.info("%s was replaced: it now knows %s", folder, ", ".join(new.card.labels))

    def _classify(self, inbox: list[Message]) -> dict[_Key, dict[str, float]]:
        """Classify all windows that show a person, in one batch."""
        length, labels = self._classifier.card.window.length, self._classifier.card.labels
        shown = [
            (header, vectors)
            for header, vectors in of_kind(inbox, Window)
            if vectors is not None and len(vectors) == length and header.person_ratio >= MIN_PERSON_RATIO
        ]
        if not shown:
            return {}
        rows = np.clip(self._classifier(np.stack([vectors for _, vectors in shown])), 0, 1).tolist()
        return {_key(header): dict(zip(labels, row, strict=True)) for (header, _), row in zip(shown, rows, strict=True)}

    def _window(self, header: Window, probabilities: dict[str, float]) -> Iterator[Message]:
        detector = self._detector(header.stream)
        if header.length != self._classifier.card.window.length:
            self._refuse(header)
            return
        state = {key: getattr(header, key) for key in ("filled", "length", "stride", "person_ratio")}
        if header.filled < header.length:
            yield from self._actions(header, detector.flush())
            yield Message(derive_header(header, Prediction, **state))
            return
        window_center_s = (header.start_ns + header.captured_ns) / 2e9  # docs/decisions/0006
        events = list(detector.update(window_center_s, probabilities))
        label = max(probabilities, key=probabilities.__getitem__, default=None)
        yield Message(
            derive_header(
                header,
                Prediction,
                label=label,
                verdict=split_label(label).verdict if label else None,
                confidence=probabilities[label] if label else 0.0,
                probabilities=probabilities,
                smoothed=detector.smoothed,
                **state,
            )
        )
        yield from self._actions(header, events)
        self._open.advance(header.stream, window_center_s)

    def _detector(self, stream: str) -> ActionDetector:
        if stream not in self._detectors:
            self._detectors[stream] = self._new_detector()
        return self._detectors[stream]

    def _new_detector(self, first_id: int = 1) -> ActionDetector:
        return ActionDetector(self._parameters, frozenset(self._classifier.card.idle), first_id)

    def _refuse(self, header: Window) -> None:
        wanted = self._classifier.card.window.length
        detail = f"{header.stream}: windows of {header.length} frames come, the model takes {wanted}; they are dropped"
        if self.health.detail != detail:
            log.error("%s", detail)
        self.health.detail = detail
        self.health.dropped += 1

    def _close_stream(self, header: Header) -> Iterator[Message]:
        self._last.pop(header.stream, None)
        if header.stream in self._detectors:
            yield from self._actions(header, self._detectors[header.stream].flush())

    def _actions(self, header: Header, events: Iterable[Event]) -> Iterator[Message]:
        for event in events:
            action = derive_header(header, Action, **event._asdict())
            self._open.record(action, self._detector(header.stream).next_id)
            yield Message(action)

    def _end_inherited_actions(self) -> Iterator[Message]:
        """End the actions that were in progress when the process before this one crashed."""
        left, self._open.inherited = self._open.inherited, {}
        for stream, known in left.items():
            self._detectors[stream] = self._new_detector(known.next_id)
            if known.action:
                end_s = max(known.action.start_s, known.last_s)
                ended = msgspec.structs.replace(known.action, event="ended", end_s=end_s)
                self._open.record(ended, known.next_id)
                yield Message(ended)


def _key(header: Header) -> _Key:
    return header.stream, header.start, header.seq


if __name__ == "__main__":
    main(Inference, "inference")
