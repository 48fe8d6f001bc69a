"""Neural Compressor's names: `Model(x)`, `quantization.fit`, settings, data, metrics, benchmark.

```python
from furiosa_models.compressor.config import PostTrainingQuantConfig
from furiosa_models.compressor.model import Model
from furiosa_models.compressor import quantization

q_model = quantization.fit(Model("net.onnx"), PostTrainingQuantConfig(), calib_dataloader=loader)
q_model.save("saved_result")
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from . import benchmark, config, data, metric, model, quantization
    from .config import (
        AccuracyCriterion,
        BenchmarkConfig,
        PostTrainingQuantConfig,
        TuningCriterion,
        options,
        set_random_seed,
        set_resume_from,
        set_tensorboard,
        set_workspace,
    )
    from .metric import METRICS, Metric
    from .model import Model

__all__ = [
    "METRICS",
    "AccuracyCriterion",
    "BenchmarkConfig",
    "Metric",
    "Model",
    "PostTrainingQuantConfig",
    "TuningCriterion",
    "benchmark",
    "config",
    "data",
    "metric",
    "model",
    "options",
    "quantization",
    "set_random_seed",
    "set_resume_from",
    "set_tensorboard",
    "set_workspace",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "config": [
            "AccuracyCriterion",
            "BenchmarkConfig",
            "PostTrainingQuantConfig",
            "TuningCriterion",
            "options",
            "set_random_seed",
            "set_resume_from",
            "set_tensorboard",
            "set_workspace",
        ],
        "metric": ["METRICS", "Metric"],
        "model": "Model",
    },
    modules=["benchmark", "config", "data", "metric", "model", "quantization"],
)
