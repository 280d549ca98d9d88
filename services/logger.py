"""Write predictions.jsonl, actions.jsonl and run.json; log actions and lost services to the terminal."""

import platform
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from common.bus import __version__
from common.bus.messages import Action, Header, Message, Prediction, Status
from common.config import Settings
from common.errors import UserError
from common.files import JsonLinesWriter, atomic_write
from common.runtime import watchdog
from common.runtime.presence import ServiceRegistry
from common.runtime.service import Service, log, main
from common.runtime.stream_record import NOBODY, TOO_EARLY, StreamRecord

RETRY_S = 1.0
PACKAGES = ("mediapipe", "tensorflow-cpu", "tensorflow", "numpy", "opencv-contrib-python", "pyzmq")


class Logger(Service):
    """Writes a line for each prediction and action as it arrives."""

    topics = ("prediction", "action", "status")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._folder = Path(settings.logger.out) if settings.logger.out else None
        self._files: dict[str, JsonLinesWriter] = {}
        self._registry = ServiceRegistry()
        self._last_status: dict[str, Status] = {}
        self._lost_services: list[str] = []
        # A recording of a live stream has gaps of its own.
        gapless = settings.replay.file is None
        self._streams: defaultdict[str, StreamRecord] = defaultdict(lambda: StreamRecord(gapless))
        self._open: dict[str, Action] = {}
        self._newest_s: dict[str, float] = {}  # of each stream, on its own clock
        self._started_at = _now()
        self._retry_at = 0.0

    def setup(self) -> None:
        """Open the files, and resume what a logger that crashed has written."""
        if self._folder is None:
            return
        if (self._folder / "run.json").exists() and not watchdog.is_restart():
            raise UserError(f"{self._folder} already holds a run (logger.out): name another folder, or remove it.")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            files = {name: JsonLinesWriter(self._folder / f"{name}.jsonl") for name in ("predictions", "actions")}
            if watchdog.is_restart():
                self._resume(self._folder, files)
            self._write_run(self._folder, "running")
            self._files = files  # before that, `close` leaves what is in the folder as it is
        except OSError as error:
            raise UserError(f"The folder {self._folder} (logger.out) cannot be written: {error.strerror}.") from error

    def end_topics(self) -> set[str]:
        """Return both topics of results."""
        return {"prediction", "action"}  # each has a queue of its own

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        """Write lines, and log lost services."""
        now = time.monotonic()
        for header, _ in inbox:
            if isinstance(header, Status):
                self._registry.on_status(header, now)
                self._last_status[header.stream] = header
                continue
            record = self._record_of(header)
            if record.is_outdated(header):
                continue
            if header.end_of_stream:
                if record.end(header):
                    self._summarise(header.stream, record)
            elif isinstance(header, Prediction):
                self._prediction(header)
            elif isinstance(header, Action):
                self._action(header)
        for status in self._registry.pop_timed_out(now):
            self._lost_services.append(f"{_now()} {status.service} (process {status.pid})'s heartbeat timed out")
            log.warning(
                "%s (process %d): heartbeat timed out (killed, or its machine is gone)", status.service, status.pid
            )
        self._flush(now)
        return ()

    def _record_of(self, header: Header) -> StreamRecord:
        """Return the record of a stream; a file that starts over begins with an empty one, a live stream continues."""
        record = self._streams[header.stream]
        if not record.is_new_start(header):
            return record
        if not header.live and record.counts:
            log.info("%s starts over: what was written of it is removed", header.stream)
            self._open.pop(header.stream, None)
            try:
                for file in self._files.values():
                    file.remove(header.stream)
            except OSError as error:
                log.error("%s: what was written before stays, beside the new (%s)", header.stream, error.strerror)
            record.reset()
        record.begin(header)
        return record

    def _resume(self, folder: Path, files: dict[str, JsonLinesWriter]) -> None:
        """Resume from the files of the logger that crashed."""
        self._lost_services.append(f"{_now()} the logger started again after a crash")
        with suppress(OSError, msgspec.MsgspecError):
            self._started_at = msgspec.json.decode((folder / "run.json").read_bytes())["started_at"]
        for line in files["predictions"].records():
            self._streams[line["stream"]].read(line["seq"], line["label"], line.get("note", "").partition(":")[0])
        for line in files["actions"].records():
            self._streams[line["stream"]].counts[f"actions {line['event']}"] += 1

    def _prediction(self, header: Prediction) -> None:
        note = None
        if header.filled < header.length:
            note = f"{TOO_EARLY}: {header.filled} of {header.length} frames"
        elif header.label is None:
            note = NOBODY
        if not self._streams[header.stream].add(header, (note or "").partition(":")[0]):
            return
        self._newest_s[header.stream] = header.captured_ns / 1e9
        self._add(
            "predictions",
            stream=header.stream,
            seq=header.seq,
            captured_ns=header.captured_ns,
            label=header.label,
            verdict=header.verdict,
            confidence=header.confidence,
            probabilities=header.probabilities,
            **({"note": note} if note else {}),
        )

    def _action(self, header: Action) -> None:
        if header.event == "started":
            self._open[header.stream] = header
        else:
            self._open.pop(header.stream, None)
        self._streams[header.stream].counts[f"actions {header.event}"] += 1
        when = header.start_s if header.end_s is None else header.end_s
        log.info(
            "%s: %s %s at %.2f s (%.2f)", header.stream, header.display_text, header.event, when, header.confidence
        )
        self._add(
            "actions",
            stream=header.stream,
            event=header.event,
            id=header.id,
            label=header.label,
            verdict=header.verdict,
            start_s=header.start_s,
            end_s=header.end_s,
            confidence=header.confidence,
        )

    def _summarise(self, stream: str, record: StreamRecord) -> None:
        counts = record.counts
        log.info("%s ended: %s", stream, ", ".join(f"{what} {n}" for what, n in counts.items()) or "no frame came")
        if record.live and record.before:
            log.info("%s: %d frames came before the first prediction", stream, record.before)
        if record.skipped:
            log.info("%s: %d frames were not looked at, for the sake of the newest", stream, record.skipped)
        if record.missing:
            ranges = ", ".join(f"{first}-{last}" for first, last in record.missing)
            log.error("%s: %d frames have no prediction: %s", stream, record.lost, ranges)
        if counts and not counts["with a person"] + counts["predicted"]:
            log.warning("%s: no person was detected in any of its frames", stream)

    def _add(self, name: str, **record: Any) -> None:
        if name in self._files:
            self._files[name].add(record)

    def _flush(self, now: float, last: bool = False) -> None:
        if now < self._retry_at and not last:
            return
        for file in self._files.values():
            try:
                file.flush()
            except OSError as error:
                self._retry_at = now + RETRY_S
                detail = f"{file.path} cannot be written ({error.strerror}); its lines wait in memory: make room"
                if self.health.detail != detail:
                    log.error("%s", detail)
                self.health.state, self.health.detail = "waiting", detail
                return
        if self.health.state == "waiting":
            log.warning("the log is written again, nothing was lost")
            self.health.state, self.health.detail = "running", ""

    def _write_run(self, folder: Path, state: str) -> None:
        record = {
            "state": state,
            "started_at": self._started_at,
            "written_at": _now(),
            "settings": self.settings,
            "version": __version__,
            "versions": _versions(),
            "streams": {stream: record.summary() for stream, record in self._streams.items()},
            "services": list(self._last_status.values()),
            "lost_services": self._lost_services,
        }
        atomic_write(folder / "run.json", msgspec.json.format(msgspec.json.encode(record), indent=2))

    def close(self) -> None:
        """End open actions, write what is pending and run.json."""
        for stream, action in list(self._open.items()):  # the run was stopped in the middle of it
            end_s = max(action.start_s, self._newest_s.get(stream, 0.0))
            self._action(msgspec.structs.replace(action, event="ended", end_s=end_s))
        if self._folder is None or not self._files:
            return
        self._flush(time.monotonic(), last=True)
        waiting = sum(file.pending for file in self._files.values())
        try:
            self._write_run(self._folder, self._state(waiting))
        except OSError as error:
            log.error("run.json cannot be written to %s: %s", self._folder, error.strerror)
        if waiting:
            log.error("%d lines could not be written to %s and are lost", waiting, self._folder)
        for file in self._files.values():
            file.close()

    def _state(self, waiting: int) -> str:
        """Return whether all streams have ended, and all their lines are written."""
        records = self._streams.values()
        if not records or any(record.frames is None for record in records):
            return "stopped"
        lost = any(record.missing for record in records) or any(
            status.missed for status in self._last_status.values() if status.service == "replay"
        )
        return "incomplete" if waiting or lost else "complete"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


if __name__ == "__main__":
    main(Logger, "logger")
