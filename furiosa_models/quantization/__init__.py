"""int8 programs: calibrate on photos, quantize, run.

```python
calibrator = Calibrator(program, CalibrationMethod.ENTROPY_ASYM)
for photo in photos:
    tensor, _ = model.preprocess([photo])
    calibrator.collect_data([[tensor]])
int8 = quantize(
    program, calibrator.compute_range(), channel_means=calibrator.compute_channel_means()
)
```

Here `program` is `model.model_source(precision="fp32")`, which takes what `preprocess` gives; so
does `int8`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibrator import Calibrator
    from .editor import ModelEditor, TensorType, get_output_names, get_pure_input_names
    from .methods import CalibrationMethod
    from .quantizer import quantize

__all__ = [
    "CalibrationMethod",
    "Calibrator",
    "ModelEditor",
    "TensorType",
    "get_output_names",
    "get_pure_input_names",
    "quantize",
]

# All of these bring in onnx, which running a program that was quantized before does without.
_MODULES = {
    "CalibrationMethod": "methods",
    "Calibrator": "calibrator",
    "ModelEditor": "editor",
    "TensorType": "editor",
    "get_output_names": "editor",
    "get_pure_input_names": "editor",
    "quantize": "quantizer",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
