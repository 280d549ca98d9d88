"""Record labelled sequences from a running pipeline into a data set.

    python -m services.recorder wave clap --sequences 30 --subject anna

Keys: p or space pause and resume, r retake, s next label, q stop.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.bus.messages import Command, Frame, Header, Keypoints, Message, Recording, derive_header
from common.config import Settings
from common.errors import UserError
from common.frames.pairing import FramePairing, Pair, limit_memory
from common.recording.dataset_writer import DatasetWriter
from common.recording.keyboard import KeyReader
from common.recording.sequence import KeypointSequence
from common.recording.sequence_video import SequenceVideo
from common.recording.session import CapturedSequence, CapturePlan, CaptureSession, check_plan
from common.runtime.service import Service, log, main

KEYS = {"p": "pause", " ": "pause", "r": "retake", "s": "skip", "q": "stop"}


class Recorder(Service):
    """A recording session on the camera's stream; its state is published for the person to see."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options, self._stream = settings.recorder, settings.camera.stream
        self.topics = ("keypoints", "command", "frames") if self._options.video else ("keypoints", "command")
        self._video: SequenceVideo | None = None
        self._known_starts: set[int] = set()  # of the stream
        self._start, self._pairing = 0, FramePairing()
        self._last_file = ""
        self._published: Recording | None = None

    def setup(self) -> None:
        """Open the data set and the keyboard; raises UserError."""
        options, labels = self._options, check_plan(self._options)
        self._writer = self.closing(DatasetWriter(Path(options.out)))
        existing = {label: self._writer.count(label, options.subject) for label in labels}
        plan = CapturePlan(labels, options.sequences, options.frames, options.countdown_s)
        self._session = CaptureSession(plan, existing)
        self.resources.callback(lambda: log.info("%s: %s", options.out, self._progress()))
        if options.video:
            self._video = SequenceVideo(self._writer.folder)
            self.resources.callback(self._video.discard)
        self._keys = self.closing(KeyReader())
        log.info("%s by %s: %s", options.out, options.subject, self._progress())
        log.info("keys: p pause and resume, r retake, s next label, q stop")
        self.done = self._session.state == "finished"

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        """Follow keys and commands, capture frames and save sequences; yields the session's state."""
        for key in self._keys.read().lower():
            self._run_command(KEYS.get(key, key))
        for header, array in inbox:
            if isinstance(header, Command) and header.stream == "recorder":
                self._run_command(header.command)
            elif header.stream != self._stream or array is None or self._is_old(header):
                continue
            elif isinstance(header, Frame):
                self._pairing.add_frame(header, array)
            elif isinstance(header, Keypoints) and self._video:
                self._pairing.add_keypoints(header, array)
            elif isinstance(header, Keypoints):
                yield from self._capture(Pair(header, array))
        while pair := self._pairing.next():
            yield from self._capture(pair)
        limit_memory([self._pairing])
        self.done = self._session.state == "finished"

    def _is_old(self, header: Header) -> bool:
        """Whether a message is of an earlier start of the stream; a new start drops what waits of the earlier one."""
        if header.start not in self._known_starts:
            self._known_starts.add(header.start)
            self._start, self._pairing = header.start, FramePairing()
        return header.start != self._start

    def _capture(self, pair: Pair) -> Iterator[Message]:
        header = pair.keypoints
        sequence = self._session.frame(header.seq, header.captured_ns, pair.vector)
        try:
            self._add_to_video(pair)
            if sequence:
                self._save(sequence)
        except (UserError, OSError) as error:
            log.error("%s", error)
            self._session.pause(f"not saved: {error}")
        yield self._state(header)

    def _run_command(self, command: str) -> None:
        session = self._session
        if command == "retake" and session.retake():
            self._writer.remove(self._last_file)
            log.info("%s is deleted; retake", self._last_file)
        elif command in ("pause", "skip", "stop"):
            {"pause": session.pause, "skip": session.skip, "stop": session.stop}[command]()
        elif command != "retake" and command.strip():
            log.warning("%r is no command: %s", command, ", ".join(f"{key} {name}" for key, name in KEYS.items()))

    def _state(self, header: Keypoints) -> Message:
        """The session's state at a frame; logs what is new in it for the person."""
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
        before, self._published = self._published, state
        if before is None or (before.state, before.progress) != (state.state, state.progress):
            log.info("%s", self._line())
        return Message(state)

    def _line(self) -> str:
        session = self._session
        if session.state == "finished":
            return f"{session.detail}; {self._progress()}"
        doing = f"{session.label} {session.progress[session.label] + 1}/{session.plan.sequences}: {session.state}"
        return f"{doing} ({session.detail})" if session.detail and session.state != "capturing" else doing

    def _progress(self) -> str:
        return ", ".join(f"{label} {n}/{self._session.plan.sequences}" for label, n in self._session.progress.items())

    # --- writing ----------------------------------------------------------------------------------

    def _add_to_video(self, pair: Pair) -> None:
        """Write the frame to the video if it is part of a sequence."""
        if self._video is None:
            return
        if self._session.frames <= 1:
            self._video.discard()  # of a sequence that was not completed
        if self._session.frames:
            self._video.add(pair.frame, pair.image)

    def _save(self, captured: CapturedSequence) -> None:
        """Write a sequence and its video; raises UserError or OSError."""
        label, subject, issues = captured.label, self._options.subject, [*captured.issues]
        fps = float(1e9 / np.median(np.diff(captured.captured_ns)))
        sequence = KeypointSequence(label, captured.keypoints, captured.captured_ns, subject, self._stream, fps)
        name = self._writer.next_name(label, subject)
        if self._video:
            self._video.keep(self._writer.folder / label / f"{name}.mp4")
            if missing := len(captured.seqs) - self._video.frames:
                issues.append(f"{missing} of {len(captured.seqs)} frames missing from the video")
        path = self._writer.add(name, sequence, issues=issues)
        self._last_file = path.relative_to(self._writer.folder).as_posix()
        self._session.saved(captured._replace(issues=tuple(issues)))


def options() -> argparse.ArgumentParser:
    """The command line; the dest of each option is the setting that it sets."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("recorder.labels", metavar="LABEL", nargs="*", help="what to perform: wave 'push up/right'")
    parser.add_argument("--out", dest="recorder.out", type=json.dumps, metavar="DATASET", help="the data set to add to")
    parser.add_argument(
        "--sequences", dest="recorder.sequences", metavar="N", help="of each label, existing ones included"
    )
    parser.add_argument("--subject", dest="recorder.subject", type=json.dumps, metavar="NAME", help="the person")
    parser.add_argument("--frames", dest="recorder.frames", metavar="N", help="of each sequence")
    parser.add_argument(
        "--until-hands-down",
        dest="recorder.frames",
        action="store_const",
        const="null",
        help="capture from hands up to hands down instead",
    )
    parser.add_argument("--countdown", dest="recorder.countdown_s", metavar="SECONDS", help="before each sequence")
    parser.add_argument(
        "--video", dest="recorder.video", action="store_const", const="true", help="store a video of each sequence"
    )
    return parser


if __name__ == "__main__":
    main(Recorder, "recorder", options())
