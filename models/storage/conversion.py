"""A .h5, .keras or .onnx file of somebody else's training in; the same network in weights that run here out.

Whatever in such a file could run code is refused, by models/storage/keras_config.py; in ONNX nothing can.
"""

import json
import math
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.lfs import refuse_pointer
from common.quiet import quiet
from common.recognition.backends import reason
from models.storage import keras_config

Shape = tuple[int | None, ...]  # the first: windows; None: any
Window = tuple[int | None, int | None, int | None]  # windows, frames in one, numbers in a frame

TOLERANCE: Final = 1e-3  # of probabilities that add up to 1
PROBES: Final = 8  # windows that show whether a network gives probabilities
FRAMES: Final = 30  # in a probe, where windows have any length


class Facts(NamedTuple):
    """What a network says of itself."""

    length: int | None  # frames in a window; None: any
    size: int  # numbers in a frame
    labels: int
    parameters: int
    architecture: str


def rewrite(file: Path, folder: Path, size: int | None = None) -> Facts:
    """Put the network of `file` into `folder` as model.keras or model.onnx; raises UserError naming `file`.

    size: numbers in a frame, for a network that leaves them open.
    """
    refuse_pointer(file)
    if file.suffix not in (".h5", ".hdf5", ".keras", ".onnx"):
        raise UserError(f"{file} is no .h5, .keras or .onnx file: save the whole model in one of these formats.")
    try:
        with file.open("rb"), quiet(), warnings.catch_warnings():  # whatever is wrong is raised
            warnings.simplefilter("ignore")
            return (_rewrite_onnx if file.suffix == ".onnx" else _rewrite_keras)(file, folder, size)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{file} needs the package {error.name}: install it.") from error
    except Exception as error:  # of h5py, Keras, onnx and onnxruntime, each with exceptions of its own
        raise UserError(f"{file} cannot be read as a network: {reason(error)}") from error


def _damaged(file: Path, what: str) -> UserError:
    return UserError(f"{file} cannot be read as a network: it is damaged, or not {what}; save the model anew.")


def _rewrite_keras(file: Path, folder: Path, size: int | None) -> Facts:
    from tensorflow import keras

    described, weights = (_opened_archive if zipfile.is_zipfile(file) else _opened_h5)(file, folder)
    model, is_open = keras_config.built(file, described, size or SIZE), keras_config.leaves_size_open(described)
    shape = _window_of(file, {one.name: tuple(one.shape) for one in model.inputs}, is_open)
    _check_row(file, shape, {one.name: tuple(one.shape) for one in model.outputs})
    _check_size(file, shape, size)
    model.load_weights(weights)
    weights.unlink()
    probes = _probes((shape[0], shape[1], model.inputs[0].shape[2]))
    if _needs_softmax(file, np.asarray(model(probes))):
        model = keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))
    model.save(folder / "model.keras")
    layers = [(type(layer).__name__, getattr(layer, "units", getattr(layer, "filters", ""))) for layer in model.layers]
    architecture = ", ".join(f"{name} {units}".strip() for name, units in layers)
    return Facts(shape[1], probes.shape[2], model.output_shape[-1], model.count_params(), architecture)


def _opened_h5(file: Path, folder: Path) -> tuple[Any, Path]:
    """How it describes its network, and a copy by the name that Keras expects; Keras 2 writes HDF5 by any name."""
    import h5py

    try:
        with h5py.File(file) as stored:
            described = stored.attrs.get("model_config")
    except OSError as error:
        raise _damaged(file, "the HDF5 or the zip archive that Keras writes") from error
    if described is None:
        raise UserError(f"{file} holds weights without their network: save the whole model, by model.save.")
    return json.loads(described), Path(shutil.copyfile(file, folder / "draft.h5"))


def _opened_archive(file: Path, folder: Path) -> tuple[Any, Path]:
    """How it describes its network, and its weights."""
    weights = folder / "draft.weights.h5"
    try:
        with zipfile.ZipFile(file) as stored:
            weights.write_bytes(stored.read("model.weights.h5"))
            return json.loads(stored.read("config.json")), weights
    except (KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(file, "the archive that Keras writes, with config.json and model.weights.h5") from error


def _rewrite_onnx(file: Path, folder: Path, size: int | None) -> Facts:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(file)  # with what it keeps in files beside it, none of them outside its folder
    except DecodeError as error:
        raise _damaged(file, "ONNX") from error
    if not model.graph.node:  # of an empty file too
        raise _damaged(file, "ONNX")
    graph, stored = model.graph, {one.name for one in model.graph.initializer}
    inputs = [one for one in graph.input if one.name not in stored]
    outputs = [one for one in graph.output if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    if any(one.type.tensor_type.elem_type != onnx.TensorProto.FLOAT for one in inputs) or not (inputs and outputs):
        raise UserError(f"{file} takes or gives something else than float32: export it anew.")
    shape = _window_of(file, {one.name: _dimensions(one) for one in inputs})
    rows_of = [one for one in outputs if len(_dimensions(one)) == 2] or outputs  # others may be the state of an LSTM
    _check_row(file, shape, {one.name: _dimensions(one) for one in rows_of})
    _check_size(file, shape, size)
    (output,), probes = rows_of, _probes((shape[0], shape[1], shape[2] or size))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = session.run([output.name], {inputs[0].name: probes})[0]
    del graph.output[:]
    graph.output.append(output)
    if _needs_softmax(file, rows):
        graph.node.append(onnx.helper.make_node("Softmax", [output.name], ["probabilities"], axis=-1))
        graph.output[0].name = "probabilities"
    onnx.save(model, folder / "model.onnx")
    parameters = sum(math.prod(one.dims) for one in graph.initializer)
    kinds = dict.fromkeys(node.op_type for node in graph.node)
    return Facts(shape[1], probes.shape[2], rows.shape[-1], parameters, ", ".join(kinds))


def _dimensions(tensor: Any) -> Shape:
    return tuple(dim.dim_value or None for dim in tensor.type.tensor_type.shape.dim)


def _window_of(file: Path, inputs: Mapping[str, Shape], size_is_open: bool = False) -> Window:
    """The shape of the windows that a network takes; raises UserError where it takes anything else."""
    if len(inputs) != 1:
        raise UserError(f"{file} takes {_listed(inputs)}: join them into one input, windows of frames, and save it.")
    (shape,) = inputs.values()
    if len(shape) != 3:
        what = "single rows of numbers" if len(shape) == 2 else "arrays"
        raise UserError(f"{file} takes {what} {shape}, not windows of (any number, frames, numbers in a frame).")
    batch, length, size = shape
    return batch, length, None if size_is_open else size


def _check_row(file: Path, window: Window, outputs: Mapping[str, Shape]) -> None:
    """Raises UserError where a network gives anything else than one row a window."""
    if len(outputs) != 1:
        raise UserError(f"{file} gives {_listed(outputs)}: save it with the one that tells the labels.")
    (shape,) = outputs.values()
    if len(shape) == 3:
        size = f"{window[2]} numbers" if window[2] else "any size"
        length = f"{window[1]} frames" if window[1] else "any length"
        raise UserError(
            f"{file} labels every frame (as with return_sequences=True in the last recurrent layer), and takes frames "
            f"of {size}, in windows of {length}: what runs here gives one row of probabilities for a whole window."
        )
    if len(shape) != 2 and shape:  # of an ONNX file it need not be known
        raise UserError(f"{file} gives {shape[1:]} numbers a window, not a probability for each label.")


def _check_size(file: Path, window: Window, size: int | None) -> None:
    if not (window[2] or size):
        raise UserError(f"{file} takes frames of any number of numbers: say by --layout which they are.")
    if size and window[2] not in (None, size):
        raise UserError(f"{file} takes frames of {window[2]} numbers, but --layout names parts of {size}.")


def _listed(tensors: Mapping[str, Shape]) -> str:
    kinds = ", ".join(f"{name} {shape[1:]}" for name, shape in tensors.items())
    return f"{len(tensors)} arrays ({kinds})"


def _probes(shape: Window) -> NDArray[np.float32]:
    """Persons who stand still: a window of noise can make a network with relu overflow."""
    batch, length, size = shape
    assert size
    still = np.random.default_rng(0).uniform(size=(batch or PROBES, 1, size)).astype(np.float32)
    return still.repeat(length or FRAMES, axis=1)


def _needs_softmax(file: Path, rows: NDArray[np.float32]) -> bool:
    """Whether these rows (n, labels) are no probabilities yet; raises UserError if they never can be."""
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise UserError(f"{file} gives {rows.shape[1:]} numbers a window, not a probability for each label.")
    if not np.isfinite(rows).all():
        raise UserError(f"{file} gives numbers that are not finite: its training has failed.")
    within = (rows >= 0).all() and (rows <= 1 + TOLERANCE).all()
    if within and (np.abs(rows.sum(axis=1) - 1) < TOLERANCE).all():
        return False
    if within:
        raise UserError(
            f"{file} gives each label a yes or no of its own (sigmoid), not probabilities that add up to 1."
        )
    return True
