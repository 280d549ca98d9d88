"""A data set in any layout that is about, recognised by looking, in; sequences out.

    <label>/<name>.npz                          native, with a manifest.jsonl
    <label>/<sequence>/<frame>.npy              a file a frame, as the well-known notebook writes them
    <label>/<file>.npy                          a file a sequence
    <file>.csv                                  a row a frame
    <file>.npz                                  X, y and actions
    <label>/<file>.pose                         of the pose-format library
    train.csv or <label>/, <file>.parquet       a row a landmark, as Google's set of isolated signs has them
    <file>.xz                                   many sequences packed

Labels may have two levels of folders. Vectors of 1662, 258 (pose and hands), 132 (pose) and 126 (hands) numbers are
placed into 1662; what they do not hold is zeros. Nothing is unpickled.
"""

from pathlib import Path
from typing import Final

import numpy as np

from common.collection import MANIFEST
from common.errors import UserError
from common.sequence import Sequence
from data import npy, npz, packed, parquet, pose, table
from data.foreign import natural

READERS: Final = {
    ".npz": npz.read,
    ".npy": npy.read,
    ".csv": table.read,
    ".pose": pose.read,
    ".parquet": parquet.read,
    ".xz": packed.read,
}


def read(path: Path, fps: float = 25.0) -> list[Sequence]:
    """All sequences of a data set in any of the layouts; raises UserError naming the file that is wrong.

    fps: the rate of recordings that do not say theirs.
    """
    try:
        path.stat()
        files = [path] if path.is_file() else sorted((file for file in path.rglob("*") if file.is_file()), key=natural)
    except OSError as error:
        raise UserError(f"There is no data set {path} that can be read: {error.strerror}.") from error
    layouts = {suffix: found for suffix in READERS if (found := [file for file in files if file.suffix == suffix])}
    if (path / MANIFEST).exists():
        layouts = {suffix: found for suffix, found in layouts.items() if suffix == ".npz"}  # and reports beside them
    elif ".parquet" in layouts:
        layouts.pop(".csv", None)  # the list of what they show
    if not layouts:
        raise UserError(f"{path} is not a data set: no {', '.join(READERS)} file is there.")
    if len(layouts) > 1:
        one, other = [found[0] for found in layouts.values()][:2]
        raise UserError(f"{path} mixes layouts, such as {one} and {other}: keep each in a folder of its own.")
    (suffix, found), *_ = layouts.items()
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is found as such
        sequences = list(READERS[suffix](path, found, fps))
    if not sequences:
        raise UserError(f"{path} is not a data set: its files hold no frames.")
    # A folder's name need not be text.
    return [one._replace(label=one.label.encode(errors="replace").decode()) for one in sequences]
