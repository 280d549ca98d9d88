"""A recording session: keypoints and commands in; complete takes, and what the person should do now, out.

For each label in turn: countdown, capture, saved, until there are as many sequences as were planned. Time is
the frames' own, so a session stands still while no frames come. Nothing is written here.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import Recorder
from common.errors import UserError
from common.keypoints.landmarks import (
    LEFT_HIP,
    LEFT_SHOULDER,
    LEFT_WRIST,
    MIN_VISIBILITY,
    PARTS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
    split,
)
from common.keypoints.window import CONFIRMING, MIN_PRESENT, legs_seen, seen_parts
from common.labels import checked_label, checked_name

MAX_RETAKES: Final = 2  # a bad take is done again so often, then kept and marked
BAD_FRACTION: Final = 0.1  # of a take's frames missed, uneven or without a person, from which on it is bad
MAX_TAKE_S: Final = 10.0  # of a take that lasts until the hands are down
MIN_FRAMES: Final = 8
HANDS_DOWN_S: Final = 0.3  # a hand that dips for less is still up
HAND_HEIGHT: Final = 0.8  # of the way from shoulders to hips: a wrist above it is up

State = Literal["countdown", "ready", "capturing", "paused", "finished"]


class CapturePlan(NamedTuple):
    """What is to be recorded."""

    labels: tuple[str, ...]
    sequences: int  # of each label
    frames: int | None  # of a sequence; None: from hands up to hands down
    countdown_s: float


def check_plan(settings: Recorder) -> tuple[str, ...]:
    """The labels, each once; raises UserError for names that cannot be written."""
    if not settings.labels:
        raise UserError("No label to record: name what is performed, such as wave clap.")
    checked_name(settings.subject)
    return tuple(dict.fromkeys(checked_label(label) for label in settings.labels))


class Take(NamedTuple):
    """One performance, not yet written."""

    label: str
    seqs: tuple[int, ...]  # the frames' numbers
    captured_ns: NDArray[np.int64]  # (T,)
    keypoints: NDArray[np.float32]  # (T, 1662)
    issues: tuple[str, ...]


class CaptureSession:
    """Says at every frame what is to be done; the one who writes takes answers with `saved` or `pause`."""

    def __init__(self, plan: CapturePlan, existing: Mapping[str, int]) -> None:
        """`there`: how many sequences of each label exist already."""
        self.plan = plan
        self.progress = Counter({label: existing.get(label, 0) for label in plan.labels})
        self.detail = ""
        self.countdown_s = plan.countdown_s
        self._skipped: set[str] = set()
        self._bad = 0  # takes in a row
        self._last: str | None = None  # the label that was saved last and can be taken back
        self.state: State = "countdown"
        self._begin()

    @property
    def label(self) -> str:
        """What is performed now; empty when all is done."""
        open_labels = (
            label
            for label in self.plan.labels
            if self.progress[label] < self.plan.sequences and label not in self._skipped
        )
        return next(open_labels, "")

    @property
    def frames(self) -> int:
        """Captured so far of this take."""
        return len(self._seqs)

    def _begin(self) -> None:
        """Count down to the next take."""
        self._seqs: list[int] = []
        self._times: list[int] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._since_ns: int | None = None
        self._last_up_ns = 0
        self.countdown_s = self.plan.countdown_s
        self.state = "countdown" if self.label else "finished"

    # --- frames -----------------------------------------------------------------------------------

    def frame(self, seq: int, captured_ns: int, vector: NDArray[np.float32]) -> Take | None:
        """One more frame (1662,); the take that it completes, if it does."""
        if self._times and (captured_ns <= self._times[-1] or seq <= self._seqs[-1]):
            self.detail = "the stream began again; once more"
            self._begin()
        if self.state == "countdown":
            self._count_down(captured_ns)
        if self.state == "ready" and hands_up(vector):
            self.state = "capturing"
        if self.state != "capturing":
            return None
        self._seqs.append(seq)
        self._times.append(captured_ns)
        self._vectors.append(vector)
        if hands_up(vector):
            self._last_up_ns = captured_ns
        return self._complete() if self._is_over() else None

    def _count_down(self, captured_ns: int) -> None:
        if self._since_ns is None or captured_ns < self._since_ns:
            self._since_ns = captured_ns
        self.countdown_s = max(0.0, self.plan.countdown_s - (captured_ns - self._since_ns) / 1e9)
        if not self.countdown_s:
            self.state = "capturing" if self.plan.frames else "ready"

    def _is_over(self) -> bool:
        if self.plan.frames:
            return len(self._seqs) == self.plan.frames
        now_ns = self._times[-1]
        return now_ns - self._last_up_ns >= HANDS_DOWN_S * 1e9 or now_ns - self._times[0] >= MAX_TAKE_S * 1e9

    def _complete(self) -> Take | None:
        times, vectors = np.array(self._times, np.int64), np.stack(self._vectors)
        found = find_issues(times, vectors, self._seqs[-1] - self._seqs[0] + 1)
        self._bad = self._bad + 1 if any(found.values()) else 0
        if 0 < self._bad <= MAX_RETAKES:
            self.detail = f"once more: {'; '.join(found)}"
            self._begin()
            return None
        self._bad = 0
        return Take(self.label, tuple(self._seqs), times, vectors, tuple(found))

    def saved(self, take: Take) -> None:
        """The take is on the disk: go on to the next."""
        self.progress[take.label] += 1
        self._last = take.label
        self.detail = f"saved, though {'; '.join(take.issues)}" if take.issues else "saved"
        self._begin()

    # --- commands ---------------------------------------------------------------------------------

    def pause(self, why: str = "") -> None:
        """Stop, or go on after a pause; a take that is being captured begins anew."""
        was_paused = self.state == "paused"
        self.detail = why
        self._begin()
        if not was_paused and self.label:
            self.state = "paused"

    def retake(self) -> bool:
        """Do this take again or, between takes, the last one; True if that must be deleted."""
        delete = self.state != "capturing" and self._last is not None
        if delete and self._last is not None:
            self.progress[self._last] -= 1
            self._skipped.discard(self._last)
            self._last = None
        self.detail = "once more"
        self._begin()
        return delete

    def skip(self) -> None:
        """Go on to the next label."""
        self.detail = f"{self.label} skipped"
        self._skipped.add(self.label)
        self._begin()

    def stop(self) -> None:
        """End here; another session goes on."""
        self.detail = "stopped"
        self.state = "finished"


def hands_up(vector: NDArray[np.float32]) -> bool:
    """Whether a wrist is visible and well above the hips."""
    pose = split(vector)["pose"]
    shoulder_y, hip_y = pose[[LEFT_SHOULDER, RIGHT_SHOULDER], 1].mean(), pose[[LEFT_HIP, RIGHT_HIP], 1].mean()
    wrists = pose[[LEFT_WRIST, RIGHT_WRIST]]
    high = wrists[:, 1] < shoulder_y + HAND_HEIGHT * (hip_y - shoulder_y)
    return bool((high & (wrists[:, 3] >= MIN_VISIBILITY)).any())


def find_issues(captured_ns: NDArray[np.int64], keypoints: NDArray[np.float32], sent: int = 0) -> dict[str, bool]:
    """Why one may not want to train on these frames (T,), (T, 1662), and whether to do them again.

    `sent`: how many frames the camera sent meanwhile. If it is always faster than the extractor, that is no reason
    to do it again.
    """
    total = len(captured_ns)
    if total < MIN_FRAMES:
        return {f"only {total} frames": True}
    found = {}
    intervals = np.diff(captured_ns) / np.median(np.diff(captured_ns))
    gaps = int((np.round(intervals) - 1).clip(0).sum())
    if missed := max(gaps, sent - total):
        found[f"{missed} of {total + missed} frames missed"] = gaps > BAD_FRACTION * total
    if not gaps and (abs(intervals - 1) > 0.5).mean() > BAD_FRACTION:
        found["frames came unevenly"] = True
    seen = seen_parts(keypoints)
    lost = int((~seen[:, PARTS.index("pose")]).sum())
    if lost:
        found[f"nobody in view in {lost} of {total} frames"] = lost > BAD_FRACTION * total
    if lost < total and not (seen[:, CONFIRMING].any() or legs_seen(keypoints).mean() >= MIN_PRESENT):
        found["neither face, hand nor leg in view"] = True  # see docs/decisions/0008
    return found
