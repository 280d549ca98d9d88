"""A .h5, .keras or .onnx file of somebody else's training in; the same network in weights that run here out.

Whatever in such a file could run code is refused: this is known from its description, before anything is built of it.
"""

import json
import math
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.landmarks import SIZE
from common.quiet import quiet

Shape = tuple[int | None, int | None, int | None]  # windows, frames in one, numbers in a frame; None: any

TOLERANCE: Final = 1e-3  # of probabilities that add up to 1
PROBES: Final = 8  # windows that show whether a network gives probabilities

# What describes a network without any code of its author's; all else is refused, Lambda above all.
MODELS: Final = {"Sequential": "keras", "Model": "keras", "Functional": "keras.src.models.functional"}
LAYERS: Final = (
    "InputLayer", "Masking", "Dense", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Dropout",
    "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "BatchNormalization",
    "LayerNormalization", "UnitNormalization", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "TimeDistributed",
    "Conv1D", "SeparableConv1D", "DepthwiseConv1D", "MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D",
    "GlobalAveragePooling1D", "ZeroPadding1D", "Cropping1D", "UpSampling1D", "Flatten", "Reshape", "Permute",
    "RepeatVector", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
    "MultiHeadAttention", "Attention", "AdditiveAttention",
)  # fmt: skip
SETTINGS: Final = ("initializers", "regularizers", "constraints", "dtype_policies")
MARKS: Final = ("__keras_tensor__", "__tuple__")
DROPPED: Final = ("time_major", "compile_config")  # always false, and of use in training only


class Facts(NamedTuple):
    """What a network says of itself."""

    length: int | None  # frames in a window; None: any
    size: int | None  # numbers in a frame
    labels: int
    parameters: int
    architecture: str


def rewrite(file: Path, folder: Path) -> Facts:
    """Put the network of `file` into `folder` as model.keras or model.onnx; raises UserError naming `file`."""
    if file.suffix not in (".h5", ".hdf5", ".keras", ".onnx"):
        raise UserError(f"{file} is no .h5, .keras or .onnx file: save the whole model in one of these formats.")
    try:
        with file.open("rb"), quiet(), warnings.catch_warnings():  # whatever is wrong is raised
            warnings.simplefilter("ignore")
            return _rewrite_onnx(file, folder) if file.suffix == ".onnx" else _rewrite_keras(file, folder)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{file} needs the package {error.name}: install it.") from error
    except Exception as error:  # of h5py, Keras, onnx and onnxruntime, each with exceptions of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} cannot be read as a network: {reason}") from error


def _rewrite_keras(file: Path, folder: Path) -> Facts:
    from tensorflow import keras

    archive = zipfile.is_zipfile(file)  # Keras 2 writes HDF5 by any name
    draft = folder / ("draft.keras" if archive else "draft.h5")
    (_copy_archive if archive else _copy_h5)(file, draft)
    model = keras.models.load_model(draft, compile=False)
    draft.unlink()
    shape = _window_shape(file, model.input_shape)
    if _needs_softmax(file, np.asarray(model(_probes(shape)))):
        model = keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))
    model.save(folder / "model.keras")
    layers = [(type(layer).__name__, getattr(layer, "units", getattr(layer, "filters", ""))) for layer in model.layers]
    architecture = ", ".join(f"{name} {units}".strip() for name, units in layers)
    return Facts(*shape[1:], model.output_shape[-1], model.count_params(), architecture)


def _copy_h5(file: Path, draft: Path) -> None:
    """With a description that Keras 3 takes."""
    import h5py

    with h5py.File(file) as stored:
        described = stored.attrs.get("model_config")
    if described is None:
        raise UserError(f"{file} holds weights without their network: save the whole model, by model.save.")
    shutil.copyfile(file, draft)
    with h5py.File(draft, "r+") as stored:
        stored.attrs["model_config"] = json.dumps(_modern(file, json.loads(described)))


def _copy_archive(file: Path, draft: Path) -> None:
    """With a description that Keras 3 takes, and without anything else but the weights."""
    with zipfile.ZipFile(file) as stored, zipfile.ZipFile(draft, "w") as copy:
        copy.writestr("config.json", json.dumps(_modern(file, json.loads(stored.read("config.json")))))
        for name in ("metadata.json", "model.weights.h5"):
            copy.writestr(name, stored.read(name))


def _modern(file: Path, described: Any) -> Any:
    """The description of a network as Keras 3 takes it; raises UserError for all that is not known to be harmless."""
    if isinstance(described, list):
        return [_modern(file, one) for one in described]
    if not isinstance(described, dict):
        return described
    module = _module(file, described) if "class_name" in described else None
    modern = {key: _modern(file, value) for key, value in described.items() if key not in DROPPED}
    if module and "module" in described:  # in a .h5 file of Keras 2 it is not, and Keras 3 does the rest itself
        modern |= {"module": module, "registered_name": None}
        config = modern["config"]
        if described["class_name"] != "InputLayer":
            config.pop("batch_input_shape", None)  # the input layer says it as well
        if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
            config["axis"] = config["axis"][0]
    return modern


def _module(file: Path, described: dict[str, Any]) -> str | None:
    """Where in Keras the described object is from, whatever the file says."""
    from tensorflow import keras

    name = described["class_name"]
    if name in MARKS:
        return None
    if name in MODELS or name in LAYERS:
        return MODELS.get(name, "keras.layers")
    for module in SETTINGS:
        if isinstance(getattr(getattr(keras, module), name, None), type):
            return f"keras.{module}"
    own = described.get("config")
    called = own.get("name", name) if isinstance(own, dict) else own or name
    raise UserError(
        f"{file} contains {name} {called!r}, which is none of the layers of Keras that are known to be harmless: "
        "its code is not run here; save the model without it."
    )


def _rewrite_onnx(file: Path, folder: Path) -> Facts:
    import onnx
    import onnxruntime

    model = onnx.load(file)  # with what it keeps in files beside it, none of them outside its folder
    graph, stored = model.graph, {one.name for one in model.graph.initializer}
    inputs = [one for one in graph.input if one.name not in stored]
    outputs = [one for one in graph.output if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT or not outputs:
        raise UserError(f"{file} takes and gives something else than one tensor of float32: export it anew.")
    shape = _window_shape(file, tuple(dim.dim_value or None for dim in inputs[0].type.tensor_type.shape.dim))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = session.run([outputs[0].name], {inputs[0].name: _probes(shape)})[0]
    del graph.output[:]
    graph.output.append(outputs[0])
    if _needs_softmax(file, rows):
        graph.node.append(onnx.helper.make_node("Softmax", [outputs[0].name], ["probabilities"], axis=-1))
        graph.output[0].name = "probabilities"
    onnx.save(model, folder / "model.onnx")
    parameters = sum(math.prod(one.dims) for one in graph.initializer)
    kinds = dict.fromkeys(node.op_type for node in graph.node)
    return Facts(*shape[1:], rows.shape[-1], parameters, ", ".join(kinds))


def _window_shape(file: Path, shape: Any) -> Shape:
    if not isinstance(shape, tuple) or len(shape) != 3 or isinstance(shape[0], tuple):
        raise UserError(f"{file} takes {shape}, not windows of (any number, frames, numbers in a frame).")
    return shape


def _probes(shape: Shape) -> NDArray[np.float32]:
    """Persons who stand still: a window of noise can make a network with relu overflow."""
    batch, length, size = shape
    still = np.random.default_rng(0).uniform(size=(batch or PROBES, 1, size or SIZE)).astype(np.float32)
    return still.repeat(length or 30, axis=1)


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
