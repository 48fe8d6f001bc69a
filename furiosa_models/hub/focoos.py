"""The hub of Focoos, under its names: `FocoosHUB`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from .. import settings
from ..enums import ModelFamily, ModelStatus, Task
from ..errors import HubError
from ..model_info import ModelInfo
from ..saved import INFO, STATE
from ..training.reports import Reporter
from .base import Pushed, check_name, files_of, info_of, split_version
from .cache import PulledModel
from .client import ApiClient
from .download import download, download_uri
from .key import ApiKey
from .records import DatasetPreview, HubSyncLocalTraining, ModelPreview, RemoteModelInfo, User
from .remote_dataset import RemoteDataset
from .remote_model import UPLOADED, RemoteModel
from .training_report import TrainingReport

__all__ = ["FocoosHUB"]

logger = logging.getLogger(__name__)

_Made = TypeVar("_Made")
_CONFLICT = 409


class FocoosHUB:
    """The hub of Focoos.

    The API key is sent to the hub only, and shown nowhere. Requests that fail for a reason that may
    go away are repeated. Every failure is a `HubError`, which is a `ValueError` as in Focoos.

    Args:
        api_key: The API key; by default that of `FOCOOS_API_KEY`, or of the key file.
        host_url: URL of the hub; by default that of `DEFAULT_HOST_URL`.

    Attributes:
        host_url: URL of the hub.

    Raises:
        HubError: There is no key or no URL, or the hub refuses the key or does not answer.
    """

    def __init__(self, api_key: str | ApiKey | None = None, host_url: str | None = None) -> None:
        self._client = ApiClient(api_key, host_url)
        self.host_url = self._client.host_url
        self._user = None if settings.is_offline() else self.get_user_info()

    def __repr__(self) -> str:
        return f"FocoosHUB({self.host_url!r})"

    @property
    def user_info(self) -> User:
        """The user of the key, whom the constructor has asked for unless it was offline."""
        if self._user is None:
            self._user = self.get_user_info()
        return self._user

    def get_user_info(self) -> User:
        """Return the user of the API key, with what may be used.

        Raises:
            HubError: The hub refuses or fails.
        """
        return User.of(self._client.get("user/", "read the user of the API key"))

    def list_remote_models(self) -> list[ModelPreview]:
        """Return the models of the user.

        Raises:
            HubError: The hub refuses or fails.
        """
        return self._list("models/", "list the models", ModelPreview.of)

    def get_model_info(self, model_ref: str) -> RemoteModelInfo:
        """Return what the hub tells about a model.

        Raises:
            HubError: The hub has no such model, refuses or fails.
        """
        check_name(model_ref, "the reference of a model")
        return RemoteModelInfo.of(
            self._client.get(f"models/{model_ref}", f"read the model {model_ref}")
        )

    def get_remote_model(self, model_ref: str) -> RemoteModel:
        """Return a model of the hub, which can run there and tells about its training.

        Raises:
            HubError: The hub has no such model, refuses or fails.
        """
        return RemoteModel(model_ref, self._client)

    def download_model_pth(self, model_ref: str, skip_if_exists: bool = True) -> str:
        """Return the path of the weights of a model, in the cache.

        Args:
            model_ref: Reference of the model.
            skip_if_exists: Whether weights that are in the cache already are used.

        Raises:
            HubError: The hub has no such model, refuses or fails.
        """
        return str(self.pull(model_ref, cache=skip_if_exists) / STATE)

    def list_remote_datasets(self, include_shared: bool = False) -> list[DatasetPreview]:
        """Return the data sets of the user.

        Args:
            include_shared: Whether to add those that others share.

        Raises:
            HubError: The hub refuses or fails.
        """
        paths = ["datasets/", *(["datasets/shared"] if include_shared else [])]
        return [
            preview
            for path in paths
            for preview in self._list(path, "list the data sets", DatasetPreview.of)
        ]

    def get_remote_dataset(self, ref: str) -> RemoteDataset:
        """Return a data set of the hub.

        Raises:
            HubError: The hub has no such data set, refuses or fails.
        """
        return RemoteDataset(ref, self._client)

    def new_model(self, model_info: ModelInfo) -> RemoteModel | None:
        """Create a model on the hub, without weights, and return it.

        Args:
            model_info: Description of the model.

        Returns:
            The model; None for models with keypoints, which the hub does not take, as of Focoos.

        Raises:
            HubError: The hub has a model of this name, refuses or fails.
        """
        if model_info.task is Task.KEYPOINT or model_info.model_family is ModelFamily.RTMO:
            logger.warning("%s is not created: the hub takes no keypoints", model_info.name)
            return None
        what = f"create the model {model_info.name}"
        values = model_info.to_dict()
        document = {
            name: values[name]
            for name in ("name", "description", "config", "task", "classes", "im_size")
        }
        document |= {
            "focoos_model": model_info.focoos_model or values["model_family"],
            "train_args": values["train_args"],
            "focoos_version": model_info.focoos_version,
        }
        found = self._client.post("models/local-model", what, repeat="undone", json=document)
        ref = found.get("ref") if isinstance(found, Mapping) else None
        if not isinstance(ref, str):
            msg = f"cannot {what}: expected its ref, got {str(found)[:60]!r}"
            raise HubError(msg)
        return RemoteModel(ref, self._client)

    def reporter(self) -> Reporter:
        """Return what reports a training run to the hub: `Model.train(..., hub=hub)` calls it."""
        return TrainingReport(self)

    # --- Folders of saved models ----------------------------------------------------------------

    def push(
        self, folder: Path, name: str, *, private: bool | None = None, message: str | None = None
    ) -> Pushed:
        """Push a saved model as a new model; see `Hub.push`.

        Args:
            folder: Folder of the saved model.
            name: Name of the model.
            private: None: models of this hub are their user's.
            message: None: models of this hub have no versions.

        Raises:
            HubError: The folder is not a saved model, or has keypoints; the hub has a model of this
                name, refuses or fails; or an option is set.
        """
        if private is not None or message is not None:
            msg = "the hub of Focoos has neither private= nor message=: leave them out"
            raise HubError(msg)
        info = info_of(folder)
        files = [path for path in files_of(folder) if path.suffix in UPLOADED]
        if not any(path.name == STATE for path in files):
            msg = f"{folder} has no {STATE}, which the hub needs: save a model with a checkpoint"
            raise HubError(msg)
        info.name = check_name(name, "the name of a model")
        model = self.new_model(info)
        if model is None:
            msg = f"{name} is not pushed: the hub of Focoos takes no models with keypoints"
            raise HubError(msg)
        for path in files:
            model.upload(path)
        done = HubSyncLocalTraining(ModelStatus.TRAINING_COMPLETED, info.training_info)
        model.sync_local_training_job(done, folder)
        return Pushed(f"hub://{model.ref}")

    def pull(self, name: str, *, cache: bool = True) -> Path:
        """Return the folder of a model in the cache: `model_info.json` and `model_final.pth`.

        A model that is in the cache is used without asking the hub, also offline.

        Args:
            name: Reference of the model.
            cache: Whether a model that is in the cache already is used.

        Raises:
            HubError: The hub has no such model, refuses or fails; or the network is off and the
                model is not in the cache.
        """
        ref, version = split_version(name)
        check_name(ref, "the reference of a model")
        if version is not None:
            msg = f"models of the hub of Focoos have no versions: expected hub://{ref}"
            raise HubError(msg)
        pulled = PulledModel("focoos", self.host_url, ref)
        with pulled.lock() as held:
            if cache and (folder := pulled.find()) is not None:
                return folder
            self._client.check_online(f"download the model {ref}, which is not in the cache")
            partial = pulled.partial
            return self._pull(ref, pulled, partial if held else partial.with_name(uuid.uuid4().hex))

    def _pull(self, ref: str, pulled: PulledModel, partial: Path) -> Path:
        what = f"download the model {ref}"
        info = self.get_model_info(ref).to_model_info(weights_uri=STATE)
        uri = download_uri(self._client, f"models/{ref}/download?format=pth", what)
        with download(uri, partial, what) as complete:
            weights = pulled.put(STATE, complete)
        description = partial.with_name(f"{partial.name}.json")
        info.dump_json(description)
        try:
            files = [pulled.put(INFO, description), weights]
        finally:
            description.unlink(missing_ok=True)
        return pulled.add(info.updated_at or "", files)

    def _list(self, path: str, what: str, make: Callable[[Any], _Made]) -> list[_Made]:
        rows = self._client.get(path, what)
        if not isinstance(rows, list):
            msg = f"cannot {what}: expected a list, got {type(rows).__name__}"
            raise HubError(msg)
        return [make(row) for row in rows]
