"""Help formats with labels from folders, vectors of other lengths, and metadata that files cannot hold."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import SIZE, SLICES, VECTOR_SIZES, split
from common.labels import checked_label
from common.recording.sequence import OUTDATED, OUTDATED_KEY, UNKNOWN_SUBJECT, KeypointSequence, check_sequence

# Names of folders that distinguish actions, verdicts, and parts of a data set.
VERDICTS: Final = frozenset(("right", "wrong", "good", "bad", "correct", "incorrect"))
SPLITS: Final = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))
CONTAINER: Final = re.compile("data|video|clip|keypoint|landmark")
MAX_LABELS: Final = 5  # labels in a sentence
SIDECAR: Final = "sequences.jsonl"
# The known vectors, for messages.
KNOWN_SIZES: Final = ", ".join(f"{size} ({' + '.join(parts)})" for size, parts in VECTOR_SIZES.items()).replace(
    "_", " "
)


class MisplacedFile(UserError):
    """A file or folder that lies in no label's folder; its text lacks the end of the sentence."""


class SequenceMetadata(msgspec.Struct, kw_only=True):
    """The fields of a KeypointSequence that most formats cannot hold."""

    subject: str
    stream: str
    fps: Annotated[float, msgspec.Meta(gt=0)]
    captured_ns: list[int]


Metadata = TypeVar("Metadata", bound=SequenceMetadata)


class SidecarLine(SequenceMetadata, kw_only=True):
    """A line of the sidecar that data.convert writes into the data set."""

    file: str  # or folder, relative to the data set


def default_metadata(frames: Iterable[int], fps: float) -> SequenceMetadata:
    """The metadata of a recording that states only the numbers of its frames; a missing number is missing in time."""
    numbers = list(frames)
    captured_ns = [round((number - numbers[0]) / fps * 1e9) for number in numbers]
    return SequenceMetadata(subject=UNKNOWN_SUBJECT, stream="", fps=fps, captured_ns=captured_ns)


def decode_metadata(path: Path, text: bytes, kind: type[Metadata]) -> Metadata:
    """Decode JSON; raises MsgspecError where it is damaged, UserError naming `path` where it is outdated."""
    if f'"{OUTDATED_KEY}":'.encode() in text:
        raise UserError(f"{path} {OUTDATED}")
    return msgspec.json.decode(text, type=kind)


def metadata_of(sequence: KeypointSequence) -> SequenceMetadata:
    """The metadata to store beside the keypoints."""
    return SequenceMetadata(
        subject=sequence.subject,
        stream=sequence.stream,
        fps=sequence.fps,
        captured_ns=sequence.captured_ns.tolist(),
    )


def build_sequence(
    path: Path, label: str, keypoints: NDArray[np.float32], metadata: SequenceMetadata
) -> KeypointSequence:
    """Build a sequence from keypoints (T, 1662), in which NaN stands for what was not detected.

    Raises UserError naming `path` where keypoints and metadata do not fit together.
    """
    if not label:
        raise UserError(f"{path} states no label: every sequence needs one.")
    if len(metadata.captured_ns) != len(keypoints):
        raise UserError(f"{path} has {len(keypoints)} frames, {SIDECAR} says {len(metadata.captured_ns)}: correct it.")
    try:
        times = np.array(metadata.captured_ns, np.int64)
    except OverflowError:
        raise UserError(f"{path} has a capture time or a frame's number beyond 64 bits.") from None
    return check_sequence(
        path, KeypointSequence(label, _zeros_for_nan(keypoints), times, metadata.subject, metadata.stream, metadata.fps)
    )


def _zeros_for_nan(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace by zeros each point of which x or y is NaN, and any other NaN."""
    if not np.isnan(keypoints).any():
        return keypoints
    keypoints = keypoints.copy()
    for points in split(keypoints).values():
        points[np.isnan(points[..., :2]).any(axis=-1)] = 0
    keypoints[np.isnan(keypoints)] = 0
    return keypoints


def read_metadata(root: Path) -> dict[str, SequenceMetadata]:
    """Read the sidecar, by file or folder; raises UserError naming the line that is damaged."""
    path, metadata = root / SIDECAR, dict[str, SequenceMetadata]()
    try:
        lines = path.read_bytes().splitlines() if path.is_file() else []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    for number, text in enumerate(lines, start=1):
        try:
            line = decode_metadata(path, text, SidecarLine)
        except msgspec.MsgspecError as error:
            raise UserError(f"{path}, line {number} is damaged ({error}): remove it.") from error
        metadata[line.file] = line
    return metadata


def write_metadata(root: Path, metadata: Mapping[str, SequenceMetadata]) -> None:
    """Write the sidecar, by file or folder; raises OSError."""
    lines = [SidecarLine(file=file, **msgspec.structs.asdict(known)) for file, known in metadata.items()]
    (root / SIDECAR).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def numbered(sequences: Iterable[KeypointSequence]) -> Iterator[tuple[str, KeypointSequence]]:
    """Name each sequence <label>/<number>; raises UserError for a label that cannot be a folder."""
    counts: Counter[str] = Counter()
    for sequence in sequences:
        label = checked_label(sequence.label)
        yield f"{label}/{counts[label]}", sequence
        counts[label] += 1


def label_of(root: Path, item: Path) -> str:
    """The label of a file or folder with one sequence: the folders it lies in, or a single file's own name."""
    if item == root and item.is_file():
        return item.stem
    steps = item.relative_to(root).parts[:-1] if item.is_relative_to(root) else ()
    if not 1 <= len(steps) <= 2:
        raise MisplacedFile(f"{item} is not in the folder of a label (or two levels) below {root}: move it into one")
    return "/".join(steps)


def check_labels(root: Path, labels: Set[str], otherwise: str) -> None:
    """Raise UserError where the first level of labels is no action, but a split such as train, or a data folder.

    otherwise: what to do where the labels are meant as they are, as the end of a sentence.
    """
    verdicts = defaultdict[str, set[str]](set)
    for label in labels:
        first, _, second = label.partition("/")
        verdicts[first].add(second)
    holders = [root / first for first in _containers(verdicts) if (root / first).is_dir()]
    if not holders:
        return
    inside = sorted(second for second in verdicts[holders[0].name] if second)
    shown = ", ".join(inside[:MAX_LABELS]) + (" ..." if len(inside) > MAX_LABELS else "")
    raise UserError(
        f"Labels of {root} would be verdicts ({shown}) of one action, {holders[0].name}: name "
        f"{' or '.join(map(str, holders))} if that is meant, or {otherwise}."
    )


def _containers(verdicts: Mapping[str, Set[str]]) -> list[str]:
    """The first levels that seem to hold a data set and to be no action; `verdicts`: the second levels of each."""
    unusual = {first: {one for one in seconds if one and not _is_verdict(one)} for first, seconds in verdicts.items()}
    doubtful = sorted(first for first in unusual if unusual[first])
    if len(verdicts) == 1 and "" not in verdicts[min(verdicts)]:
        return doubtful
    if {first.casefold() for first in verdicts} <= SPLITS:
        return sorted(first for first, seconds in verdicts.items() if any(seconds))
    several = [first for first in doubtful if len(unusual[first]) > 1]
    if len(verdicts) == len(several) > 1 and len(set(map(frozenset, verdicts.values()))) == 1:
        return several
    return [first for first in several if CONTAINER.search(first.casefold())]


def _is_verdict(name: str) -> bool:
    return not VERDICTS.isdisjoint(re.split(r"[\W_]+", name.casefold()))


def to_holistic(path: Path, rows: NDArray[np.number]) -> NDArray[np.float32]:
    """Keypoints (frames, 1662) from (frames, 1662, 258, 132 or 126), with zeros for missing parts; raises UserError."""
    if rows.ndim != 2 or rows.shape[1] not in VECTOR_SIZES or rows.dtype.kind not in "fiu":
        known = ", ".join(map(str, VECTOR_SIZES))
        raise UserError(f"{path} holds {rows.dtype} {rows.shape}: not frames of {known} numbers.")
    vectors, first = np.zeros((len(rows), SIZE), np.float32), 0
    for part in VECTOR_SIZES[rows.shape[1]]:
        width = SLICES[part].stop - SLICES[part].start
        vectors[:, SLICES[part]] = rows[:, first : first + width]
        first += width
    return vectors
