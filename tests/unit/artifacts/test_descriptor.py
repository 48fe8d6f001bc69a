from __future__ import annotations

from pathlib import Path

import pytest

from furiosa_models.artifacts import find, load_descriptor, zoo
from furiosa_models.errors import ArtifactNotFound, DescriptorError

GOOD = """
artifacts:
  - name: Net
    family: Nets
    location: https://example.com
    format: onnx
    files:
      - name: net.onnx
        size: 3
        sha256: {sha}
        sources: [net.onnx]
""".format(sha="a" * 64)


def test_a_descriptor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "artifacts.yaml"
    path.write_text(GOOD)
    (artifact,) = load_descriptor(path)
    assert (artifact.name, artifact.weights, artifact.files[0].size) == ("Net", "published", 3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no list under the top key 'artifacts'"),
        ("artifacts: {}", "no list under the top key"),
        ("artifacts: [", "cannot be read"),
        ("artifacts: [3]", "does not follow the schema"),
        (GOOD.replace("size: 3", "size: 0"), "greater than 0"),
        (GOOD.replace("a" * 64, "xyz"), "sha256"),
        (GOOD.replace("        sha256: " + "a" * 64 + "\n", ""), "neither sha256 nor md5"),
        (GOOD.replace("family: Nets", "family: Nets\n    colour: red"), "colour"),
        (GOOD + GOOD.partition("artifacts:\n")[2], "is there twice"),
    ],
)
def test_a_malformed_descriptor_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "artifacts.yaml"
    path.write_text(text)
    with pytest.raises(DescriptorError, match=complaint) as caught:
        load_descriptor(path)
    assert str(path) in str(caught.value)


def test_a_missing_descriptor_is_said(tmp_path: Path) -> None:
    with pytest.raises(DescriptorError, match="No such file"):
        load_descriptor(tmp_path / "none.yaml")


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(ArtifactNotFound, match="'published'"):
        find("SSDMobileNet", "nonesuch")


def test_published_sets_come_first() -> None:
    for model, sets in zoo().items():
        if "published" in sets:
            assert next(iter(sets)) == "published", model
