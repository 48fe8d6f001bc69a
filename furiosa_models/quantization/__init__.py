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
