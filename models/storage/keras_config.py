"""Somebody else's description of a Keras network in; the network, without its weights, out.

Whatever in such a description could run code is refused: this is known before anything is built of it.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from common.errors import UserError

# What describes a network without any code of its author's; all else is refused, Lambda above all.
MODELS: Final = {"Sequential": "keras", "Model": "keras", "Functional": "keras.src.models.functional"}
LAYERS: Final = (
    "InputLayer", "Masking", "Dense", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax",
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "ActivityRegularization", "BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization",
    "UnitNormalization", "Normalization", "Rescaling", "LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell",
    "SimpleRNNCell", "StackedRNNCells", "Bidirectional", "TimeDistributed", "Conv1D", "Conv2D", "Conv1DTranspose",
    "SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D", "MaxPooling1D", "MaxPooling2D",
    "AveragePooling1D", "AveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "UpSampling1D", "Flatten", "Reshape",
    "Permute", "RepeatVector", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
    "MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention",
)  # fmt: skip
SETTINGS: Final = ("initializers", "regularizers", "constraints", "dtype_policies")
# Arithmetic between layers; Keras 3 writes down that of masks too. None: all that the module has.
OPERATIONS: Final[dict[str, tuple[str, ...] | None]] = {
    "keras.src.ops.numpy": None,
    "keras.src.ops.nn": None,
    # Others of these call what they are given.
    "keras.src.ops.core": ("Cast", "ConvertToTensor", "Slice", "StopGradient", "Unstack"),
}
MARKS: Final = ("__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__", "__ellipsis__")
POLICIES: Final = ("DTypePolicy", "Policy")  # the latter of Keras 2; each says nothing but a type of numbers
HALVES: Final = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")  # quick to train in on a GPU
DROPPED: Final = ("time_major", "compile_config")  # always false, and of use in training only
OF_KERAS: Final = ("keras", "tf_keras", "tensorflow")  # packages


def built(file: Path, described: Any, size: int) -> Any:
    """The network that `file` describes, with weights yet to be loaded.

    size: numbers in a frame, where the description leaves them open. Raises UserError for what is not harmless.
    """
    from tensorflow import keras

    if strangers := list(dict.fromkeys(_strangers(described))):
        raise UserError(
            f"{file} contains {' and '.join(strangers)}: only layers of Keras that are known to be harmless are taken, "
            "and code of others is not run here; save the model without it, or export it as .onnx."
        )
    if described["class_name"] not in MODELS:
        raise UserError(f"{file} describes a single layer, {described['class_name']}: save the whole model.")
    kind = keras.Sequential if described["class_name"] == "Sequential" else keras.Model
    return kind.from_config(_modern(described, size)["config"])


def _strangers(described: Any) -> Iterator[str]:
    """Class and name of each object that is not known to be harmless."""
    if isinstance(described, dict):
        if "class_name" in described and _module(described) is None:
            kind, config = described["class_name"], described.get("config")
            own = config.get("name") if isinstance(config, dict) else config
            yield f"{kind} {described.get('name') or own or kind!r}"
            return
        described = [value for key, value in described.items() if key not in DROPPED]
    if isinstance(described, list):
        for one in described:
            yield from _strangers(one)


def _module(described: dict[str, Any]) -> str | None:
    """Where in Keras the described object is from, "" for a mark; None if it is not known to be harmless."""
    from tensorflow import keras

    name, said = described["class_name"], described.get("module", "keras")  # a .h5 file does not say it
    if name in MARKS or name in POLICIES:
        return ""
    if not isinstance(said, str) or said.split(".")[0] not in OF_KERAS:
        return None  # the author's own, whatever its name
    if said in OPERATIONS or ("module" not in described and _is_between_layers(described)):
        return next((module for module in OPERATIONS if _is_operation(module, name)), None)
    if name in MODELS or name in LAYERS:
        return MODELS.get(name, "keras.layers")
    for module in SETTINGS:
        if isinstance(getattr(getattr(keras, module), name, None), type):
            return f"keras.{module}"
    return None


def _is_between_layers(described: dict[str, Any]) -> bool:
    """Whether it is arithmetic, which may have the name of a layer: Add, Multiply, Dot."""
    nodes, config = described.get("inbound_nodes"), described.get("config")
    return bool(nodes) and described["class_name"] not in MODELS and "trainable" not in (config or ())


def _is_operation(module: str, name: str) -> bool:
    from tensorflow import keras

    names, found = OPERATIONS[module], getattr(importlib.import_module(module), name, None)
    known = isinstance(found, type) and issubclass(found, keras.Operation) and found.__module__ == module
    return known and (names is None or name in names)


def _modern(described: Any, size: int) -> Any:
    """A harmless description as Keras 3 takes it, in float32 throughout, with `size` where a shape leaves it open."""
    if isinstance(described, list):
        return [_modern(one, size) for one in described]
    if not isinstance(described, dict):
        return "float32" if described in HALVES else described
    if described.get("class_name") in POLICIES:
        return _modern(described["config"]["name"], size)
    modern = {key: _modern(value, size) for key, value in described.items() if key not in DROPPED}
    for key, value in modern.items():
        if key.endswith("shape") and isinstance(value, list) and len(value) == 3 and value[-1] is None:
            modern[key] = [*value[:-1], size]
    module = _module(described) if "class_name" in described else None
    if module:  # a .h5 file does not say it, and Keras's loader of these takes strings, such as "dot", for functions
        modern |= {"module": module, "registered_name": None}
        config = modern["config"]
        if described["class_name"] != "InputLayer":
            config.pop("batch_input_shape", None)  # the input layer says it as well
        if isinstance(config.get("axis"), list) and len(config["axis"]) == 1 and module == "keras.layers":
            config["axis"] = config["axis"][0]
    return modern


def leaves_size_open(described: Any) -> bool:
    """Whether its input takes frames of any number of numbers."""
    if isinstance(described, dict):
        shapes = (described.get(key) for key in ("batch_shape", "batch_input_shape", "build_input_shape"))
        if any(isinstance(shape, list) and len(shape) == 3 and shape[-1] is None for shape in shapes):
            return True
        described = list(described.values())
    return isinstance(described, list) and any(map(leaves_size_open, described))
