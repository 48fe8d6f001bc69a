"""The vendor's compiler, `furiosa-compiler`: it compiles quantized ONNX to NPU programs (ENF).

Its options are validated by name and type on every machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import settings
from ..errors import CompilationError
from .errors import InvalidCompilerConfig

if TYPE_CHECKING:
    import subprocess

__all__ = ["COMPILER", "Compiler", "check_compiler_config", "find_compiler", "is_same_version"]

logger = logging.getLogger(__name__)

COMPILER = "furiosa-compiler"

_VERSION_TIMEOUT_S = 10
_MAX_OUTPUT = 4000
_TARGETS = {1: "warboy", 2: "warboy-2pe"}
_BACKEND = re.compile(r"backend:\s*- version:\s*(?P<version>\S+)\s*- revision:\s*(?P<revision>\w+)")
_TITLE = re.compile(r"v(?P<version>\d+\.\d+\.\d+\S*) \((?P<revision>\w+)")
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
    "tabulate_dequantize",
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


@dataclass(frozen=True, slots=True)
class Compiler:
    """An installed compiler.

    Attributes:
        program: Path of the executable.
        version: Its version.
        revision: Its revision; empty if unknown.
    """

    program: str
    version: str
    revision: str

    @property
    def ir_version(self) -> str:
        """Version of the programs that it produces, such as `0.10.1_8b00177dc`."""
        return f"{self.version}_{self.revision}" if self.revision else self.version

    def compile(self, model: bytes, num_pe: Literal[1, 2]) -> bytes:
        """Compile a quantized ONNX model to an NPU program; takes seconds to minutes.

        Args:
            model: The model's bytes.
            num_pe: Number of processing elements that run it together.

        Raises:
            CompilationError: The compiler fails, writes no output, or takes longer than
                `FURIOSA_MODELS_COMPILE_TIMEOUT` seconds.
        """
        with tempfile.TemporaryDirectory(prefix="furiosa-models-") as folder:
            source, output = Path(folder, "model.onnx"), Path(folder, "model.enf")
            source.write_bytes(model)
            target = _TARGETS[num_pe]
            self._run([str(source), "-o", str(output), "--target-npu", target])
            if not output.is_file() or not output.stat().st_size:
                msg = f"{self} reported success but wrote no program for {target}"
                raise CompilationError(msg)
            return output.read_bytes()

    def __str__(self) -> str:
        return f"{COMPILER} {self.ir_version}"

    def _run(self, arguments: list[str]) -> None:
        import subprocess  # most machines have no compiler to run

        limit = settings.compile_timeout()
        logger.info("%s compiles a model; this may take minutes", self)
        process = subprocess.Popen(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that its child processes can be killed, too
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            msg = (
                f"{self} took longer than {limit:g} s and was killed; "
                "FURIOSA_MODELS_COMPILE_TIMEOUT sets a longer limit"
            )
            raise CompilationError(msg) from None
        finally:
            _kill(process)
        if process.returncode != 0:
            message = output.strip()[-_MAX_OUTPUT:] or "nothing"
            msg = f"{self} failed (exit code {process.returncode}); its output:\n{message}"
            raise CompilationError(msg)


def find_compiler() -> Compiler | None:
    """Return the compiler on `PATH`, or None if there is none that works."""
    program = shutil.which(COMPILER)
    return None if program is None else _query_version(program, Path(program).stat().st_mtime_ns)


def is_same_version(one: str, other: str) -> bool:
    """Return whether two IR versions are equal; revisions may be abbreviated."""
    version, _, revision = one.partition("_")
    other_version, _, other_revision = other.partition("_")
    if version != other_version:
        return False
    return revision.startswith(other_revision) or other_revision.startswith(revision)


def check_compiler_config(config: object) -> None:
    """Validate compiler options, and log that they have no effect on the CPU.

    Raises:
        InvalidCompilerConfig: An option is unknown or has the wrong type.
    """
    if not isinstance(config, Mapping):
        msg = f"compiler_config must map names to values, got {type(config).__name__}"
        raise InvalidCompilerConfig(msg)
    for name, value in config.items():
        _check_option(name, value)
    if config:
        names = ", ".join(config)
        logger.info("compiler_config (%s) is for the NPU and has no effect on the CPU", names)


@lru_cache(maxsize=4)
def _query_version(program: str, _changed: int) -> Compiler | None:
    """Return the compiler at a path; cached until its file changes."""
    import subprocess

    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_VERSION_TIMEOUT_S,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("%s does not report its version (%s): continuing without it", program, error)
        return None
    match = _BACKEND.search(answer) or _TITLE.search(answer)
    if match is None:
        logger.warning("%s reports an unknown version %r: continuing without it", program, answer)
        return None
    return Compiler(program, match["version"], match["revision"])


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the process with its children if it still runs, and reap it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _check_option(name: str, value: object) -> None:
    expected = _TYPES.get(name)
    if expected is None:
        msg = f"compiler_config has no key {name!r}; it has {', '.join(sorted(_TYPES))}"
        raise InvalidCompilerConfig(msg)
    types = expected if isinstance(expected, tuple) else (expected,)
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in types):
        expected_types = " or ".join(kind.__name__ for kind in types)
        msg = f"compiler_config[{name!r}] must be {expected_types}, got {value!r}"
        raise InvalidCompilerConfig(msg)
