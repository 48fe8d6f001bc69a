"""Every document that a command prints in these tests is checked against its schema."""

from __future__ import annotations

import importlib
import json
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner

from furiosa_models.cli import COMMANDS, cli


def closed(schema: Any) -> Any:
    """Return a schema that permits no keys but those that it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if "properties" in schema else found


@pytest.fixture(scope="session")
def schemas() -> dict[str, Any]:
    printed = CliRunner().invoke(cli, ["schema"])
    return {name: closed(schema) for name, schema in json.loads(printed.stdout).items()}


@pytest.fixture(autouse=True)
def documents_fit_their_schemas(
    schemas: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Check documents as they are printed; return the names of the commands that printed one."""
    from furiosa_models.cli.table import print_json

    checked: list[str] = []

    def print_checked(document: Any) -> None:
        context: click.Context | None = click.get_current_context()
        names: list[str] = []
        while context is not None and context.command is not cli:
            names.insert(0, str(context.command.name))
            context = context.parent
        jsonschema.validate(json.loads(json.dumps(document)), schemas[" ".join(names)])
        checked.append(" ".join(names))
        print_json(document)

    for name in COMMANDS:
        module = importlib.import_module(f"furiosa_models.cli.{name.replace('-', '_')}_")
        if hasattr(module, "print_json") and name != "schema":
            monkeypatch.setattr(module, "print_json", print_checked)
    return checked
