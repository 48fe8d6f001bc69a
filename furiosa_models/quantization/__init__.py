"""Quantization to int8: calibrate a program on photos, and quantize it.

```python
calibrator = Calibrator(program, CalibrationMethod.ENTROPY_ASYM)
for photo in photos:
    tensor, _ = model.preprocess([photo])
    calibrator.collect_data([[tensor]])
int8 = quantize(
    program, calibrator.compute_range(), channel_means=calibrator.compute_channel_means()
)
```

Here `program` is `model.model_source(precision="fp32")`. Both `program` and `int8` take the output
of `preprocess`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from ..networks.edit import get_output_names, get_pure_input_names
    from .calibrator import Calibrator
    from .methods import CalibrationMethod
    from .post_training import quantize_on
    from .quantizer import ModelEditor, TensorType, quantize

__all__ = [
    "CalibrationMethod",
    "Calibrator",
    "ModelEditor",
    "TensorType",
    "get_output_names",
    "get_pure_input_names",
    "quantize",
    "quantize_on",
]

# These names need onnx, which is not needed to run a quantized program.
__getattr__, __dir__ = lazy(
    __name__,
    {
        ".networks.edit": ["get_output_names", "get_pure_input_names"],
        "calibrator": ["Calibrator"],
        "methods": ["CalibrationMethod"],
        "post_training": "quantize_on",
        "quantizer": ["ModelEditor", "TensorType", "quantize"],
    },
)
