"""Schemas of JSON documents, and the option `--quiet`."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from furiosa_models.cli import COMMANDS, EXIT_CODES, cli, print_error
from furiosa_models.cli.documents import DOCUMENTS
from furiosa_models.errors import WeightsError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = importlib.import_module(f"furiosa_models.cli.{name.replace('-', '_')}_").command
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


def test_every_command_with_json_has_a_schema() -> None:
    with_json = [
        name
        for name, command in commands().items()
        if any(parameter.name == "as_json" for parameter in command.params)
    ]
    assert sorted(with_json) == sorted(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_are_valid(name: str) -> None:
    schema = json.loads(run("schema", *name.split()).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"error": {"type": "WeightsError", "message": "x"}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"something": 1}, schema)


def test_documents_are_checked(documents_fit_their_schemas: list[str]) -> None:
    run("list", "--json")
    run("desc", "YOLOv5s", "--json")
    run("cache", "ls", "--json")
    assert documents_fit_their_schemas == ["list", "desc", "cache ls"]


def test_command_without_json_is_a_usage_error() -> None:
    result = run("schema", "serve")
    assert result.exit_code == 2
    assert "'serve' prints no JSON" in result.output


def test_printed_errors_fit_the_schema(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["furiosa-models", "info", "x", "--json"])
    print_error(WeightsError("no weights"))
    printed = capsys.readouterr()
    jsonschema.validate(json.loads(printed.out), json.loads(run("schema", "info").stdout))
    assert printed.err == "Error: no weights [WeightsError]\n"


def test_terminals_are_told_the_next_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    print_error(WeightsError("no weights"))
    assert "furiosa-models explain WeightsError" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*COMMANDS, "cache ls", "hub models"])
def test_every_command_can_be_quiet(name: str) -> None:
    assert "--quiet" in run(*name.split(), "--help").output


def test_quiet_leaves_out_suggestions(photos: list[Path], tmp_path: Path) -> None:
    words: list[object] = ["export", "efficientnet-lite0", "--weights", "random", "-o"]
    loud, quiet = run(*words, tmp_path / "a"), run(*words, tmp_path / "b", "--quiet")
    assert "Run it: " in loud.output
    assert "Run it: " not in quiet.output
    assert str(tmp_path / "b") in quiet.output
    out = tmp_path / "photos" / "out"
    out.mkdir(parents=True)
    shutil.copy(photos[1], out.parent)
    again: list[object] = [
        "predict",
        "efficientnet-lite0",
        "--weights=random",
        out.parent,
        "-o",
        out,
    ]
    run(*again)
    assert "Note: 1 images of earlier results" in run(*again).stderr
    assert "Note" not in run(*again, "-q").stderr


def test_quiet_hides_progress_bars_only_for_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_PROGRESS", "1")
    seen: list[str] = []

    def list_none(**_: object) -> list[str]:
        seen.append(os.environ["FURIOSA_MODELS_PROGRESS"])
        return []

    monkeypatch.setattr("furiosa_models.cli.list_.list_models", list_none)
    for options in (["--quiet"], []):
        run("list", *options)
    assert seen == ["0", "1"]


def test_help_has_the_exit_codes() -> None:
    text = " ".join(run("--help").output.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in text
