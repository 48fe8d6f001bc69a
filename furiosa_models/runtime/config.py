"""Options of the NPU compiler: known ones are checked by name and type, on every machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .errors import FuriosaRuntimeError

__all__ = ["check_compiler_config", "check_positive"]

logger = logging.getLogger(__name__)

_FLAGS = (
    "abs_static_dram_addr",
    "allow_precision_error",
    "allow_rf_segment",
    "allow_to_partition_last_axis",
    "bail_on_split_failure",
    "disable_buffer_cache",
    "dont_care_bridge_cost",
    "dump_in_nvp",
    "external_operators_to_mlir",
    "first_conv_to_matmul",
    "keep_unsignedness",
    "lower_tabulated_dequantize",
    "mimic_sync_io",
    "no_buffer_sharing",
    "no_weight_pinning",
    "optimize_external_operators",
    "optimize_lower_unlower",
    "panic_on_pdb_miss",
    "permute_strides",
    "remove_lower",
    "remove_unlower",
    "skip_lower",
    "skip_split",
    "split_batch_lower_unlower",
    "split_width_first",
    "use_atrr_lifetime",
    "use_heuristic_lowering",
    "use_hybrid_cast",
    "use_legacy_task_model",
    "use_loop_estimator",
    "use_peak_memory_scheduler",
    "use_program_loading",
    "use_projection_shape",
    "use_repartition",
    "use_repartition_conv",
    "use_subroutine",
    "use_tensor_dma",
)
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_FLAGS, bool),
    "estimator_mode": str,
    "graph_lowering_scheme": str,
    "io_scheduling_mode": str,
    "max_num_partitioning_axes": int,
    "max_operation_memory_ratio": (int, float),
    "permute_input": (list, tuple),
    "progress_mode": str,
    "split_policy": str,
    "target_pes": (list, tuple),
    "without_quantize": Mapping,
}


def check_compiler_config(config: object) -> None:
    """Check the options, and log that they have no effect on the CPU.

    Raises:
        FuriosaRuntimeError: The compiler has no such option, or it takes another type.
    """
    if config is None:
        return
    if not isinstance(config, Mapping):
        msg = f"compiler_config must map names to values, got {type(config).__name__}"
        raise FuriosaRuntimeError(msg)
    for name, value in config.items():
        _check(name, value)
    if config:
        names = ", ".join(config)
        logger.info("compiler_config (%s) is for the NPU and has no effect on the CPU", names)


def check_positive(name: str, value: object) -> None:
    """Check an optional count.

    Raises:
        TypeError: It is no integer.
        ValueError: It is less than 1.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name} must be an integer, got {value!r}"
        raise TypeError(msg)
    if value < 1:
        msg = f"{name} must be at least 1, got {value}"
        raise ValueError(msg)


def _check(name: str, value: object) -> None:
    expected = _TYPES.get(name)
    if expected is None:
        msg = f"compiler_config has no key {name!r}; it has {', '.join(sorted(_TYPES))}"
        raise FuriosaRuntimeError(msg)
    types = expected if isinstance(expected, tuple) else (expected,)
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(kind.__name__ for kind in types)
        msg = f"compiler_config[{name!r}] must be {wanted}, got {value!r}"
        raise FuriosaRuntimeError(msg)
