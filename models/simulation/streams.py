"""Join recorded sequences to one continuous stream, with idleness between them.

Sequences of a subject whose frames overlap are cuts of one recording, such as the test card's: they are stitched, and
a label lasts from the middle of one overlap to the middle of the next. If a subject has only one such recording, it is
used as it is. All others are joined by idleness: a sequence of an idle label where the subject has one, else one of
the subject's frames with the hands down, held with jitter.

The first or last frame of a sequence would not do: in 96 % of public recordings it shows the sign itself, with the
hands up. Nor would a slow interpolation from one to the next, which nobody performs.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import LEFT_SHOULDER, LEFT_WRIST, PARTS, RIGHT_SHOULDER, RIGHT_WRIST, split
from common.keypoints.window import parts_detected, resample
from common.recording.sequence import KeypointSequence
from models.simulation.spans import Span

IDLE_S: Final = (1.5, 2.5)  # shortest, longest
TRANSITION_S: Final = 0.4  # from an action to idleness, and back
IDLE_RATIO: Final = 0.1  # of a subject's frames without hands in view are held in turn, so that idleness differs
JITTER: Final = 0.003  # of a frame: standard deviation of the test card's landmarks at rest
MIN_SHOULDER_WIDTH: Final = 0.05  # of a frame: shoulders seen from the side must not make a small distance a large one
GAP_S: Final = 1.0  # without frames between two subjects, so that windows start over
PERIODS_NS: Final = (1e6, 1e9)  # between frames; outside of it, times are not a camera's
MAX_NS: Final = 2**60  # 36 years; times of 64 bits end soon after


class StreamChunk(NamedTuple):
    """A part of a stream."""

    captured_ns: NDArray[np.int64]  # (T,), increasing
    keypoints: NDArray[np.float32]  # (T, 1662)
    spans: list[Span]  # the actions in it


def stream(sequences: Iterable[KeypointSequence], idle: Collection[str], seed: int = 0) -> Iterator[StreamChunk]:
    """Yield a stream from time 0: one subject after the other, each one's recordings in random order.

    Idle labels are no actions. It comes in chunks, since a long stream would fill the memory. Raises UserError where it
    would last for decades.
    """
    groups: dict[str, list[KeypointSequence]] = {}
    for sequence in sequences:
        groups.setdefault(sequence.subject, []).append(sequence)
    rng, now_ns = np.random.default_rng(seed), 0
    for subject, group in groups.items():
        period_ns = _period_ns(group)
        for chunk in _subject_stream(group, idle, period_ns, rng):
            spans = [Span(label, start + now_ns / 1e9, end + now_ns / 1e9) for label, start, end in chunk.spans]
            yield StreamChunk(chunk.captured_ns + now_ns, chunk.keypoints, spans)
            now_ns += int(chunk.captured_ns[-1]) + period_ns
            if now_ns > MAX_NS:
                raise UserError(
                    f"The sequences of {subject!r} last for decades: their capture times must be wrong, so convert or "
                    "record them again."
                )
        now_ns += round(GAP_S * 1e9)


def _subject_stream(
    group: list[KeypointSequence], idle: Collection[str], period_ns: int, rng: np.random.Generator
) -> Iterator[StreamChunk]:
    """Yield the stream of one subject; each chunk begins at time 0."""
    runs = recordings(group)
    actions = [run for run in runs if any(cut.label not in idle for cut in run)]
    if len(actions) == 1 < len(actions[0]):  # one recording, with idleness of its own
        yield stitch(actions[0], idle)
        return
    recorded = [cut.keypoints for run in runs if all(cut.label in idle for cut in run) for cut in run]
    idleness = (
        _recorded_idle(recorded, period_ns, rng) if recorded else _synthetic_idle(idle_frames(group), period_ns, rng)
    )
    before = next(idleness)
    yield _evenly_timed(before, period_ns)
    for number in rng.permutation(len(actions)):
        chunk, after = stitch(actions[number], idle), next(idleness)
        yield _evenly_timed(_interpolate(before[-1], chunk.keypoints[0], period_ns), period_ns)
        yield chunk
        yield _evenly_timed(_interpolate(chunk.keypoints[-1], after[0], period_ns), period_ns)
        yield _evenly_timed(after, period_ns)
        before = after


def recordings(sequences: Iterable[KeypointSequence]) -> list[list[KeypointSequence]]:
    """Group sequences by the recording they are cuts of, in order; most often there is one cut a recording."""
    runs: list[list[KeypointSequence]] = []
    for sequence in sorted(sequences, key=lambda sequence: int(sequence.captured_ns[0])):
        run = next((run for run in runs if _overlap(run[-1], sequence)), None)
        if run is None:
            runs.append([sequence])
        else:
            run.append(sequence)
    return runs


def _overlap(one: KeypointSequence, other: KeypointSequence) -> int:
    """Return how many frames at the end of one are those at the beginning of the other."""
    if not one.captured_ns[0] < other.captured_ns[0] <= one.captured_ns[-1] <= other.captured_ns[-1]:
        return 0
    first = int(np.searchsorted(one.captured_ns, other.captured_ns[0]))
    frames = len(one.captured_ns) - first
    same_times = np.array_equal(one.captured_ns[first:], other.captured_ns[:frames])
    return frames if same_times and np.array_equal(one.keypoints[first:], other.keypoints[:frames]) else 0


def stitch(run: list[KeypointSequence], idle: Collection[str]) -> StreamChunk:
    """Stitch the cuts of a recording, beginning at time 0."""
    skipped = [0, *(_overlap(one, other) for one, other in pairwise(run))]
    times = np.concatenate([cut.captured_ns[skip:] for cut, skip in zip(run, skipped, strict=True)])
    keypoints = np.concatenate([cut.keypoints[skip:] for cut, skip in zip(run, skipped, strict=True)])
    starts, ends = [int(cut.captured_ns[0]) for cut in run], [int(cut.captured_ns[-1]) for cut in run]
    changes = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    edges_s = [(edge - starts[0]) / 1e9 for edge in (starts[0], *changes, ends[-1] + _period_ns(run))]
    spans = [Span(cut.label, *edges) for cut, edges in zip(run, pairwise(edges_s), strict=True)]
    return StreamChunk(times - times[0], keypoints, [span for span in spans if span.label not in idle])


def _recorded_idle(
    recorded: list[NDArray[np.float32]], period_ns: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield recorded idleness (n, 1662)."""
    while True:
        yield recorded[rng.integers(len(recorded))][: _frames(IDLE_S[1], period_ns)]


def _synthetic_idle(
    vectors: NDArray[np.float32], period_ns: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield synthetic idleness (n, 1662): one of the vectors (m, 1662), held with jitter."""
    while True:
        frames = _frames(rng.uniform(*IDLE_S), period_ns)
        yield jitter(np.repeat(vectors[rng.integers(len(vectors)), None], frames, axis=0), rng)


def jitter(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Add the noise of somebody at rest to vectors (..., 1662)."""
    moved = vectors.copy()
    for points in split(moved).values():  # views; absent parts stay zeros
        noise = rng.normal(0, JITTER, points[..., :3].shape).astype(np.float32)
        points[..., :3] += noise * points.any(axis=(-2, -1), keepdims=True)
    return moved


def idle_frames(group: Iterable[KeypointSequence]) -> NDArray[np.float32]:
    """Return frames (n, 1662) of somebody at rest, or with the lowest wrists; one of zeros if there is no pose."""
    frames = np.concatenate([sequence.keypoints for sequence in group])
    posed, hands = _in_view(frames)
    among = posed & ~hands if (posed & ~hands).any() else posed
    return frames[_lowest(frames, among)] if among.any() else np.zeros_like(frames[:1])


def idle_frame_indices(frames: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the indices of frames (n, 1662) that show somebody at rest: no hand in view, and the lowest wrists."""
    posed, hands = _in_view(frames)
    return _lowest(frames, posed & ~hands)


def _in_view(frames: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where there is a pose, and where there is a hand, bool (n,) each."""
    pose, _, left, right = (parts_detected(frames)[:, place] for place in range(len(PARTS)))
    return pose, left | right


def _lowest(frames: NDArray[np.float32], among: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indices of the IDLE_RATIO of `among` with the lowest wrists, relative to shoulders and their width."""
    pose = split(frames)["pose"]
    y = pose[..., 1]  # grows downwards
    hang = y[:, [LEFT_WRIST, RIGHT_WRIST]].min(axis=1) - y[:, [LEFT_SHOULDER, RIGHT_SHOULDER]].mean(axis=1)
    width = np.abs(pose[:, LEFT_SHOULDER, 0] - pose[:, RIGHT_SHOULDER, 0]).clip(min=MIN_SHOULDER_WIDTH)
    order = np.lexsort((-hang / width, ~among))
    return order[: max(1, round(IDLE_RATIO * among.sum())) if among.any() else 0]


def _interpolate(one: NDArray[np.float32], other: NDArray[np.float32], period_ns: int) -> NDArray[np.float32]:
    """Interpolate frames between two."""
    frames = _frames(TRANSITION_S, period_ns)
    return resample(np.stack([one, other]), np.array([0, frames + 1]), np.arange(1.0, frames + 1))


def _frames(seconds: float, period_ns: int) -> int:
    return max(1, round(seconds * 1e9 / period_ns))


def _evenly_timed(keypoints: NDArray[np.float32], period_ns: int) -> StreamChunk:
    return StreamChunk(np.arange(len(keypoints)) * period_ns, keypoints, [])


def _period_ns(group: Iterable[KeypointSequence]) -> int:
    """Return the median time between two frames; for single frames, that of 25 frames/s."""
    steps = np.concatenate([np.diff(sequence.captured_ns) for sequence in group])
    return round(float(np.clip(np.median(steps) if len(steps) else 4e7, *PERIODS_NS)))
