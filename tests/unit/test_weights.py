from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from furiosa_models.artifacts import (
    Accuracy,
    Artifact,
    File,
    License,
    Store,
    descriptor,
    transfer,
    zoo,
)
from furiosa_models.cli.models import open_model
from furiosa_models.errors import (
    ArtifactCorrupted,
    ArtifactNotFound,
    ArtifactUnavailable,
    WeightsError,
    WeightsFallbackWarning,
)
from furiosa_models.spec import NetworkSpec
from furiosa_models.task_models import Detector
from furiosa_models.vision import EfficientNetLite0
from furiosa_models.weights import resolve

NETWORK = NetworkSpec("efficientnet", {"variant": "lite0"})
GONE = "http://127.0.0.1:9/gone"


def make_set(name: str, source: str, data: bytes = b"onnx") -> Artifact:
    sha256 = hashlib.sha256(data).hexdigest()
    return Artifact(
        name="Net",
        weights=name,
        family="Nets",
        version="v1",
        format="onnx",
        location=source,
        labels="imagenet1k",
        license=License("Apache-2.0"),
        files=(File(f"{name}.onnx", len(data), (source,), sha256=sha256),),
        accuracy=(Accuracy("top-1", 0.5, "toys", "us"),),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def use_zoo(monkeypatch: pytest.MonkeyPatch, *sets: Artifact) -> None:
    use_sets(monkeypatch, "Net", *sets)


def use_sets(monkeypatch: pytest.MonkeyPatch, model: str, *sets: Artifact) -> None:
    """Make the zoo contain only these weights of one model."""
    table = {artifact.weights: artifact for artifact in sets}
    entry = replace(zoo()["EfficientNetLite0"], class_name=model, sets=table)
    monkeypatch.setattr(descriptor, "zoo", lambda: {model: entry})


@pytest.fixture
def local(tmp_path: Path) -> str:
    (tmp_path / "local.onnx").write_bytes(b"onnx")
    return str(tmp_path / "local.onnx")


def test_first_available_weights_are_used_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    use_zoo(monkeypatch, make_set("published", local), make_set("other", GONE))
    found = resolve("Net", None, NETWORK, store)
    assert (found.name, found.origin) == ("published", b"onnx")
    assert found.digest == hashlib.sha256(b"onnx").hexdigest()


def test_fallback_warning_has_both_names_and_accuracies(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    use_zoo(monkeypatch, make_set("published", GONE, b"gone"), make_set("other", local))
    with pytest.warns(WeightsFallbackWarning) as caught:
        assert resolve("Net", None, NETWORK, store).name == "other"
    message = str(caught[0].message)
    assert "Net/published (top-1 0.500 on toys) is unreachable" in message
    assert "using Net/other (top-1 0.500 on toys) instead" in message
    assert "weights='published' reports the failure" in message


def test_fallback_warning_points_to_the_line_of_the_caller(
    monkeypatch: pytest.MonkeyPatch, photos: list[Path], tmp_path: Path
) -> None:
    graph = tmp_path / "lite0.onnx"
    graph.write_bytes(EfficientNetLite0(weights="random").origin)
    sets = [make_set("published", GONE, b"gone"), make_set("own", str(graph), graph.read_bytes())]
    use_sets(monkeypatch, "EfficientNetLite0", *sets)
    with pytest.warns(WeightsFallbackWarning) as caught:
        EfficientNetLite0().predict(photos[:2], device="cpu")
    assert caught[0].filename == __file__


def test_unreachable_weights_are_not_requested_again_at_once(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    use_zoo(monkeypatch, make_set("published", GONE, b"gone"), make_set("other", local))
    with pytest.warns(WeightsFallbackWarning):
        resolve("Net", None, NETWORK, store)
    asked: list[str] = []
    monkeypatch.setattr(transfer, "fetch", lambda _root, file, *_: asked.append(file.name))
    with pytest.warns(WeightsFallbackWarning):
        assert resolve("Net", None, NETWORK, store).name == "other"
    assert asked == []


def test_fallback_is_an_error_in_strict_mode(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_STRICT", "1")
    use_zoo(monkeypatch, make_set("published", GONE, b"gone"), make_set("other", local))
    with pytest.raises(ArtifactUnavailable, match="unreachable"):
        resolve("Net", None, NETWORK, store)


def test_weights_with_other_labels_are_never_a_fallback(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    other = replace(make_set("other", local), labels="others")
    use_zoo(monkeypatch, make_set("published", GONE, b"gone"), other)
    with pytest.raises(
        ArtifactUnavailable, match=r"alternatives: weights='other' \(the classes of others\)"
    ):
        resolve("Net", None, NETWORK, store)


def test_corrupted_weights_cause_no_fallback(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    use_zoo(monkeypatch, make_set("published", local, b"ONNX"), make_set("other", local))
    with pytest.raises(ArtifactCorrupted):
        resolve("Net", None, NETWORK, store)


def test_error_without_reachable_weights_lists_alternatives(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    use_zoo(monkeypatch, make_set("published", GONE), make_set("other", GONE))
    with pytest.raises(ArtifactUnavailable, match="alternatives: your own file, weights='random'"):
        resolve("Net", None, NETWORK, store)


def test_named_weights_have_no_fallback(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    use_zoo(monkeypatch, make_set("published", GONE, b"gone"), make_set("other", local))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve("Net", "other", NETWORK, store).name == "other"
    with pytest.raises(ArtifactUnavailable, match="Other weights of Net: other, random"):
        resolve("Net", "published", NETWORK, store)


def test_weights_from_a_file_from_bytes_and_random(
    monkeypatch: pytest.MonkeyPatch, store: Store, local: str
) -> None:
    use_zoo(monkeypatch)
    assert resolve("Net", Path(local), NETWORK, store).origin == b"onnx"
    assert resolve("Net", b"bytes", NETWORK, store).origin == b"bytes"
    random = resolve("Net", "random", NETWORK, store)
    assert random.origin == resolve("Net", "random", NETWORK, store).origin


def test_invalid_weights_are_an_error(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    use_zoo(monkeypatch, make_set("published", GONE))
    with pytest.raises(
        ArtifactNotFound, match=r"neither a file nor a set .* its sets \('published'\)"
    ):
        resolve("Net", "nonesuch", NETWORK, store)
    with pytest.raises(TypeError, match="got int"):
        resolve("Net", 3, NETWORK, store)


def test_error_names_the_invalid_model_file(tmp_path: Path) -> None:
    path = tmp_path / "best.onnx"
    path.write_text("<html>not found</html>")
    for make in (Detector, open_model):
        with pytest.raises(WeightsError, match=r"best\.onnx: not an ONNX model: an HTML page"):
            make(str(path)).labels  # noqa: B018 - the property reads the file
