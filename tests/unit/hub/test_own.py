from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from furiosa_models import Classifier
from furiosa_models.artifacts.store import hash_file
from furiosa_models.errors import (
    ArtifactCorrupted,
    ArtifactUnavailable,
    DescriptorError,
    ExtraRequired,
    HubError,
    ModelNotFound,
)
from furiosa_models.hub import FocoosHUB, OwnHub, hub_of, pull, push
from furiosa_models.hub.huggingface import HuggingFaceHub
from furiosa_models.hub.places import FolderPlace
from furiosa_models.registry import sync
from furiosa_models.registry.descriptor import RegistryArtifact, parse_descriptor
from tests.s3 import s3_server


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    return tmp_path / "zoo"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a real S3 server; yields the URI of a prefix of it."""
    with s3_server(monkeypatch):
        import s3fs

        name = f"zoo-{secrets.token_hex(4)}"  # moto's buckets outlive its server
        s3fs.S3FileSystem().mkdir(name)
        yield f"s3://{name}/models/of/ours"


def same(folder: Path, other: Path) -> bool:
    """Return whether all files of a folder are in the other one."""
    return all(
        hash_file(path, "sha256") == hash_file(other / path.name, "sha256")
        for path in folder.iterdir()
    )


def test_pushed_model_is_pulled_and_predicts(zoo: Path, saved: Path, photos: list[Path]) -> None:
    pushed = push(saved, f"{zoo}/shelf")
    assert pushed.ref == f"{zoo}/shelf@{pushed.version}"
    for ref in (f"{zoo}/shelf", pushed.ref, f"file://{zoo}/shelf", zoo / "shelf"):
        folder = pull(ref)
        assert same(saved, folder)
    with Classifier(folder) as pulled, Classifier(saved) as original:
        assert pulled.predict(photos[0]) == original.predict(photos[0])


def test_registry_lists_and_loads_what_was_pushed(zoo: Path, saved: Path) -> None:
    pushed = push(saved, f"{zoo}/shelf")
    (entry,) = sync.list(str(zoo))
    assert (entry.name, entry.version, entry.format) == ("shelf", pushed.version, "onnx")
    assert (entry.task, entry.family) == ("classify", "EfficientNet-Lite")
    assert [file.name for file in entry.files] == sorted(
        path.name for path in saved.iterdir() if path.name != "model.onnx"
    )
    assert sync.load(str(zoo), "shelf").source == (saved / "model.onnx").read_bytes()
    assert "from furiosa_models.hub import pull" in sync.help(str(zoo), "shelf")


def test_registry_predicts_as_the_saved_model(zoo: Path, saved: Path, photos: list[Path]) -> None:
    push(saved, f"{zoo}/shelf@1")
    with Classifier(saved) as original:
        assert sync.load(str(zoo), "shelf").predict(photos[0]) == original.predict(photos[0])
    (path,) = zoo.glob("models/shelf/*/model_info.json")
    path.write_bytes(b"{}")
    with pytest.raises(ArtifactCorrupted):
        sync.load(str(zoo), "shelf")


def test_registry_refuses_a_wrong_description(zoo: Path, saved: Path, photos: list[Path]) -> None:
    push(saved, f"{zoo}/shelf@1")
    model = sync.load(str(zoo), "shelf")
    for info in (b"{", b"[]", b"{}", b'{"classes": 7, "config": {"input": {}, "head": {}}}'):
        model.describe(info)
        with pytest.raises(DescriptorError, match=r"the model_info\.json of shelf is invalid"):
            model.predict(photos[0])


def test_every_push_is_a_new_version(zoo: Path, saved: Path, tmp_path: Path) -> None:
    first = push(saved, f"{zoo}/shelf")
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    (changed / "note.txt").write_text("newer")
    second = push(changed, f"{zoo}/shelf")
    assert len(sync.list(str(zoo))) == 2
    assert not (pull(first.ref) / "note.txt").exists()
    assert (pull(second.ref) / "note.txt").read_text() == "newer"


def test_version_is_replaced(zoo: Path, saved: Path, tmp_path: Path) -> None:
    push(saved, f"{zoo}/shelf@1.0")
    push(saved, f"{zoo}/other@1.0")
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    (changed / "note.txt").write_text("newer")
    assert push(changed, f"{zoo}/shelf@1.0").version == "1.0"
    assert {(e.name, e.version) for e in sync.list(str(zoo))} == {
        ("shelf", "1.0"),
        ("other", "1.0"),
    }
    assert (pull(f"{zoo}/shelf@1.0") / "note.txt").read_text() == "newer"


def test_newest_version_is_pulled(zoo: Path, saved: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    (changed / "note.txt").write_text("1.10")
    push(changed, f"{zoo}/shelf@1.10")
    push(saved, f"{zoo}/shelf@1.9")
    assert (pull(f"{zoo}/shelf") / "note.txt").read_text() == "1.10"


def test_entries_of_others_are_kept(zoo: Path, saved: Path) -> None:
    zoo.mkdir()
    (zoo / "artifacts.yaml").write_text(
        "artifacts:\n"
        "  - {name: Net, family: F, version: v1.0, location: net.onnx, format: onnx}\n"
        "  - name: Code\n    family: F\n    format: code\n    location: nets/artifacts.py\n"
        "    metadata:\n      description: By code\n"
        "      publication: {authors: [A], title: T, date: 2021-05-01, url: https://x.org}\n"
    )
    before = sync.list(str(zoo))
    push(saved, f"{zoo}/shelf@1")
    push(saved, f"{zoo}/shelf@2")
    after = sync.list(str(zoo))
    assert after[:2] == before
    assert [(e.name, e.version) for e in after[2:]] == [("shelf", "1"), ("shelf", "2")]


def test_broken_descriptor_is_not_replaced(zoo: Path, saved: Path) -> None:
    zoo.mkdir()
    (zoo / "artifacts.yaml").write_text("artifacts: [")
    with pytest.raises(DescriptorError, match="not valid YAML"):
        push(saved, f"{zoo}/shelf")
    assert (zoo / "artifacts.yaml").read_text() == "artifacts: ["


PUSH = """
import sys
from furiosa_models.hub import push
for number in range(4):
    push(sys.argv[1], f"{sys.argv[2]}/model-{sys.argv[3]}-{number}@1")
"""


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_pushes_at_the_same_time_lose_nothing(
    where: str, zoo: Path, saved: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = str(zoo) if where == "folder" else request.getfixturevalue("bucket")
    small = tmp_path / "small"  # many uploads would take long
    small.mkdir()
    for name in ("model_info.json", "model.onnx"):
        shutil.copy(saved / name, small / name)
    (small / "model.onnx").write_bytes(b"onnx")
    running = [
        subprocess.Popen([sys.executable, "-c", PUSH, str(small), place, str(number)])
        for number in range(3)
    ]
    assert [process.wait(200) for process in running] == [0, 0, 0]
    assert {entry.name for entry in sync.list(place)} == {
        f"model-{i}-{j}" for i in range(3) for j in range(4)
    }


def test_push_during_another_push_is_not_lost(
    zoo: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = FolderPlace.write
    waiting = ["second"]

    def interrupted(place: FolderPlace, path: str, data: bytes) -> None:
        if path == "artifacts.yaml" and waiting:  # the first has read the entries, and writes them
            push(saved, f"{zoo}/{waiting.pop()}@1")
            assert [entry.name for entry in sync.list(str(zoo))] == ["first", "second"]
        write(place, path, data)

    monkeypatch.setattr(FolderPlace, "write", interrupted)
    push(saved, f"{zoo}/first@1")
    assert [entry.name for entry in sync.list(str(zoo))] == ["first", "second"]


def test_bucket_is_a_hub(bucket: str, saved: Path) -> None:
    pushed = push(saved, f"{bucket}/shelf")
    assert pushed.ref == f"{bucket}/shelf@{pushed.version}"
    assert same(saved, pull(f"{bucket}/shelf"))
    assert [entry.name for entry in sync.list(bucket)] == ["shelf"]


def test_offline_the_copy_of_a_bucket_is_used(
    bucket: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(saved, f"{bucket}/shelf")
    folder = pull(f"{bucket}/shelf")
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    assert pull(f"{bucket}/shelf") == folder
    with pytest.raises(HubError, match="not in the cache, and FURIOSA_MODELS_OFFLINE is set"):
        pull(f"{bucket}/other")
    with pytest.raises(HubError, match="FURIOSA_MODELS_OFFLINE"):
        push(saved, f"{bucket}/shelf")


def test_missing_bucket_is_an_error_without_the_secret(bucket: str, saved: Path) -> None:
    del bucket
    with pytest.raises(HubError, match="s3://nothing") as caught:
        push(saved, "s3://nothing/here/shelf")
    assert "hunter2" not in str(caught.value)


def test_hub_on_a_web_server_is_read_only(
    zoo: Path, saved: Path, serve: Callable[[Path], str]
) -> None:
    push(saved, f"{zoo}/shelf@1")
    url = serve(zoo)
    assert same(saved, pull(f"{url}/shelf"))
    with pytest.raises(HubError, match="can only be read"):
        push(saved, f"{url}/shelf")


def test_wrong_bytes_are_refused(zoo: Path, saved: Path) -> None:
    push(saved, f"{zoo}/shelf@1")
    (path,) = zoo.glob("models/shelf/*/model_info.json")
    path.write_bytes(path.read_bytes().replace(b"classes", b"klasses"))
    with pytest.raises(ArtifactCorrupted, match="expected sha256"):
        pull(f"{zoo}/shelf")
    path.unlink()
    with pytest.raises(ArtifactUnavailable, match=r"model_info\.json"):
        pull(f"{zoo}/shelf")


def test_cache_is_verified_and_can_be_renewed(zoo: Path, saved: Path) -> None:
    push(saved, f"{zoo}/shelf@1")
    graph = pull(f"{zoo}/shelf") / "model.onnx"
    graph.chmod(0o600)
    graph.write_bytes(b"damaged")
    assert same(saved, pull(f"{zoo}/shelf"))
    shutil.rmtree(zoo / "models" / "shelf")
    assert same(saved, pull(f"{zoo}/shelf"))  # by the hashes of the descriptor
    with pytest.raises(ArtifactUnavailable):
        pull(f"{zoo}/shelf", cache=False)


@pytest.mark.parametrize(
    "name", ["../x", "..", ".hidden", "a/../../x", "a\\b", "c:x", "%2e%2e", "", "x\ny"]
)
def test_files_of_an_entry_stay_in_its_folder(name: str) -> None:
    row = {"name": name, "size": 1, "sha256": "0" * 64}
    entry = {"name": "n", "family": "f", "location": "m/n.onnx", "format": "onnx", "files": [row]}
    with pytest.raises(ValueError, match="name"):
        RegistryArtifact.model_validate(entry)


def test_entry_without_files_is_no_saved_model(zoo: Path) -> None:
    zoo.mkdir()
    (zoo / "artifacts.yaml").write_text(
        "artifacts: [{name: Net, family: F, location: net.onnx, format: onnx}]"
    )
    with pytest.raises(HubError, match=r"lists no model_info\.json: load it with"):
        pull(f"{zoo}/Net")
    with pytest.raises(ModelNotFound, match="has no model Other"):
        pull(f"{zoo}/Other")


@pytest.mark.parametrize("name", ["a b", "@1", "x@", "x@a b", ".x"])
def test_strange_names_are_refused(zoo: Path, saved: Path, name: str) -> None:
    with pytest.raises(HubError):
        push(saved, f"{zoo}/{name}")
    assert not zoo.exists()


def test_folder_must_be_a_saved_model_with_a_graph(zoo: Path, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"has no model_info\.json"):
        push(tmp_path, f"{zoo}/x")
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(saved / "model_info.json", part)
    with pytest.raises(HubError, match="no file beside"):
        push(part, f"{zoo}/x")
    (part / "model_final.pth").write_bytes(b"x")
    with pytest.raises(HubError, match="expected an ONNX or TensorFlow Lite file"):
        push(part, f"{zoo}/x")
    (part / "model.onnx").write_bytes(b"")
    with pytest.raises(HubError, match="is empty"):
        push(part, f"{zoo}/x")
    (part / "model.onnx").unlink()
    (part / "model.onnx").symlink_to("/etc/passwd")
    with pytest.raises(HubError, match="not in its folder"):
        push(part, f"{zoo}/x")
    assert not zoo.exists()


def test_checkpoints_of_a_run_are_not_pushed(zoo: Path, saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    for name in ("model_0000200.pth", "model_best.pth", "last_checkpoint", "hub.json", ".x"):
        (run / name).write_text("x")
    push(run, f"{zoo}/shelf")
    assert sorted(path.name for path in pull(f"{zoo}/shelf").iterdir()) == sorted(
        path.name for path in saved.iterdir()
    )


def test_options_of_other_hubs_are_refused(zoo: Path, saved: Path) -> None:
    with pytest.raises(HubError, match="neither private= nor message="):
        push(saved, f"{zoo}/x", private=True)
    with pytest.raises(HubError, match="neither private= nor message="):
        push(saved, f"{zoo}/x", message="new")


def test_form_of_a_reference_names_its_hub(tmp_path: Path) -> None:
    for ref, uri, name in (
        ("s3://bucket/a/b@1", "s3://bucket/a", "b@1"),
        ("gs://bucket/b", "gs://bucket", "b"),
        (tmp_path / "a" / "b", str(tmp_path / "a"), "b"),
        ("b", ".", "b"),
        ("/b", "/", "b"),
    ):
        found, rest = hub_of(ref)
        assert isinstance(found, OwnHub)
        assert (found._transport.uri, rest) == (uri, name)


@pytest.mark.parametrize(
    "ref", ["hub://", "hf://", "s3://bucket", "s3://", "s3://bucket/a/", "", "/", "folder/"]
)
def test_references_without_a_name_are_errors(ref: str) -> None:
    with pytest.raises(HubError, match="names no model"):
        hub_of(ref)


def test_schemes_without_a_hub_are_errors() -> None:
    with pytest.raises(ArtifactUnavailable, match="unsupported registry URI"):
        hub_of("ftp://host/a/b")


def test_hugging_face_needs_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ExtraRequired, match="hf:// needs huggingface_hub.*pip install"):
        HuggingFaceHub()


@pytest.mark.parametrize(("ref", "client"), [("s3://b/x", "s3fs"), ("gs://b/x", "gcsfs")])
def test_buckets_need_their_clients(
    saved: Path, monkeypatch: pytest.MonkeyPatch, ref: str, client: str
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(ExtraRequired, match=f"{ref[:5]} needs a client.*{client}"):
        push(saved, ref)


def test_descriptor_is_read_as_it_was_written(zoo: Path, saved: Path) -> None:
    push(saved, f"{zoo}/shelf@1.0")
    text = (zoo / "artifacts.yaml").read_bytes()
    (entry,) = parse_descriptor(text, "x")
    assert entry.version == "1.0"
    assert entry.license is None or isinstance(entry.license, str)
    assert b"sha256" in text


def test_hub_argument_is_for_its_references(saved: Path) -> None:
    from .server import KEY
    from .server import serve as serve_focoos

    with serve_focoos() as server:
        hub = FocoosHUB(KEY, server.url)
        assert hub_of("hub://m1", hub) == (hub, "m1")
        for ref in ("zoo/m1", "hf://a/b", "s3://b/c"):
            with pytest.raises(HubError, match="hub= is for hub:// references"):
                push(saved, ref, hub=hub)


def test_a_broken_entry_does_not_keep_others_from_pushing(saved: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    push(saved, f"{hub}/one")
    entry = next((hub / "models" / "one").glob("*.yaml"))
    entry.write_text("garbage")
    push(saved, f"{hub}/two")
    assert (pull(f"{hub}/two") / "model.onnx").read_bytes() == (saved / "model.onnx").read_bytes()


def test_a_pull_that_fails_keeps_what_was_there(saved: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    push(saved, f"{hub}/one")
    before = (pull(f"{hub}/one") / "model.onnx").read_bytes()
    for path in (hub / "models" / "one").rglob("model.onnx"):
        path.rename(path.with_name("away"))
    with pytest.raises(ArtifactUnavailable):
        pull(f"{hub}/one", cache=False)
    for path in (hub / "models" / "one").rglob("away"):
        path.rename(path.with_name("model.onnx"))
    assert (pull(f"{hub}/one") / "model.onnx").read_bytes() == before


def test_a_folder_is_no_name_of_a_model(saved: Path, tmp_path: Path) -> None:
    push(saved, f"{tmp_path}/hub/one")
    with pytest.raises(HubError, match="name the model in it"):
        push(saved, f"{tmp_path}/hub")
