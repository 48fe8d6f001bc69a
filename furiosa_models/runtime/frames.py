"""The profiler's records as data frames, and what it prints of them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from ..errors import ExtraRequired

__all__ = ["Frames"]

_NPU = "NPU"
_OPERATION = "Node"
_QUANTILES = (0.9, 0.95, 0.97, 0.99, 0.999)


class Frames:
    """Records of a profiler that was left: spans with name, category, start, end and thread.

    Times are in nanoseconds. Every method needs pandas, and raises `ExtraRequired` without it.
    """

    _events: list[dict[str, Any]] = []  # noqa: RUF012

    def get_pandas_dataframe(self) -> Any:
        """Every span: `name`, `cat`, `start`, `end`, `dur` and `thread.id`."""
        columns = ("name", "cat", "start", "end", "thread.id")
        rows = [[span[column] for column in columns] for span in self._events]
        frame = _pandas().DataFrame(rows, columns=list(columns))
        frame["dur"] = frame["end"] - frame["start"]
        return frame

    def get_pandas_dataframe_with_filter(self, column: str, value: str) -> Any:
        """The spans whose column has that value."""
        frame = self.get_pandas_dataframe()
        return frame[frame[column] == value]

    def get_cpu_pandas_dataframe(self) -> Any:
        """The spans of the CPU: all of them."""
        frame = self.get_pandas_dataframe()
        return frame[frame["cat"] != _NPU]

    def get_npu_pandas_dataframe(self) -> Any:
        """The spans of the NPU: none on a CPU."""
        return self.get_pandas_dataframe_with_filter("cat", _NPU)

    def print_npu_operators(self) -> None:
        """Write what the NPU's operations took: nothing on a CPU."""
        _print(self.get_npu_pandas_dataframe())

    def print_npu_executions(self) -> None:
        """Write what the NPU's executions took: nothing on a CPU."""
        _print(self.get_npu_pandas_dataframe())

    def print_external_operators(self) -> None:
        """Write what the operations took that ran on the CPU."""
        frame = self.get_pandas_dataframe_with_filter("cat", _OPERATION)
        _print(frame[["thread.id", "name", "dur"]])

    def print_inferences(self) -> None:
        """Write what each inference took."""
        frame = self.get_pandas_dataframe_with_filter("name", "Inference")
        _print(frame[["thread.id", "dur"]])

    def print_summary(self) -> None:
        """Write how many inferences there were, and what they took."""
        took = self.get_pandas_dataframe_with_filter("name", "Inference")["dur"]
        rows = [("Inference counts", len(took))]
        if len(took):
            for name in ("min", "max", "mean", "median"):
                rows.append((f"{name.capitalize()} latency (ns)", int(getattr(took, name)())))
            for part in _QUANTILES:
                label = f"{100 * part:.1f} percentile latency (ns)"
                rows.append((label, int(took.quantile(part))))
        line = "=" * 48
        body = "\n".join(f"{label:<31} : {value}" for label, value in rows)
        sys.stdout.write(f"{line}\n  Inference Results Summary\n{line}\n{body}\n")


def _print(frame: Any) -> None:
    sys.stdout.write(f"{frame}\n")


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        msg = "data frames need pandas, which is not installed: pip install pandas"
        raise ExtraRequired(msg) from error
