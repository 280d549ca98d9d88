"""Build a Keras network from the configuration that another project saved, without its weights.

Whatever in a configuration could run code is refused before anything is built from it.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from common.errors import UserError

# Classes without code of the author's; all others are refused, Lambda above all.
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
# Arithmetic between layers; Keras 3 saves that of masks too. None: all of the module.
OPERATIONS: Final[dict[str, tuple[str, ...] | None]] = {
    "keras.src.ops.numpy": None,
    "keras.src.ops.nn": None,
    # Others of this module call their arguments.
    "keras.src.ops.core": ("Cast", "ConvertToTensor", "Slice", "StopGradient", "Unstack"),
}
KERAS_MARKERS: Final = ("__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__", "__ellipsis__")
POLICIES: Final = ("DTypePolicy", "Policy")  # the latter of Keras 2; each holds a type of numbers only
HALF_PRECISION: Final = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")  # used to train faster on a GPU
IGNORED: Final = ("time_major", "compile_config")  # always false, and used in training only
PACKAGES: Final = ("keras", "tf_keras", "tensorflow")


def build(file: Path, config: Any, size: int) -> Any:
    """Build the network of a configuration, with weights yet to be loaded.

    size: numbers in a frame, where the configuration leaves them open. Raises UserError for classes that are refused.
    """
    from tensorflow import keras

    if refused := list(dict.fromkeys(_refused(config))):
        raise UserError(
            f"{file} contains {' and '.join(refused)}: only known layers of Keras are imported, and custom code is not "
            "run; save the model without it, or export it as .onnx."
        )
    if config["class_name"] not in MODELS:
        raise UserError(f"{file} contains a single layer, {config['class_name']}: save the whole model.")
    kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    return kind.from_config(_modern(config, size)["config"])


def _refused(described: Any) -> Iterator[str]:
    """Yield class and name of each object whose class is not known."""
    if isinstance(described, dict):
        if "class_name" in described and _module(described) is None:
            kind, config = described["class_name"], described.get("config")
            own = config.get("name") if isinstance(config, dict) else config
            yield f"{kind} {described.get('name') or own or kind!r}"
            return
        described = [value for key, value in described.items() if key not in IGNORED]
    if isinstance(described, list):
        for one in described:
            yield from _refused(one)


def _module(described: dict[str, Any]) -> str | None:
    """Return the module of Keras that an object is from, "" for a marker; None if its class is not known."""
    from tensorflow import keras

    name, module = described["class_name"], described.get("module", "keras")  # a .h5 file does not name it
    if name in KERAS_MARKERS or name in POLICIES:
        return ""
    if not isinstance(module, str) or module.split(".")[0] not in PACKAGES:
        return None  # a class of the author's, whatever its name
    if module in OPERATIONS or ("module" not in described and _is_between_layers(described)):
        return next((known for known in OPERATIONS if _is_operation(known, name)), None)
    if name in MODELS or name in LAYERS:
        return MODELS.get(name, "keras.layers")
    for settings in SETTINGS:
        if isinstance(getattr(getattr(keras, settings), name, None), type):
            return f"keras.{settings}"
    return None


def _is_between_layers(described: dict[str, Any]) -> bool:
    """Whether an object is arithmetic, which may have the name of a layer: Add, Multiply, Dot."""
    nodes, config = described.get("inbound_nodes"), described.get("config")
    return bool(nodes) and described["class_name"] not in MODELS and "trainable" not in (config or ())


def _is_operation(module: str, name: str) -> bool:
    from tensorflow import keras

    names, found = OPERATIONS[module], getattr(importlib.import_module(module), name, None)
    known = isinstance(found, type) and issubclass(found, keras.Operation) and found.__module__ == module
    return known and (names is None or name in names)


def _modern(described: Any, size: int) -> Any:
    """Convert a checked configuration to Keras 3, in float32 throughout, with `size` where a shape leaves it open."""
    if isinstance(described, list):
        return [_modern(one, size) for one in described]
    if not isinstance(described, dict):
        return "float32" if described in HALF_PRECISION else described
    if described.get("class_name") in POLICIES:
        return _modern(described["config"]["name"], size)
    modern = {key: _modern(value, size) for key, value in described.items() if key not in IGNORED}
    for key, value in modern.items():
        if key.endswith("shape") and isinstance(value, list) and len(value) == 3 and value[-1] is None:
            modern[key] = [*value[:-1], size]
    module = _module(described) if "class_name" in described else None
    if module:  # a .h5 file does not name it, and Keras's loader of these takes strings, such as "dot", for functions
        modern |= {"module": module, "registered_name": None}
        config = modern["config"]
        if described["class_name"] != "InputLayer":
            config.pop("batch_input_shape", None)  # the input layer has it too
        if isinstance(config.get("axis"), list) and len(config["axis"]) == 1 and module == "keras.layers":
            config["axis"] = config["axis"][0]
    return modern


def leaves_size_open(config: Any) -> bool:
    """Whether the network's input takes frames of any size."""
    if isinstance(config, dict):
        shapes = (config.get(key) for key in ("batch_shape", "batch_input_shape", "build_input_shape"))
        if any(isinstance(shape, list) and len(shape) == 3 and shape[-1] is None for shape in shapes):
            return True
        config = list(config.values())
    return isinstance(config, list) and any(map(leaves_size_open, config))
