from __future__ import annotations

import os
import sys

import pytest

from furiosa_models.cli.table import fitted, print_json, print_table, short

ROWS = [["ResNet50", "1000 classes of ImageNet, 224x224"], ["YOLOv5s", "80 classes"]]


def test_pipe_gets_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["model", "what it is"], ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "model     what it is",
        "ResNet50  1000 classes of ImageNet, 224x224",
        "YOLOv5s   80 classes",
    ]


def test_lines_are_wrapped_to_the_terminal_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((26, 24)))
    print_table(["model", "what it is"], ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == ["ResNet50  1000 classes of", "          ImageNet,", "          224x224"]
    assert max(map(len, lines[1:])) <= 26


def test_a_program_without_console_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    print_table(["model", "what it is"], ROWS)


def test_widest_columns_shrink_first() -> None:
    assert fitted([8, 20, 30], 100) == [8, 20, 30]
    assert fitted([8, 20, 30], 42) == [8, 15, 15]
    assert fitted([8, 8], 3) == [4, 4]  # narrower columns would be unreadable


def test_table_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["file", "size"], [])
    assert capsys.readouterr().out == "file  size\n"


def test_json_keeps_non_ascii_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "é"})
    assert '"é"' in capsys.readouterr().out


def test_one_line_error_contains_the_reasons() -> None:
    lines = [
        "no set of weights of Net can be had; alternatives: weights='coco':",
        "  Net/published (mAP 0.3): net.onnx (7 bytes) is unreachable; every source was tried:",
        "    https://example.com/net: the server is unknown",
        "  Net/other: unreachable within the last hour, so not tried again",
    ]
    assert short(OSError("\n".join(lines))) == (
        "no set of weights of Net can be had; alternatives: weights='coco' (the server is "
        "unknown; unreachable within the last hour, so not tried again). "
        "Set FURIOSA_MODELS_TRACEBACK=1 for details."
    )
