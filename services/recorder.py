"""Keypoints and commands in; a data set of labelled sequences, and what the person should do now, out.

    python -m services.recorder wave clap --sequences 30 --subject anna

Runs beside a pipeline. Keys: p or space pause and go on, r once more, s next label, q stop.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.bus.messages import Command, Frame, Header, Keypoints, Message, Recording, derive_header
from common.config import Settings
from common.errors import UserError
from common.frames.pairing import Pair, Pairing, make_room
from common.recording.dataset_writer import DatasetWriter
from common.recording.keyboard import KeyReader
from common.recording.sequence import KeypointSequence
from common.recording.sequence_video import SequenceVideo
from common.recording.session import CapturedSequence, CapturePlan, CaptureSession, check_plan
from common.runtime.service import Service, log, main

KEYS = {"p": "pause", " ": "pause", "r": "retake", "s": "skip", "q": "stop"}


class Recorder(Service):
    """One session on the camera's stream."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options, self._stream = settings.recorder, settings.camera.stream
        self.topics = ("keypoints", "command", "frames") if self._options.video else ("keypoints", "command")
        self._writer: DatasetWriter | None = None
        self._keys: KeyReader | None = None
        self._video: SequenceVideo | None = None
        self._beginnings: set[int] = set()  # of the stream, those that were heard of
        self._start, self._pairing = 0, Pairing()
        self._last_file = ""
        self._shown: Recording | None = None

    def setup(self) -> None:
        chosen, labels = self._options, check_plan(self._options)
        self._writer = DatasetWriter(Path(chosen.out))
        there = {label: self._writer.count(label, chosen.subject) for label in labels}
        self._session = CaptureSession(CapturePlan(labels, chosen.sequences, chosen.frames, chosen.countdown_s), there)
        self._video = SequenceVideo(self._writer.folder) if chosen.video else None
        self._keys = KeyReader()
        log.info("%s by %s: %s", chosen.out, chosen.subject, self._progress())
        log.info("keys: p pause and go on, r once more, s next label, q stop")
        self.over = self._session.state == "finished"

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        assert self._keys is not None
        for key in self._keys.read().lower():
            self._obey(KEYS.get(key, key))
        for message in inbox:
            header, array = message
            if isinstance(header, Command) and header.stream == "recorder":
                self._obey(header.command)
            elif header.stream != self._stream or array is None or self._is_old(header):
                continue
            elif isinstance(header, Frame):
                self._pairing.add_frame(message)
            elif isinstance(header, Keypoints) and self._video:
                self._pairing.add_keypoints(message)
            elif isinstance(header, Keypoints):
                yield from self._capture(Pair(message, None))
        while pair := self._pairing.next():
            yield from self._capture(pair)
        make_room([self._pairing])
        self.over = self._session.state == "finished"

    def _is_old(self, header: Header) -> bool:
        """Whether it is from before the stream began anew; what is still here of that time is forgotten."""
        if header.start not in self._beginnings:
            self._beginnings.add(header.start)
            self._start, self._pairing = header.start, Pairing()
        return header.start != self._start

    def _capture(self, pair: Pair) -> Iterator[Message]:
        header, vector = pair.keypoints
        assert isinstance(header, Keypoints) and vector is not None
        take = self._session.frame(header.seq, header.captured_ns, vector)
        try:
            self._film(pair.frame)
            if take:
                self._save(take)
        except (UserError, OSError) as error:
            log.error("%s", error)
            self._session.pause(f"not saved: {error}")
        yield from self._show(header)

    def _obey(self, command: str) -> None:
        session = self._session
        if command == "retake" and session.retake():
            assert self._writer is not None
            self._writer.remove(self._last_file)
            log.info("%s is deleted; once more", self._last_file)
        elif command in ("pause", "skip", "stop"):
            {"pause": session.pause, "skip": session.skip, "stop": session.stop}[command]()
        elif command != "retake" and command.strip():
            log.warning("%r is no command: %s", command, ", ".join(f"{key} {name}" for key, name in KEYS.items()))

    def _show(self, header: Keypoints) -> Iterator[Message]:
        """Tell everybody what has changed, and the terminal what matters."""
        session = self._session
        state = derive_header(
            header,
            Recording,
            state=session.state,
            label=session.label,
            number=session.progress[session.label] + 1,
            target=session.plan.sequences,
            countdown_s=round(session.countdown_s, 1),
            frames=session.frames,
            detail=session.detail,
            progress=dict(session.progress),
        )
        before, self._shown = self._shown, state
        if before is None or (before.state, before.progress) != (state.state, state.progress):
            log.info("%s", self._line())
        yield Message(state)

    def _line(self) -> str:
        session = self._session
        if session.state == "finished":
            return f"{session.detail}; {self._progress()}"
        doing = f"{session.label} {session.progress[session.label] + 1}/{session.plan.sequences}: {session.state}"
        return f"{doing} ({session.detail})" if session.detail and session.state != "capturing" else doing

    def _progress(self) -> str:
        return ", ".join(f"{label} {n}/{self._session.plan.sequences}" for label, n in self._session.progress.items())

    # --- writing ----------------------------------------------------------------------------------

    def _film(self, frame: Message | None) -> None:
        """Keep the picture if it belongs to a take."""
        if self._video is None:
            return
        if self._session.frames <= 1:
            self._video.discard()  # of a take that was not completed
        if self._session.frames:
            self._video.add(frame)

    def _save(self, take: CapturedSequence) -> None:
        assert self._writer is not None
        fps = float(1e9 / np.median(np.diff(take.captured_ns)))
        sequence = KeypointSequence(
            take.label, take.keypoints, take.captured_ns, self._options.subject, self._stream, fps
        )
        name, issues = self._writer.next_name(take.label, self._options.subject), [*take.issues]
        if self._video:
            self._video.keep(self._writer.folder / take.label / f"{name}.mp4")
            if missing := len(take.seqs) - self._video.frames:
                issues.append(f"{missing} of {len(take.seqs)} pictures missing from the video")
        path = self._writer.add(name, sequence, issues=issues)
        self._last_file = path.relative_to(self._writer.folder).as_posix()
        self._session.saved(take._replace(issues=tuple(issues)))

    def close(self) -> None:
        if self._keys:
            self._keys.close()
        if self._video:
            self._video.discard()
        if self._writer:
            log.info("%s: %s", self._options.out, self._progress())
            self._writer.close()


def options() -> argparse.ArgumentParser:
    """The command line; each option stands for a setting."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("recorder.labels", metavar="LABEL", nargs="*", help="what is performed: wave 'push up/right'")
    parser.add_argument("--out", dest="recorder.out", type=json.dumps, metavar="DATASET", help="the data set to add to")
    parser.add_argument("--sequences", dest="recorder.sequences", metavar="N", help="of each label, old ones included")
    parser.add_argument("--subject", dest="recorder.subject", type=json.dumps, metavar="NAME", help="who performs")
    parser.add_argument("--frames", dest="recorder.frames", metavar="N", help="of a sequence")
    parser.add_argument(
        "--until-hands-down",
        dest="recorder.frames",
        action="store_const",
        const="null",
        help="from hands up to hands down",
    )
    parser.add_argument("--countdown", dest="recorder.countdown_s", metavar="SECONDS", help="before each sequence")
    parser.add_argument(
        "--video", dest="recorder.video", action="store_const", const="true", help="keep the pictures too"
    )
    return parser


if __name__ == "__main__":
    main(Recorder, "recorder", options())
