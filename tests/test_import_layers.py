"""The street of modules stays as it is drawn: see ``tool.importlinter`` in ``pyproject.toml``."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import django_otp_channels

PACKAGE = Path(django_otp_channels.__file__).resolve().parent
CONFIGURATION = Path(__file__).resolve().parent.parent / "pyproject.toml"

# What a backend imports when it is first used: its SDK, and the transport that all SDKs are given,
# since the HTTP library below it is installed with them.
LATE_IN_BACKENDS = {
    "boto3", "botocore", "firebase_admin", "google", "requests", "twilio", ".transport"
}  # fmt: skip


@pytest.fixture
def _loggers_stay_on() -> Iterator[None]:
    """The linter sets up logging for itself, which switches every other logger off."""
    loggers = [
        each for each in logging.root.manager.loggerDict.values() if hasattr(each, "disabled")
    ]
    before = [(each, each.disabled) for each in loggers]
    yield
    for logger, disabled in before:
        logger.disabled = disabled


@pytest.mark.usefixtures("_loggers_stay_on")
@pytest.mark.skipif(
    os.environ.get("OTP_CHANNELS_EXPECT_WHEEL") == "1",
    reason="the checkout is what the contracts are about",
)
def test_each_module_imports_only_from_the_layers_below_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = lint_imports(
        config_filename=str(CONFIGURATION), cache_dir=str(tmp_path), is_debug_mode=True
    )
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def late_imports(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Each import inside a function: the function's name, and the modules it imports."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                yield function.name, {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                name = "." * node.level + module if node.level else module.partition(".")[0]
                yield function.name, {name}


def is_allowed(path: Path, function: str, modules: set[str]) -> bool:
    if path.parent.name == "backends":
        return modules <= LATE_IN_BACKENDS
    return path.name == "apps.py" and function == "ready"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_imports_stand_at_the_top(path: Path) -> None:
    """Only ``AppConfig.ready()`` and a backend that is first used import anything later."""
    late = late_imports(ast.parse(path.read_text(encoding="utf-8")))
    assert [found for found in late if not is_allowed(path, *found)] == []
