"""Write NOTICE: the licenses of the Rust crates that are linked into the native module.

`python native/notice.py` writes the file, and `--check` only checks that it is up to date. Both
need cargo, which has the sources of the crates.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTICE = ROOT / "NOTICE"
HEAD = """Furiosa Models
Licensed under the Apache License, Version 2.0; see LICENSE.

The native module of this package contains the following crates. Those under several licenses are
used under the MIT license where they offer it, and under the Apache License, Version 2.0 otherwise.
"""
TEXTS = ("LICENSE-MIT", "LICENSE-MIT.txt", "LICENSE-MIT.md", "LICENSE", "LICENSE.md", "LICENSE.txt")


def linked() -> Iterator[dict[str, Any]]:
    """Yield the crates that the module links, without those that only build it."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    done = subprocess.run(command, cwd=ROOT / "native", capture_output=True, text=True, check=True)
    metadata = json.loads(done.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, pending = set(), [metadata["resolve"]["root"]]
    while pending:
        node = nodes[pending.pop()]
        for dependency in node["deps"]:
            is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            found = packages[dependency["pkg"]]
            is_macro = any("proc-macro" in target["kind"] for target in found["targets"])
            if is_normal and not is_macro and found["id"] not in seen:
                seen.add(found["id"])
                pending.append(found["id"])
    yield from sorted((packages[each] for each in seen), key=lambda package: package["name"])


def license_text(package: dict[str, Any]) -> str:
    """Return the text of a crate's license.

    Raises:
        FileNotFoundError: It is not in the sources of the crate.
    """
    folder = Path(package["manifest_path"]).parent
    for name in TEXTS:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").strip()
    msg = f"{package['name']} {package['version']} has no license file"
    raise FileNotFoundError(msg)


def notice() -> str:
    """Return the contents of NOTICE."""
    parts = [HEAD]
    for package in linked():
        title = f"{package['name']} {package['version']}: {package['license']}"
        parts.append(f"{'-' * 80}\n{title}\n\n{license_text(package)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    text = notice()
    if "--check" not in sys.argv:
        NOTICE.write_text(text, encoding="utf-8")
    elif not NOTICE.is_file() or NOTICE.read_text(encoding="utf-8") != text:
        sys.exit("NOTICE is out of date: run python native/notice.py")
