"""Registries as authors wrote them for furiosa-registry 0.5 to 0.9."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from pydantic import ValidationError

from furiosa_models import registry
from furiosa_models.errors import (
    ArtifactUnavailable,
    CodeNotTrusted,
    DescriptorError,
    ModelNotFound,
    TransportNotFound,
)
from furiosa_models.heads import SSDHead
from furiosa_models.registry import sync
from furiosa_models.registry.model import DESCRIPTION_KEY
from furiosa_models.task_models import Detector
from furiosa_models.types import Format
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet
from furiosa_models.zoo.presets import SSD_300, SSD_300_MAPS

DESCRIPTOR = """
artifacts:
  - name: EfficientNetV2_S
    family: EfficientNet
    version: v2.0
    location: furiosa/artifacts/artifacts.py
    format: code
    metadata:
      description: EfficientNetV2 from Google AutoML
      publication:
        url: https://arxiv.org/abs/2104.00298
  - name: MLCommonsResNet50
    family: ResNet
    version: v1.5
    location: furiosa/artifacts/artifacts.py
    format: code
  - name: Inner
    family: Nets
    location: furiosa/artifacts/artifacts.py
    format: code
"""

ARTIFACTS = """
import io

from furiosa.artifacts.vision.models import MLCommonsResNet50Model
from furiosa.artifacts.vision.models.efficientnet import EfficientNetV2_S as EfficientNetV2_SModel
from furiosa.registry import Format, Metadata, Model, Publication
from furiosa.registry.client.transport import FileTransport

from helpers import FAMILY

loader = FileTransport()


async def EfficientNetV2_S() -> Model:
    return Model(
        name="efficientnetv2_s",
        model=EfficientNetV2_SModel().export(io.BytesIO()).getvalue(),
        family=FAMILY,
    )


async def MLCommonsResNet50(*args, **kwargs) -> MLCommonsResNet50Model:
    return MLCommonsResNet50Model(
        name="mlcommons_resnet50",
        model=await loader.read("models/mlcommons_resnet50_v1.5_int8.onnx"),
        format=Format.ONNX,
        metadata=Metadata(description="mine", publication=Publication(url="https://x.org")),
        *args,
        **kwargs,
    )


def Inner() -> Model:
    from furiosa_models.registry import sync

    return sync.load("OUTER", "EfficientNetV2_S", trust_code=True)
"""

FILES = {
    "artifacts.yaml": DESCRIPTOR,
    "furiosa/artifacts/artifacts.py": ARTIFACTS,
    "furiosa/artifacts/vision/models/__init__.py": """
from furiosa.registry import Model
from .shared import doubled

class MLCommonsResNet50Model(Model):
    "Docs of the class."
    pretrained: bool = True

    def preprocess(self, values):
        return doubled(values)
""",
    "furiosa/artifacts/vision/models/shared.py": "def doubled(v): return [x * 2 for x in v]",
    "furiosa/artifacts/vision/models/efficientnet.py": """
class EfficientNetV2_S:
    model_family = "EfficientNetV2"

    def export(self, file):
        file.write(b"exported")
        return file
""",
    "helpers.py": "FAMILY = 'of the code'",
    "models/mlcommons_resnet50_v1.5_int8.onnx": "onnx bytes",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    root = tmp_path / "registry"
    code = ARTIFACTS.replace("OUTER", str(root))
    return write(root, {**FILES, "furiosa/artifacts/artifacts.py": code})


@pytest.fixture(params=["folder", "http"])
def uri(request: pytest.FixtureRequest, artifacts: Path, serve: Callable[[Path], str]) -> str:
    return serve(artifacts) if request.param == "http" else artifacts.as_uri()


def vendors() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] in ("furiosa", "helpers")}


def test_registry_with_the_layout_of_furiosa_artifacts_loads(uri: str) -> None:
    before, finders = vendors(), [*sys.meta_path]
    made = asyncio.run(registry.load(uri, "EfficientNetV2_S", trust_code=True))
    assert isinstance(made, registry.Model)
    assert bytes(made) == made.model == b"exported"
    assert (made.name, made.family, made.version) == ("EfficientNetV2_S", "EfficientNet", "v2.0")
    assert made.metadata is not None
    assert made.metadata.description == "EfficientNetV2 from Google AutoML"
    resnet: Any = sync.load(uri, "MLCommonsResNet50", pretrained=False, trust_code=True)
    assert (resnet.source, resnet.pretrained) == (b"onnx bytes", False)
    assert (resnet.version, resnet.metadata.description) == ("v1.5", "mine")
    assert resnet.preprocess([1, 2]) == [2, 4]
    assert resnet.__doc__ == "Docs of the class."
    assert (vendors(), sys.meta_path) == (before, finders)


def test_imported_vendor_package_is_restored(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, theirs = types.ModuleType("furiosa"), types.ModuleType("furiosa.registry")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "furiosa", package)
    monkeypatch.setitem(sys.modules, "furiosa.registry", theirs)
    assert sync.load(str(artifacts), "EfficientNetV2_S", trust_code=True).source == b"exported"
    assert sys.modules["furiosa"] is package
    assert sys.modules["furiosa.registry"] is theirs
    assert vendors() == {"furiosa", "furiosa.registry"}


def test_registry_code_can_load_registries_from_many_threads(artifacts: Path) -> None:
    inner = sync.load(str(artifacts), "Inner", trust_code=True)
    assert (inner.source, inner.family) == (b"exported", "Nets")

    def load(name: str) -> bytes:
        return bytes(sync.load(str(artifacts), name, trust_code=True))

    names = ["EfficientNetV2_S", "MLCommonsResNet50", "Inner"] * 8
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(load, names)]
    assert set(found) == {b"exported", b"onnx bytes"}
    assert vendors() == set()


def test_failing_code_leaves_no_modules_behind(artifacts: Path) -> None:
    (artifacts / "helpers.py").write_text("raise RuntimeError('no')")
    with pytest.raises(registry.RegistryError, match="the code of EfficientNetV2_S .* failed"):
        sync.load(str(artifacts), "EfficientNetV2_S", trust_code=True)
    assert vendors() == set()


@pytest.mark.parametrize("trust", ["no", "True", 1, None, [True]])
def test_trust_code_must_be_a_bool(artifacts: Path, trust: Any) -> None:
    with pytest.raises(TypeError, match="trust_code must be True or False"):
        sync.load(str(artifacts), "EfficientNetV2_S", trust_code=trust)
    with pytest.raises(CodeNotTrusted):
        sync.load(str(artifacts), "EfficientNetV2_S", trust_code=False)


# --- artifacts.py -------------------------------------------------------------------------------

CODE_REGISTRY = '''
from furiosa.registry import Format, Metadata, Model, Publication
from furiosa.registry.client.transport import FileTransport

loader = FileTransport()


class MNISTNetModel(Model):
    """MNISTNet Model"""


class Odd(MNISTNetModel):
    """A model by its base"""


async def fetch(path: str) -> bytes:
    return await loader.read(path)


def _hidden() -> Model:
    ...


async def MNISTNet(*args, **kwargs) -> MNISTNetModel:
    return MNISTNetModel(
        name="MNISTNet",
        source=await fetch("models/net.tflite"),
        dfg=await loader.read("models/net.dfg"),
        enf=None,
        format=Format.TFLite,
        family="MNIST",
        version="v1.0",
        metadata=Metadata(description="MNIST quantized model"),
        publication=Publication(url="https://en.wikipedia.org/wiki/MNIST_database"),
        **kwargs,
    )


def OddNet() -> "Odd":
    return Odd(name="Odd", source=b"odd")
'''


def test_python_registry_is_read(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    files = {
        "artifacts.py": CODE_REGISTRY,
        "models/net.tflite": "lite",
        "models/net.dfg": "graph",
    }
    root = write(tmp_path / "zoo", files)
    for uri in (str(root), root.as_uri(), serve(root)):
        entries = sync.list(uri)
        assert [(e.name, e.family, e.version) for e in entries] == [
            ("MNISTNet", "MNIST", "v1.0"),
            ("OddNet", "", None),
        ]
        with pytest.raises(CodeNotTrusted, match="trust_code=True"):
            sync.load(uri, "MNISTNet")
        model = sync.load(uri, "MNISTNet", trust_code=True)
        assert (model.source, model.dfg, model.format) == (b"lite", b"graph", Format.TFLite)
        assert model.__doc__ == "MNISTNet Model"
        assert sync.help(uri, "MNISTNet") == "MNIST quantized model"
        assert sync.load(uri, "OddNet", trust_code=True).source == b"odd"
        with pytest.raises(ModelNotFound, match="it has MNISTNet v1.0, OddNet"):
            sync.load(uri, "_hidden", trust_code=True)


def test_yaml_takes_precedence_over_python(tmp_path: Path) -> None:
    with pytest.raises(ArtifactUnavailable, match="artifacts.yaml"):
        sync.list(str(tmp_path))
    (tmp_path / "artifacts.py").write_text("def f(:")
    with pytest.raises(DescriptorError, match="artifacts.py is not valid Python"):
        sync.list(str(tmp_path))
    (tmp_path / "artifacts.yaml").write_text(DESCRIPTOR)
    assert len(sync.list(str(tmp_path))) == 3


# --- URIs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["zoo", "a b", "100%41", "file://"])
def test_folders_by_path_and_file_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    root = tmp_path if place == "file://" else tmp_path / place
    write(root, {"artifacts.yaml": DESCRIPTOR})
    monkeypatch.chdir(tmp_path)
    name = "." if place == "file://" else place
    uris = [name, str(root), f"file://{name}", f"file://./{name}", f"file:{root}", root.as_uri()]
    for uri in [*uris, f"file://{root}", root.as_uri().replace("file://", "file://localhost")]:
        assert len(sync.list(uri)) == 3, uri


@pytest.mark.parametrize("uri", ["nope://x", "ftp://host/zoo", "git+ssh://host/zoo"])
def test_unsupported_uris_are_rejected(uri: str) -> None:
    with pytest.raises(TransportNotFound, match=r"unsupported registry URI .*https://"):
        sync.list(uri)
    with pytest.raises(registry.RegistryError, match="unsupported registry URI"):
        sync.load(uri, "x")


def test_host_in_a_file_uri_is_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactUnavailable, match="server/share"):
        sync.list("file://server/share")


# --- registry.Model -----------------------------------------------------------------------------


class Scaler(registry.Model):
    scale: int = 3

    def preprocess(self, photo: Any) -> tuple[Any, Any]:
        with Image.open(photo) as image:
            small = np.asarray(image.convert("RGB").resize((224, 224)))
        return small.transpose(2, 0, 1)[None], {"photo": photo}

    def postprocess(self, outputs: Any, context: Any = None, power: int = 1) -> Any:
        return context["photo"], int(outputs[0].argmax()), self.scale**power


def test_fields_of_subclasses() -> None:
    made = Scaler(name="a", source=b"x", scale=5, format="onnx")  # type: ignore[arg-type]
    assert (made.scale, made.format) == (5, Format.ONNX)
    made.family = "Nets"
    assert made.family == "Nets"
    assert "b'x'" not in repr(made)
    wrong: dict[str, Any]
    for wrong, complaint in (
        ({"name": 3}, "valid string"),
        ({"scale": "many"}, "valid integer"),
        ({"format": "pickle"}, "not a valid Format"),
        ({"model": b"y"}, "got both source and model"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            Scaler(**({"name": "a", "source": b"x"} | wrong))
    with pytest.raises(ValidationError, match=r"source\n  Field required"):
        Scaler(name="a")  # type: ignore[call-arg]
    tensor = registry.ModelTensor("x", "float32", [1, 3])
    fields: Any = {"name": "x", "datatype": "float32", "shape": [1, 3]}
    described = registry.Model(name="a", source=b"", inputs=[tensor], outputs=[fields])
    assert described.outputs == described.inputs == [tensor]


def test_class_with_its_own_processors_predicts(photos: list[Path]) -> None:
    program = EfficientNetLite0(weights="random").model_source()
    made = Scaler(name="a", source=program)
    photo, class_id, scale = made.predict(photos[0])
    assert (photo, scale, 0 <= class_id < 1000) == (photos[0], 3, True)
    assert [row[2] for row in made(photos[:2], power=2)] == [9, 9]


def test_file_with_model_metadata_predicts(photos: list[Path]) -> None:
    zoo = EfficientNetLite0(weights="random")
    proto = onnx.load_from_string(zoo.origin)
    entry = proto.metadata_props.add()
    entry.key, entry.value = DESCRIPTION_KEY, json.dumps({"model": "EfficientNetLite0"})
    made = registry.Model(name="a", source=proto.SerializeToString())
    assert made.predict(photos[0]) == zoo.predict(photos[0])
    assert isinstance(made.to_model(), EfficientNetLite0)


def test_entry_with_a_task_and_a_head_predicts(photos: list[Path]) -> None:
    zoo = SSDMobileNet(weights="random")
    made = registry.Model(name="a", source=zoo.origin, task="detect")
    model = made.to_model(input=SSD_300, head=SSDHead(SSD_300_MAPS), labels="coco91")
    assert type(model) is Detector
    assert model.predict(photos[0]) == zoo.predict(photos[0])


@pytest.mark.parametrize("where", ["metadata", "entry", "class"])
def test_task_alone_suffices_for_a_known_graph(photos: list[Path], where: str) -> None:
    class Classifying(registry.Model):
        task: str | None = "classify"

    proto = onnx.load_from_string(EfficientNetLite0(weights="random").origin)
    if where == "metadata":
        entry = proto.metadata_props.add()
        entry.key, entry.value = "task", "classify"
    cls = Classifying if where == "class" else registry.Model
    made = cls(name="a", source=proto.SerializeToString())
    if where == "entry":
        made.task = "classify"
    found = made.predict(photos[0], top_k=3)
    assert [item.label for item in found.top] == [f"class_{item.index}" for item in found.top]


def test_file_without_a_task_is_an_error(photos: list[Path]) -> None:
    origin = EfficientNetLite0(weights="random").origin
    with pytest.raises(TypeError, match="the task of .* is unknown"):
        registry.Model(name="a", source=origin).predict(photos[0])


def test_model_has_the_task_of_its_entry(tmp_path: Path) -> None:
    entry = "  - {name: net, family: Nets, location: n.onnx, format: onnx, task: classify}"
    write(tmp_path, {"artifacts.yaml": f"artifacts:\n{entry}\n", "n.onnx": "x"})
    assert sync.load(str(tmp_path), "net").task == "classify"
