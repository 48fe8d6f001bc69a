"""Hugging Face, by its real client against a local server."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from furiosa_models import Classifier
from furiosa_models.artifacts.store import Store, hash_file
from furiosa_models.errors import ArtifactCorrupted, HubError
from furiosa_models.hub import HuggingFaceHub, hub_of

from .hf_server import TOKEN, Handler, HfServer, Repo, serve

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="huggingface_hub is not installed (the extra `remote`)"
)

# The client's own call, for which it is warned by its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

INFO = b"""{"name": "n", "model_family": "f", "classes": ["a"], "im_size": 8,
"task": "classification", "config": {}, "weights_uri": "model.onnx"}"""
WEIGHTS = bytes(range(256)) * 8192


@pytest.fixture(autouse=True)
def _plain_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use the plain HTTP routes, no token of the user, and no cache of the user."""
    from huggingface_hub import constants

    if hasattr(constants, "HF_HUB_DISABLE_XET"):
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HfServer]:
    """A server, as if `HF_ENDPOINT` had named it when the client was imported."""
    from huggingface_hub import constants, file_download, hf_api

    with serve() as running:
        form = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for module in (constants, file_download, hf_api):  # some versions copy the constants
            monkeypatch.setattr(module, "ENDPOINT", running.url, raising=False)
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", form, raising=False)
        yield running


@pytest.fixture
def hub(server: HfServer) -> HuggingFaceHub:
    del server
    return HuggingFaceHub(TOKEN)


def published(server: HfServer) -> Repo:
    repo = Repo()
    repo.commit({"model_info.json": INFO, "model.onnx": WEIGHTS, ".gitattributes": b"x"})
    server.repos["ann/shelf"] = repo
    return repo


def test_pushed_model_is_pulled_and_predicts(
    hub: HuggingFaceHub, server: HfServer, saved: Path, photos: list[Path]
) -> None:
    pushed = hub.push(saved, "ann/shelf", message="First")
    repo = server.repos["ann/shelf"]
    assert pushed.ref == f"hf://ann/shelf@{repo.commits[0][0]}"
    assert repo.messages == ["First"]
    folder = hub.pull("ann/shelf")
    for path in saved.iterdir():
        assert hash_file(path, "sha256") == hash_file(folder / path.name, "sha256")
    with Classifier(folder) as pulled, Classifier(saved) as original:
        assert pulled.predict(photos[0]) == original.predict(photos[0])


def test_model_card_describes_the_model(hub: HuggingFaceHub, server: HfServer, saved: Path) -> None:
    hub.push(saved, "ann/shelf")
    card = server.repos["ann/shelf"].commits[0][1]["README.md"].decode()
    _, header, text = card.split("---\n", 2)
    facts = yaml.safe_load(header)
    assert facts["library_name"] == "furiosa_models"
    assert facts["pipeline_tag"] == "image-classification"
    assert {"vision", "classification"} <= set(facts["tags"])
    assert "pull('hf://ann/shelf')" in text
    assert "224 x 224" in text
    assert "`tench" in text


def test_own_model_card_is_kept(
    hub: HuggingFaceHub, server: HfServer, saved: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "own"
    shutil.copytree(saved, folder)
    (folder / "README.md").write_text("mine")
    hub.push(folder, "ann/shelf")
    assert server.repos["ann/shelf"].commits[0][1]["README.md"] == b"mine"


def test_revision_is_pulled(hub: HuggingFaceHub, server: HfServer) -> None:
    repo = published(server)
    first = repo.commits[0][0]
    repo.commit({"model.onnx": b"newer"}, "2")
    assert (hub.pull("ann/shelf") / "model.onnx").read_bytes() == b"newer"
    assert (hub.pull(f"ann/shelf@{first}") / "model.onnx").read_bytes() == WEIGHTS
    with pytest.raises(HubError) as caught:
        hub.pull("ann/shelf@nothing")
    assert caught.value.status == 404


def test_only_new_commits_are_downloaded(hub: HuggingFaceHub, server: HfServer) -> None:
    repo = published(server)
    folder = hub.pull("ann/shelf")
    assert not list(Store().root.glob("partial/*"))
    server.requests.clear()
    assert hub.pull("ann/shelf") == folder
    assert len(server.requests) == 1
    repo.commit({"model.onnx": b"newer"}, "2")
    assert (hub.pull("ann/shelf") / "model.onnx").read_bytes() == b"newer"
    server.requests.clear()
    hub.pull("ann/shelf", cache=False)
    assert any("/resolve/" in request for request in server.requests)


def test_private_models_need_the_token(hub: HuggingFaceHub, server: HfServer, saved: Path) -> None:
    hub.push(saved, "ann/secret", private=True)
    assert server.repos["ann/secret"].is_private
    assert (hub.pull("ann/secret") / "model_info.json").is_file()
    with pytest.raises(HubError) as caught:
        HuggingFaceHub().pull("ann/secret", cache=False)
    assert caught.value.status == 404
    with pytest.raises(HubError, match="is private already"):
        hub.push(saved, "ann/secret", private=False)
    assert len(server.repos["ann/secret"].commits) == 1


@pytest.mark.parametrize("is_given", [True, False])
def test_wrong_token_is_an_error_that_hides_it(
    server: HfServer,
    saved: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    is_given: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong-canary")
    wrong = HuggingFaceHub("hf_wrong-canary" if is_given else None)

    def echoing(handler: Handler) -> bool:
        handler.send(403, f"{handler.headers}".encode())
        return True

    shown = [repr(wrong)]
    for fault in ([], [echoing]):
        server.faults[:] = fault
        with pytest.raises(HubError, match="check") as caught:
            wrong.push(saved, "ann/shelf")
        assert caught.value.status in (401, 403)
        shown += [str(caught.value), *traceback.format_exception(caught.value)]
    assert not [text for text in [*shown, caplog.text] if "hf_wrong-canary" in text]


def test_repository_without_a_saved_model_is_an_error(
    hub: HuggingFaceHub, server: HfServer
) -> None:
    server.repos["ann/other"] = Repo()
    server.repos["ann/other"].commit({"weights.bin": b"x"})
    with pytest.raises(HubError, match=r"has no model_info\.json: .* it has weights\.bin"):
        hub.pull("ann/other")


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../evil", "a\\..\\b"])
def test_files_stay_in_their_folder(hub: HuggingFaceHub, server: HfServer, name: str) -> None:
    published(server).commit({name: b"evil"}, "2")
    with pytest.raises(HubError, match="leaves"):
        hub.pull("ann/shelf")


@pytest.mark.parametrize("name", ["shelf", "a/b/c", "../x", "a/..", "a/b?x", "", "a/b@"])
def test_strange_names_are_refused(
    hub: HuggingFaceHub, server: HfServer, saved: Path, name: str
) -> None:
    with pytest.raises(HubError):
        hub.pull(name)
    with pytest.raises(HubError):
        hub.push(saved, name)
    assert server.requests == []


def dead(handler: Handler) -> bool:
    handler.connection.close()
    return True


def breaking_off(at: int, *others: Callable[[Handler], bool]) -> Callable[[Handler], bool]:
    """Return a fault that breaks the first download of weights off, before the other faults."""

    def fault(handler: Handler) -> bool:
        if not handler.route.startswith("GET /lfs/"):
            return False
        oid = handler.route.rpartition("/")[2]
        handler.server.faults[:] = others
        handler.send_file(handler.server.objects[oid], {"ETag": f'"{oid}"'}, at)
        return True

    return fault


def test_broken_download_is_resumed(hub: HuggingFaceHub, server: HfServer) -> None:
    large = WEIGHTS * 12  # the client writes pieces of 10 MB
    published(server).commit({"model.onnx": large}, "2")
    server.faults.append(breaking_off(15_000_000))
    with suppress(HubError):  # old clients give up, and continue at the next call
        hub.pull("ann/shelf")
    assert (hub.pull("ann/shelf") / "model.onnx").read_bytes() == large
    assert max(server.ranges) > 0


def test_next_pull_keeps_complete_files_after_a_server_that_died(
    hub: HuggingFaceHub, server: HfServer
) -> None:
    published(server)
    server.faults.append(breaking_off(1_000_000, dead))
    with pytest.raises(HubError):
        hub.pull("ann/shelf")
    assert not list(Store().root.glob("hub/*"))
    server.faults.clear()
    server.requests.clear()
    assert (hub.pull("ann/shelf") / "model.onnx").read_bytes() == WEIGHTS
    fetched = [request for request in server.requests if request.startswith("GET /ann/")]
    assert not [request for request in fetched if request.endswith("model_info.json")]


@pytest.mark.parametrize("name", ["model.onnx", "model_info.json"])
def test_wrong_hash_is_refused(hub: HuggingFaceHub, server: HfServer, name: str) -> None:
    published(server)

    def lying(handler: Handler) -> bool:
        large = name == "model.onnx"
        path = "GET /lfs/" if large else "GET /ann/shelf/resolve/"
        if not handler.route.startswith(path) or not (large or handler.route.endswith(name)):
            return False
        data = WEIGHTS if large else INFO
        handler.send_file(bytes(reversed(data)), {"ETag": '"x"', "X-Repo-Commit": "y"})
        return True

    server.faults.append(lying)
    with pytest.raises(ArtifactCorrupted, match=f"{name}: expected the hash"):
        hub.pull("ann/shelf")
    assert not list(Store().root.glob("hub/*"))
    server.faults.clear()
    assert (hub.pull("ann/shelf") / "model.onnx").read_bytes() == WEIGHTS


def test_offline_the_cache_is_used(
    hub: HuggingFaceHub, server: HfServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(server)
    folder = hub.pull("ann/shelf")
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    server.requests.clear()
    assert hub.pull("ann/shelf") == folder
    with pytest.raises(HubError, match="not in the cache, and FURIOSA_MODELS_OFFLINE"):
        hub.pull("ann/other")
    assert server.requests == []


def test_unreachable_server_is_an_error(hub: HuggingFaceHub, server: HfServer) -> None:
    published(server)
    server.faults.append(dead)
    with pytest.raises(HubError, match="cannot read ann/shelf"):
        hub.pull("ann/shelf")


def test_reference_means_this_hub() -> None:
    found, name = hub_of("hf://ann/shelf@v1")
    assert isinstance(found, HuggingFaceHub)
    assert name == "ann/shelf@v1"
