"""Hugging Face as a hub, by its own client, `huggingface_hub`."""

from __future__ import annotations

import hashlib
import inspect
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from .. import settings
from .._lazy import require
from ..artifacts.descriptor import File
from ..artifacts.sources import redact
from ..artifacts.sources.base import describe_error
from ..artifacts.store import hash_file
from ..errors import ArtifactCorrupted, HubError
from ..registry.descriptor import inside
from ..saved import INFO
from .base import Pushed, check_name, files_of, info_of, split_version
from .cache import PulledModel
from .key import ApiKey
from .model_card import CARD, card_of

__all__ = ["HuggingFaceHub"]

_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIT_DIGITS = 40
_ADVICE = {
    401: ": check the token (HF_TOKEN)",
    403: ": check what the token (HF_TOKEN) may access",
    409: ": choose another name",
    429: ": wait, or ask for a higher quota",
}


class HuggingFaceHub:
    """Hugging Face, or the server that `HF_ENDPOINT` names.

    Args:
        token: Access token; by default that of the client (`HF_TOKEN`, or of its login).

    Attributes:
        endpoint: URL of the server.

    Raises:
        ExtraRequired: `huggingface_hub` is not installed.
        HubError: The token is malformed.
    """

    def __init__(self, token: str | ApiKey | None = None) -> None:
        require("huggingface_hub", "hf:// needs huggingface_hub", extra="remote")
        from huggingface_hub import HfApi, get_token

        if token is None and (own := get_token()):
            token = ApiKey(own, "HF_TOKEN, or the login of the client")
        self._key = ApiKey(token, "token") if isinstance(token, str) else token
        self._api: Any = HfApi(token=None if self._key is None else self._key.reveal())
        self.endpoint = redact(str(self._api.endpoint))

    def __repr__(self) -> str:
        return f"HuggingFaceHub({self.endpoint!r})"

    def push(
        self, folder: Path, name: str, *, private: bool | None = None, message: str | None = None
    ) -> Pushed:
        """Push a saved model as one commit, with a model card; see `Hub.push`.

        The repository is created if there is none.

        Args:
            folder: Folder of the saved model. Its `README.md`, if any, is the model card.
            name: `OWNER/NAME`, or `OWNER/NAME@BRANCH` of a branch that exists.
            private: Whether the new repository is private.
            message: Message of the commit.

        Raises:
            HubError: The folder is not a saved model; the server refuses or fails; or the
                repository is there already, and not as `private` says.
        """
        from huggingface_hub import CommitOperationAdd

        repo, branch = _parsed(name)
        info = info_of(folder)
        files = {path.name: path for path in files_of(folder)}
        card = card_of(folder, info, f"hf://{name}")
        with self._errors(f"push to {repo}"):
            options = {} if private is None else {"private": private}
            self._api.create_repo(repo, exist_ok=True, **options)
            is_private = bool(self._api.model_info(repo).private)
        if private not in (None, is_private):
            state = "private" if is_private else "public"
            msg = f"hf://{repo} is {state} already: change that in its settings"
            raise HubError(msg)
        contents: dict[str, Any] = {**files, CARD: card}
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in contents.items()
        ]
        with self._errors(f"push to {repo}"):
            commit = self._api.create_commit(
                repo,
                operations,
                commit_message=message or f"Add {info.name}",
                revision=branch,
            )
        version = str(commit.oid)
        return Pushed(f"hf://{repo}@{version}", version)

    def pull(self, name: str, *, cache: bool = True) -> Path:
        """Return the folder of a model in the cache, verified by its hashes; see `Hub.pull`.

        The server is asked which commit is the newest; offline, what was pulled last is used.

        Args:
            name: `OWNER/NAME`, or `OWNER/NAME@REVISION`, a branch, tag or commit.
            cache: Whether files that are in the cache already are used.

        Raises:
            HubError: The server has no such model, refuses or fails; it is not a saved model; or
                the network is off and it is not in the cache.
            ArtifactCorrupted: The server delivers other bytes than it states the hash of.
        """
        repo, revision = _parsed(name)
        pulled = PulledModel("hf", self.endpoint, name)
        with pulled.lock() as held:
            if settings.is_offline():
                if cache and (folder := pulled.find()) is not None:
                    return folder
                msg = f"hf://{name} is not in the cache, and FURIOSA_MODELS_OFFLINE is set"
                raise HubError(msg)
            with self._errors(f"read {repo}"):
                found = self._api.model_info(repo, revision=revision)
            commit = str(found.sha)
            if cache and (folder := pulled.find(commit)) is not None:
                return folder
            names = _names(f"hf://{name}", [str(each.rfilename) for each in found.siblings or ()])
            scratch = pulled.partial if held else pulled.partial.with_name(uuid.uuid4().hex)
            files = self._download(repo, commit, names, scratch, pulled)
            return pulled.add(commit, files)

    def _download(
        self, repo: str, commit: str, names: list[str], scratch: Path, pulled: PulledModel
    ) -> list[File]:
        """Download files of a commit into the store.

        What an interrupted download left in `scratch` is continued by the client.
        """
        fetch = self._api.hf_hub_download
        options: dict[str, Any] = {"revision": commit, "cache_dir": scratch}
        resumes = inspect.signature(fetch).parameters.get("resume_download")
        if resumes is not None and resumes.default is False:  # later versions resume by themselves
            options["resume_download"] = True
        with self._errors(f"download {repo}"):
            paths = {name: Path(fetch(repo, name, **options)) for name in names}
        try:
            for path in paths.values():
                _check_blob(path)
            return [pulled.put(name, path) for name, path in paths.items()]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Raise the errors of the client, of which there are many kinds, as `HubError`."""
        try:
            yield
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = describe_error(error, self.endpoint)
            text = f"cannot {what}: {self.endpoint}: {reason}{_ADVICE.get(status or 0, '')}"
            raise HubError(text if self._key is None else self._key.hide(text), status) from None


def _parsed(name: str) -> tuple[str, str | None]:
    """Return repository and revision of `OWNER/NAME[@REVISION]`.

    Raises:
        HubError: It has another form.
    """
    repo, revision = split_version(name)
    owner, slash, model = repo.partition("/")
    if not slash or "/" in model:
        msg = f"expected hf://OWNER/NAME or hf://OWNER/NAME@REVISION, got hf://{name}"
        raise HubError(msg)
    check_name(owner, "the owner of a model")
    check_name(model, "the name of a model")
    return repo, revision


def _names(ref: str, names: list[str]) -> list[str]:
    """Return the names of the files of a saved model.

    Raises:
        HubError: There is no `model_info.json`, or a name leaves the folder.
    """
    kept = [name for name in names if not PurePosixPath(name).name.startswith(".")]
    if INFO not in kept:
        shown = ", ".join(kept[:8]) or "nothing"
        msg = f"{ref} has no {INFO}: expected a saved model; it has {shown}"
        raise HubError(msg)
    try:
        return [inside(name) for name in kept]
    except ValueError as error:
        msg = f"{ref}: {error}"
        raise HubError(msg) from error


def _check_blob(path: Path) -> None:
    """Check a file of the client's cache, where files have the names of their hashes.

    Raises:
        ArtifactCorrupted: The hash is another one.
    """
    blob = path.resolve()
    if not _BLOB.fullmatch(blob.name):  # a file system without links, which hides the hash
        return
    if len(blob.name) == _GIT_DIGITS:
        data = blob.read_bytes()
        digest = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    else:
        digest = hash_file(blob, "sha256")
    if digest != blob.name:
        msg = f"{path.name}: expected the hash {blob.name}, got {digest}; nothing was kept"
        raise ArtifactCorrupted(msg)
