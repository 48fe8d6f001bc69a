"""A data set on the hub of Focoos."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ..artifacts.store import Store, recipe_key
from ..artifacts.transfer import best_effort_lock
from ..errors import HubError
from ..output import new_file
from .base import check_name
from .client import ApiClient
from .download import download, download_uri
from .records import DatasetPreview, DatasetSpec
from .upload import upload

__all__ = ["RemoteDataset"]

_ARCHIVES = (".zip", ".gz")


class RemoteDataset:
    """A data set on the hub.

    Args:
        ref: Its reference.
        api_client: Client of the hub.

    Attributes:
        ref: Its reference.
        metadata: What the hub tells about it.

    Raises:
        HubError: The hub has no such data set, or fails.
    """

    def __init__(self, ref: str, api_client: ApiClient) -> None:
        self.ref = check_name(ref, "the reference of a data set")
        self._client = api_client
        self.metadata = self.get_info()

    def __repr__(self) -> str:
        return f"RemoteDataset({self.ref!r}, {self.metadata.name!r})"

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    @property
    def task(self) -> str:
        """Its task, a value of `Task`."""
        return self.metadata.task

    @property
    def layout(self) -> str:
        """Its layout, a value of `DatasetLayout`."""
        return self.metadata.layout

    def get_info(self) -> DatasetPreview:
        """Return what the hub tells about the data set.

        Raises:
            HubError: The hub fails.
        """
        what = f"read the data set {self.ref}"
        return DatasetPreview.of(self._client.get(f"datasets/{self.ref}", what))

    def download(self, path: str | os.PathLike[str]) -> str:
        """Download the data set into a folder, and return the path of its archive.

        Raises:
            HubError: The hub fails.
            FuriosaModelsError: The archive is there already, or the folder cannot be written.
        """
        what = f"download the data set {self.ref}"
        uri = download_uri(self._client, f"datasets/{self.ref}/download", what)
        ending = PurePosixPath(urlsplit(uri).path).suffix.lower()
        target = Path(path) / f"{self.ref}{ending if ending in _ARCHIVES else '.zip'}"
        key = recipe_key("hub", "dataset", self._client.host_url, self.ref)
        root = Store().root
        with new_file(target) as file, best_effort_lock(root / "locks" / f"{key}.lock") as held:
            name = f"hub-{key}" if held else f"hub-{uuid.uuid4().hex}"
            with download(uri, root / "partial" / name, what) as complete:
                shutil.copyfile(complete, file)
        return str(target)

    def upload(self, path: str | os.PathLike[str]) -> DatasetSpec | None:
        """Upload the archive of the data set, and return its size as the hub counts it.

        Args:
            path: A zip file.

        Raises:
            HubError: The file is not a zip file, or the hub does not take it.
        """
        archive = Path(path)
        if archive.suffix.lower() != ".zip" or not archive.is_file():
            msg = f"expected a zip file with the data set, got {archive}"
            raise HubError(msg)
        what = f"upload the data set {self.ref}"
        upload(self._client, f"datasets/{self.ref}", archive, what)
        self._client.post(f"datasets/{self.ref}/complete-upload", what)
        self.metadata = self.get_info()
        return self.metadata.spec

    download_data = download
    upload_data = upload
