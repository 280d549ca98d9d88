"""Convert a .h5, .keras or .onnx file of another project to weights of a model folder.

Whatever in a Keras file could run code is refused by models/storage/keras_config.py; an ONNX file cannot hold any.
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

TOLERANCE: Final = 1e-3  # of probabilities adding up to 1
PROBES: Final = 8  # windows that test whether a network returns probabilities
FRAMES: Final = 30  # in a probe, where windows have any length


class NetworkInfo(NamedTuple):
    """Sizes of a network, and its layers."""

    length: int | None  # frames in a window; None: any
    size: int  # numbers in a frame
    labels: int
    parameters: int
    layers: str


def convert(file: Path, folder: Path, size: int | None = None) -> NetworkInfo:
    """Convert the network of `file` to model.keras or model.onnx in `folder`; raises UserError naming `file`.

    size: numbers in a frame, for a network that leaves them open.
    """
    refuse_pointer(file)
    if file.suffix not in (".h5", ".hdf5", ".keras", ".onnx"):
        raise UserError(f"{file} is no .h5, .keras or .onnx file: save the whole model in one of these formats.")
    try:
        with file.open("rb"), quiet(), warnings.catch_warnings():  # whatever is wrong is raised
            warnings.simplefilter("ignore")
            return (_convert_onnx if file.suffix == ".onnx" else _convert_keras)(file, folder, size)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{file} needs the package {error.name}: install it.") from error
    except Exception as error:  # of h5py, Keras, onnx and onnxruntime, each with exceptions of its own
        raise UserError(f"{file} cannot be read as a network: {reason(error)}") from error


def _damaged(file: Path, what: str) -> UserError:
    return UserError(f"{file} cannot be read as a network: it is damaged, or not {what}; save the model anew.")


def _convert_keras(file: Path, folder: Path, size: int | None) -> NetworkInfo:
    from tensorflow import keras

    config, weights = (_open_archive if zipfile.is_zipfile(file) else _open_h5)(file, folder)
    model, is_open = keras_config.build(file, config, size or SIZE), keras_config.leaves_size_open(config)
    shape = _window_shape(file, {one.name: tuple(one.shape) for one in model.inputs}, is_open)
    _check_row(file, shape, {one.name: tuple(one.shape) for one in model.outputs})
    size = _frame_size(file, shape, size)
    model.load_weights(weights)
    weights.unlink()
    probes = _probes(shape[0], shape[1], size)
    if _needs_softmax(file, np.asarray(model(probes))):
        model = keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))
    model.save(folder / "model.keras")
    units = [(type(layer).__name__, getattr(layer, "units", getattr(layer, "filters", ""))) for layer in model.layers]
    layers = ", ".join(f"{name} {count}".strip() for name, count in units)
    return NetworkInfo(shape[1], size, model.output_shape[-1], model.count_params(), layers)


def _open_h5(file: Path, folder: Path) -> tuple[Any, Path]:
    """Return the network's configuration, and a copy by the name Keras expects; Keras 2 writes HDF5 by any name."""
    import h5py

    try:
        with h5py.File(file) as stored:
            config = stored.attrs.get("model_config")
    except OSError as error:
        raise _damaged(file, "the HDF5 or the zip archive that Keras writes") from error
    if config is None:
        raise UserError(f"{file} contains weights without their network: save the whole model, by model.save.")
    return json.loads(config), Path(shutil.copyfile(file, folder / "draft.h5"))


def _open_archive(file: Path, folder: Path) -> tuple[Any, Path]:
    """Return the network's configuration, and its weights."""
    weights = folder / "draft.weights.h5"
    try:
        with zipfile.ZipFile(file) as stored:
            weights.write_bytes(stored.read("model.weights.h5"))
            return json.loads(stored.read("config.json")), weights
    except (KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(file, "the archive that Keras writes, with config.json and model.weights.h5") from error


def _convert_onnx(file: Path, folder: Path, size: int | None) -> NetworkInfo:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(file)  # with external data, which onnx refuses outside the file's folder
    except DecodeError as error:
        raise _damaged(file, "ONNX") from error
    if not model.graph.node:  # an empty file has none
        raise _damaged(file, "ONNX")
    graph, stored = model.graph, {one.name for one in model.graph.initializer}
    inputs = [one for one in graph.input if one.name not in stored]
    outputs = [one for one in graph.output if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    if any(one.type.tensor_type.elem_type != onnx.TensorProto.FLOAT for one in inputs) or not (inputs and outputs):
        raise UserError(f"{file} has inputs or outputs other than float32: export it anew.")
    shape = _window_shape(file, {one.name: _dimensions(one) for one in inputs})
    rows_of = [one for one in outputs if len(_dimensions(one)) == 2] or outputs  # others may be the state of an LSTM
    _check_row(file, shape, {one.name: _dimensions(one) for one in rows_of})
    size = _frame_size(file, shape, size)
    (output,), probes = rows_of, _probes(shape[0], shape[1], size)
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
    return NetworkInfo(shape[1], size, rows.shape[-1], parameters, ", ".join(kinds))


def _dimensions(tensor: Any) -> Shape:
    return tuple(dim.dim_value or None for dim in tensor.type.tensor_type.shape.dim)


def _window_shape(file: Path, inputs: Mapping[str, Shape], size_is_open: bool = False) -> Window:
    """Return the shape of a network's windows; raises UserError where its input is anything else."""
    if len(inputs) != 1:
        raise UserError(f"{file} takes {_listed(inputs)}: join them into one input, windows of frames, and save it.")
    (shape,) = inputs.values()
    if len(shape) != 3:
        what = "single rows of numbers" if len(shape) == 2 else "arrays"
        raise UserError(f"{file} takes {what} {shape}, not windows of (any number, frames, numbers in a frame).")
    batch, length, size = shape
    return batch, length, None if size_is_open else size


def _check_row(file: Path, window: Window, outputs: Mapping[str, Shape]) -> None:
    """Raise UserError where a network returns anything but one row a window."""
    if len(outputs) != 1:
        raise UserError(f"{file} returns {_listed(outputs)}: save it with the output for the labels only.")
    (shape,) = outputs.values()
    if len(shape) == 3:
        size = f"{window[2]} numbers" if window[2] else "any size"
        length = f"{window[1]} frames" if window[1] else "any length"
        raise UserError(
            f"{file} labels every frame (as with return_sequences=True in the last recurrent layer), and takes frames "
            f"of {size}, in windows of {length}: a model of this project returns one row of probabilities for a window."
        )
    if len(shape) != 2 and shape:  # an ONNX file need not name it
        raise UserError(f"{file} returns {shape[1:]} numbers a window, not a probability for each label.")


def _frame_size(file: Path, window: Window, size: int | None) -> int:
    """Return the numbers in a frame; raises UserError where `size` contradicts the network, or neither knows."""
    found = window[2] or size
    if not found:
        raise UserError(f"{file} takes frames of any size: name their parts by --layout.")
    if size and window[2] not in (None, size):
        raise UserError(f"{file} takes frames of {window[2]} numbers, but --layout names parts of {size}.")
    return found


def _listed(tensors: Mapping[str, Shape]) -> str:
    kinds = ", ".join(f"{name} {shape[1:]}" for name, shape in tensors.items())
    return f"{len(tensors)} arrays ({kinds})"


def _probes(batch: int | None, length: int | None, size: int) -> NDArray[np.float32]:
    """Return windows (n, length, size) of persons who stand still: noise can make a network with relu overflow."""
    still = np.random.default_rng(0).uniform(size=(batch or PROBES, 1, size)).astype(np.float32)
    return still.repeat(length or FRAMES, axis=1)


def _needs_softmax(file: Path, rows: NDArray[np.float32]) -> bool:
    """Whether rows (n, labels) are not probabilities yet; raises UserError if softmax cannot make them so."""
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise UserError(f"{file} returns {rows.shape[1:]} numbers a window, not a probability for each label.")
    if not np.isfinite(rows).all():
        raise UserError(f"{file} returns numbers that are not finite: its training has failed, train it again.")
    within = (rows >= 0).all() and (rows <= 1 + TOLERANCE).all()
    if within and (np.abs(rows.sum(axis=1) - 1) < TOLERANCE).all():
        return False
    if within:
        raise UserError(
            f"{file} returns a probability for each label by itself (sigmoid), which do not add up to 1: train it with "
            "softmax."
        )
    return True
