"""Tiny TensorFlow Lite networks, written by the schema that LiteRT ships, and compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from furiosa_models.frameworks.tflite import TfliteModel

Array = npt.NDArray[Any]
LEVELS = (
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
)


class Network:
    """A graph under construction; tensors are numbers.

    The shapes of the tensors that operations compute are those that LiteRT finds.
    """

    def __init__(self) -> None:
        self._tensors: list[schema.TensorT] = []
        self._buffers: list[schema.BufferT] = [_buffer(b"")]
        self._operators: list[schema.OperatorT] = []
        self._codes: list[schema.OperatorCodeT] = []
        self._inputs: list[int] = []

    def input(self, shape: Sequence[int], dtype: str = "float32", **options: Any) -> int:
        """Add an input of the graph; see `tensor` for the options."""
        self._inputs.append(self.tensor(shape, dtype, **options))
        return self._inputs[-1]

    def constant(self, array: Array | Sequence[int] | int, **options: Any) -> int:
        """Add a constant; integers of Python are int32."""
        array = np.asarray(array, None if isinstance(array, np.ndarray) else np.int32)
        return self.tensor(array.shape, array.dtype.name, data=array.tobytes(), **options)

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        name: str | None = None,
        data: bytes = b"",
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        axis: int = 0,
        sparsity: Any = None,
    ) -> int:
        """Add a tensor, and return its number."""
        tensor = schema.TensorT()
        number = len(self._tensors)
        tensor.name = f"t{number}" if name is None else name
        tensor.shape, tensor.type = [*shape], getattr(schema.TensorType, dtype.upper())
        tensor.buffer, tensor.sparsity = len(self._buffers) if data else 0, sparsity
        if data:
            self._buffers.append(_buffer(data))
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(scale).astype(np.float32)
            quantization.zeroPoint = np.broadcast_to(
                np.asarray(zero_point, np.int64), quantization.scale.shape
            )
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self._tensors.append(tensor)
        return number

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        *outputs: int,
        options: str | None = None,
        custom: bytes = b"",
        **fields: Any,
    ) -> int:
        """Add an operation, and return its first output, a new float32 tensor if none is given.

        Args:
            kind: Name of the operation; with `custom`, of a custom one.
            inputs: Its inputs.
            outputs: Its outputs.
            options: Name of the table of its options, such as `Conv2DOptions`.
            custom: Options of a custom operation.
            fields: Options, by the names of the schema.
        """
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = [*inputs], [*outputs] or [self.tensor((1,))]
        operator.opcodeIndex = self._code(kind, is_custom=bool(custom))
        if custom:
            operator.customOptions = [*custom]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in fields.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)
        return int(operator.outputs[0])

    def shape(self, tensor: int) -> list[int]:
        """Return the shape of a tensor."""
        return list(self._tensors[tensor].shape)

    def write(self, *outputs: int, shaped: bool = True) -> bytes:
        """Return the file with these outputs; with `shaped`, with the shapes that LiteRT finds."""
        data = self._pack(outputs)
        if not shaped:
            return data
        interpreter = Interpreter(  # a delegate would not tell the shapes inside
            model_content=data,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        for detail in interpreter.get_tensor_details():
            if detail["index"] < len(self._tensors):
                self._tensors[detail["index"]].shape = [*map(int, detail["shape"])]
        return self._pack(outputs)

    def _pack(self, outputs: Sequence[int]) -> bytes:
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = self._inputs, [*outputs]
        model.version, model.subgraphs = 3, [graph]
        model.operatorCodes, model.buffers = self._codes, self._buffers
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, kind: str, *, is_custom: bool) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = kind if is_custom else None
        if not is_custom:
            code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = (
            min(code.builtinCode, 127),
            _VERSIONS.get(kind, 1),
        )
        self._codes.append(code)
        return len(self._codes) - 1


_VERSIONS = {"BROADCAST_TO": 2}


def _buffer(data: bytes) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8) if data else None
    return buffer


def random_array(shape: Sequence[int], dtype: str = "float32", seed: int = 0) -> Array:
    """Return numbers between -2 and 2, or any integers of 8 bits, or a few of more bits."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.uniform(-2, 2, shape).astype(np.float32)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    info = np.iinfo(dtype)
    low, high = (info.min, info.max + 1) if info.bits == 8 else (-9, 10)
    return rng.integers(low, high, shape).astype(dtype)


def sessions(model: onnx.ModelProto) -> list[onnxruntime.InferenceSession]:
    """Return ONNX Runtime without and with its graph optimizations."""
    found = []
    for level in LEVELS:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.log_severity_level = 3
        found.append(
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        )
    return found


def compare(
    data: bytes,
    *inputs: Array,
    steps: int = 1,
    relative: float = 1e-5,
) -> onnx.ModelProto:
    """Assert that the converted file computes the outputs of LiteRT, and return it as ONNX.

    Args:
        data: The file.
        inputs: Inputs; random ones if there are none.
        steps: Largest difference of quantized outputs, which are integers.
        relative: Largest difference of floats, relative to the largest magnitude of the output.
    """
    model = TfliteModel(data)
    converted = model.to_onnx()
    onnx.checker.check_model(converted, full_check=True)
    graph = model._graph
    given = inputs or [
        random_array(graph.tensors[i].shape, graph.tensors[i].dtype, seed)
        for seed, i in enumerate(graph.inputs)
    ]
    expected = model.run(given)
    for session in sessions(converted):
        assert [i.name for i in session.get_inputs()] == model.input_names
        assert [o.name for o in session.get_outputs()] == model.output_names
        outputs = session.run(None, dict(zip(model.input_names, given, strict=True)))
        for found, wanted in zip(outputs, expected, strict=True):
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
            if found.dtype.kind == "f":
                limit = relative * float(np.abs(wanted).max(initial=1e-30))
                np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)
            elif found.dtype.name in ("int8", "uint8"):
                assert np.abs(found.astype(int) - wanted.astype(int)).max(initial=0) <= steps
            else:
                np.testing.assert_array_equal(found, wanted)
    return converted
