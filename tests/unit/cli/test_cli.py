from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner, Result

from furiosa_models.artifacts import zoo
from furiosa_models.cli import COMMANDS, cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert name in result.output
        assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_list_of_commands_matches_their_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.help or "").partition("\n\n")[0] == COMMANDS[name]


def test_version() -> None:
    assert run("--version").output.startswith("furiosa-models 0.")


def test_list_prints_text_and_json() -> None:
    assert all(name in run("list").output for name in zoo())
    models = json.loads(run("list", "--json").output)
    assert [model["model"] for model in models] == list(zoo())


@pytest.mark.parametrize("arguments", [["detect"], ["-t", "detect"], ["--task", "detection"]])
def test_list_accepts_a_task_as_argument_or_option(arguments: list[str]) -> None:
    models = json.loads(run("list", *arguments, "--json").output)
    assert {model["task"] for model in models} == {"object_detection"}


def test_unknown_task_is_a_usage_error() -> None:
    assert run("list", "juggle").exit_code == 2


def test_desc_fetches_nothing() -> None:
    result = run("desc", "ssd-mobilenet")
    assert result.exit_code == 0
    assert "published" in result.output
    described = json.loads(run("desc", "ssd-mobilenet", "--json").output)
    assert described["model"] == "SSDMobileNet"
    assert described["weights"][0]["cached"] is False


def test_fetch_needs_models_or_all() -> None:
    assert run("fetch").exit_code == 2
    assert run("fetch", "SSDMobileNet", "--all").exit_code == 2
