"""Make furiosa_models/artifacts/artifacts.yaml, and .json, from sets.yaml and published.json.

Run it from the repository's root: `python artifacts/generate.py`. A test holds that the committed
descriptors are what this makes; `--check` says so with the exit code. Both hold the same: YAML is
the form of furiosa-artifacts, JSON is read in a tenth of the time.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TARGET = HERE.parent / "furiosa_models" / "artifacts" / "artifacts.yaml"
JSON_TARGET = TARGET.with_suffix(".json")
HEADER = "# Made by artifacts/generate.py; edit artifacts/sets.yaml instead.\n"

Published = dict[str, Any]


def generate() -> dict[Path, str]:
    """Text of each of the descriptor's files."""
    published = json.loads((HERE / "published.json").read_text())
    sets = yaml.safe_load((HERE / "sets.yaml").read_text())["artifacts"]
    artifacts = [expand(item, published) for item in sets]
    text = yaml.safe_dump({"artifacts": artifacts}, sort_keys=False, width=1000)
    rows = ",\n".join(json.dumps(item) for item in yaml.safe_load(text)["artifacts"])
    return {TARGET: HEADER + text, JSON_TARGET: f'{{"artifacts": [\n{rows}\n]}}\n'}


def expand(item: dict[str, Any], published: Published) -> dict[str, Any]:
    """An entry of sets.yaml with its shorthands written out.

    `folder` stands for the sources of files that lie in it under their names, `published` for the
    files that were published under a name.
    """
    if folder := item.pop("folder", None):
        item["files"] = [file | {"sources": [f"{folder}/{file['name']}"]} for file in item["files"]]
    name = item.pop("published", None)
    if name is None:
        return item
    origin = published["origin"][name]
    (onnx,) = [file for file in origin if file.endswith(".onnx")]
    (ranges,) = [file for file in origin if file.endswith(".yaml")]
    fields = {
        "files": [describe(onnx, origin[onnx], published)],
        "tensor_ranges": describe(ranges, origin[ranges], published),
        "enf": programs(name, "enf", published),
        "dfg": programs(name, "dfg", published),
    }
    return item | fields


def describe(name: str, facts: dict[str, Any], published: Published) -> dict[str, Any]:
    """A published file: its identity, and where the bucket has it."""
    md5, endpoint = facts["md5"], published["endpoint"]
    paths = [f"{md5[:2]}/{md5[2:]}", f"files/md5/{md5[:2]}/{md5[2:]}"]
    sources = [endpoint + path for path in paths]
    return {"name": name, "size": facts["size"], "md5": md5, "sources": sources}


def programs(name: str, kind: str, published: Published) -> dict[str, dict[str, Any]]:
    """A model's NPU programs by version of the compiler and number of processing elements.

    The `truncated` ones of 0.8, whose postprocessor is compiled in, are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    pattern = re.compile(rf"{re.escape(name)}(?:_int8)?_warboy_([12]pe)\.{kind}")
    for version, files in sorted(published[kind].items()):
        for file, facts in files.items():
            if match := pattern.fullmatch(file):
                entry = describe(file, facts, published)
                found.setdefault(version, {})[match[1]] = entry
    return found


def main() -> int:
    """Write the descriptor, or with `--check` compare it; the exit code."""
    texts = generate()
    if "--check" not in sys.argv[1:]:
        for path, text in texts.items():
            path.write_text(text)
            print(f"wrote {path}")
        return 0
    stale = [str(path) for path, text in texts.items() if path.read_text() != text]
    print(f"out of date, run artifacts/generate.py: {', '.join(stale)}" if stale else "up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
