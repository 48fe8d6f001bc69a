from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from furiosa_models.data.archive import is_archive, unpack
from furiosa_models.errors import DatasetError, FuriosaModelsError

FILES = {"train/a.txt": b"a", "train/inner/b.txt": b"b" * 3000, "data.yaml": b""}
Write = Callable[[Path, Mapping[str, bytes]], None]


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)


def write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


BOTH = pytest.mark.parametrize(
    ("name", "write"), [("set.zip", write_zip), ("set.tar.gz", write_tar), ("set.gz", write_tar)]
)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@BOTH
def test_archives_are_unpacked_beside_themselves_once(
    tmp_path: Path, name: str, write: Write
) -> None:
    write(tmp_path / name, FILES)
    assert is_archive(name)
    folder = unpack(tmp_path / name)
    assert folder == tmp_path / "set"
    assert contents(folder) == FILES
    (folder / "data.yaml").write_text("changed by the user")
    assert unpack(tmp_path / name) == folder
    assert (folder / "data.yaml").read_text() == "changed by the user"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", name]


@BOTH
def test_the_only_folder_of_an_archive_is_the_data_set(
    tmp_path: Path, name: str, write: Write
) -> None:
    write(tmp_path / name, {f"shelves/{file}": b"x" for file in FILES} | {"__MACOSX/x": b""})
    assert unpack(tmp_path / name) == tmp_path / "set" / "shelves"


@BOTH
@pytest.mark.parametrize(
    "member", ["../out.txt", "/tmp/out.txt", "a/../../out", "a\\..\\out", "C:/x"]
)
def test_paths_outside_the_folder_are_refused(
    tmp_path: Path, name: str, write: Write, member: str
) -> None:
    write(tmp_path / name, {"good.txt": b"x", member: b"bad"})
    with pytest.raises(DatasetError, match="not a path in a folder: not unpacked"):
        unpack(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not (tmp_path.parent / "out.txt").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        with tarfile.open(path, "w:gz") as tar:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        with pytest.raises(DatasetError, match="a link or a device: not unpacked"):
            unpack(path)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as zipped:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        zipped.writestr(member, "/etc/passwd")
    with pytest.raises(DatasetError, match="a link or a device: not unpacked"):
        unpack(tmp_path / "set.zip")


def test_an_archive_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("large")
        info.size = 1 << 60
        assert tar.fileobj is not None
        tar.fileobj.write(info.tobuf())
    with pytest.raises(DatasetError, match=r"takes \d+ bytes when unpacked|is damaged"):
        unpack(path)


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        unpack(tmp_path / "set.zip")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), value=st.binary(min_size=1, max_size=8), which=st.booleans())
def test_damaged_archives_leave_nothing_behind(
    place: float, value: bytes, which: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    path = folder / ("set.zip" if which else "set.tar.gz")
    (write_zip if which else write_tar)(path, FILES)
    data = bytearray(path.read_bytes())
    start = int(place * (len(data) - len(value)))
    data[start : start + len(value)] = value
    path.write_bytes(data)
    try:
        unpack(path)
    except FuriosaModelsError:
        assert [each.name for each in folder.iterdir()] == [path.name]
    for each in sorted(folder.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
