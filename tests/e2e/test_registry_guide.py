"""The three recipes of the registry's guide, followed step by step."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from furiosa_models.registry import sync

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "registry.md").read_text()
YAML = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
FILES = re.findall(r"^```python-file\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def run(model: bytes, x: float) -> float:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"x": np.array([x], np.float32)})
    return float(np.asarray(outputs[0])[0])


def test_recipes_of_the_guide_work(tmp_path: Path) -> None:
    file_entry, code_entry = YAML
    identity = (ROOT / "examples" / "registry" / "models" / "identity.onnx").read_bytes()

    # A file.
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "identity.onnx").write_bytes(identity)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "identity.md").write_text("# Identity")
    (tmp_path / "artifacts.yaml").write_text(file_entry)
    assert run(sync.load(str(tmp_path), "Identity").source, 3.0) == 3.0
    assert sync.help(str(tmp_path), "Identity") == "# Identity"

    # Code and a file.
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "artifacts.py").write_text(FILES[0])
    (tmp_path / "artifacts.yaml").write_text(file_entry + code_entry)
    assert sync.load(str(tmp_path), "Wrapped", trust_code=True).source == identity

    # Code only.
    (tmp_path / "nets" / "scaled.py").write_text(FILES[1])
    entry = code_entry.replace("Wrapped", "Scaled").replace("artifacts.py", "scaled.py")
    (tmp_path / "artifacts.yaml").write_text(file_entry + code_entry + entry)
    model = sync.load(str(tmp_path), "Scaled", factor=2.0, trust_code=True)
    onnx.checker.check_model(model.source)
    assert run(model.source, 3.0) == 6.0


def test_example_registry_loads() -> None:
    uri = str(ROOT / "examples" / "registry")
    for entry in sync.list(uri):
        assert sync.load(uri, entry.name, trust_code=True).source
