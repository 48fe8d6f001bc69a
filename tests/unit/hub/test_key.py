"""The API key: where it is from, and that it is shown nowhere."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import string
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.errors import HubError
from furiosa_models.hub import ApiClient, FocoosHUB
from furiosa_models.hub.key import ApiKey, find_key

from .server import KEY, FocoosServer, Handler
from .test_focoos import info


def test_key_is_found_in_argument_variable_and_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("of-the-file\n")
    path.chmod(0o600)
    monkeypatch.setenv("FOCOOS_API_KEY_FILE", str(path))
    assert find_key().reveal() == "of-the-file"
    monkeypatch.setenv("FOCOOS_API_KEY", "of-the-variable")
    assert find_key().reveal() == "of-the-variable"
    assert find_key("of-the-argument").reveal() == "of-the-argument"


def test_missing_key_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(HubError, match="pass api_key=, set FOCOOS_API_KEY, or write the key to"):
        find_key()
    monkeypatch.setenv("FOCOOS_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(HubError, match="none cannot be read"):
        find_key()


def test_missing_url_is_an_error() -> None:
    with pytest.raises(HubError, match="pass host_url=, or set DEFAULT_HOST_URL"):
        FocoosHUB(KEY)
    for url in ("localhost", "ftp://x", "http://", "http://[", "http://x:port"):
        with pytest.raises(HubError, match="URL"):
            FocoosHUB(KEY, url)


def test_unencrypted_hub_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for url in ("https://hub.example/v0", "http://localhost:8501/v0", "http://[::1]/v0"):
        ApiClient(KEY, url)
    assert caplog.text == ""
    ApiClient(KEY, "http://hub.example/v0")
    assert "http://hub.example/v0 is not encrypted" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="files have no mode")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_key_file_that_others_can_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(mode)
    monkeypatch.setenv("FOCOOS_API_KEY_FILE", str(path))
    with pytest.raises(HubError, match=f"has the mode {mode:04o}.*chmod 600") as caught:
        find_key()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("text", ["", "abc", "a b c d e", "key\r\nX-Admin: 1", "k\u00e9yk\u00e9y"])
def test_texts_that_are_no_keys_are_refused(text: str) -> None:
    with pytest.raises(HubError, match="is not an API key") as caught:
        ApiKey(text)
    assert text.strip() == "" or text not in str(caught.value)


def test_key_hides_itself() -> None:
    key = ApiKey(KEY)
    shown = [str(key), repr(key), f"{key}", f"{[key]}", ascii(key)]
    assert not any(KEY in text for text in shown)
    for takes in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            takes(key)


@given(st.text(string.printable, max_size=80), st.integers(0, 400))
def test_no_part_of_the_key_is_shown(text: str, length: int) -> None:
    shown = ApiKey(KEY).hide(f"{text}{KEY}{text} {KEY}"[:length])
    assert KEY[:8] not in shown


def failures(hub: FocoosHUB, folder: Path) -> Iterator[Callable[[], object]]:
    """Yield calls that fail while the hub fails."""
    photo = np.zeros((8, 8, 3), np.uint8)
    model, dataset = hub.get_remote_model("m1"), hub.get_remote_dataset("d1")
    (folder / "set.zip").write_bytes(b"PK")
    (folder / "log.txt").write_bytes(b"line")
    yield hub.get_user_info
    yield hub.list_remote_models
    yield lambda: hub.list_remote_datasets(include_shared=True)
    yield lambda: hub.get_model_info("m1")
    yield lambda: hub.get_remote_model("m1")
    yield lambda: hub.get_remote_dataset("d1")
    yield lambda: hub.pull("m1", cache=False)
    yield lambda: hub.new_model(info())
    yield lambda: model.infer(photo)
    yield model.train_info
    yield model.train_logs
    yield model.metrics
    yield lambda: model.upload(folder / "log.txt")
    yield lambda: dataset.download(folder / "sets")
    yield lambda: dataset.upload(folder / "set.zip")


def echoing(status: int, **headers: str) -> Callable[[Handler], bool]:
    """Return a fault that answers with the headers of the request, as debugging servers do."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(handler: Handler) -> bool:
        handler.send(status, f"<p>{handler.headers}</p>".encode(), named)
        return True

    return fault


def hanging_up(handler: Handler) -> bool:
    handler.connection.close()
    return True


@pytest.mark.parametrize(
    "fault",
    [
        echoing(401),
        echoing(403),
        echoing(500),
        echoing(200),
        echoing(200, Content_Type="text/html"),
        echoing(302, Location=f"http://localhost:1/{KEY}?key={KEY}"),
        echoing(200, Content_Encoding=KEY),
        hanging_up,
    ],
    ids=["401", "403", "500", "text", "html", "redirect", "encoding", "hang-up"],
)
def test_no_failure_shows_the_key(
    hub: FocoosHUB,
    server: FocoosServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[Handler], bool],
) -> None:
    calls = list(failures(hub, tmp_path))
    server.faults.append(fault)
    caplog.set_level(logging.DEBUG)
    shown = [repr(hub), str(hub), repr(hub.user_info), repr(hub.get_remote_model)]
    for call in calls:
        with pytest.raises(HubError) as caught:
            call()
        shown += [str(caught.value), repr(caught.value), repr(caught.value.args)]
        shown += traceback.format_exception(caught.value)
        shown.append(repr(pickle.loads(pickle.dumps(caught.value))))
    assert not [text for text in [*shown, caplog.text] if KEY[:8] in text]
