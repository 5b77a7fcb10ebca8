"""The application without a server: help, versions, plugged-in verbs, missing dependencies."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from imagebatch_client.cli import app as application
from imagebatch_client.cli import plugins

VERBS = [
    "submit",
    "watch",
    "wait",
    "status",
    "results",
    "list",
    "pause",
    "resume",
    "update",
    "cancel",
    "retry",
    "delete",
    "operations",
    "upload",
    "download",
    "info",
]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_help_names_every_verb_and_exit_code() -> None:
    text = CliRunner().invoke(application.app, ["--help"]).stdout
    for verb in VERBS:
        assert f"\n  {verb} " in text
    for code in ("0 done", "1 the", "2 wrong", "3 the", "4 the", "130 "):
        assert code in " ".join(text.split())


def test_the_version_needs_no_verb() -> None:
    result = CliRunner().invoke(application.app, ["--version"])
    assert (result.stdout, result.exit_code) == (f"imagebatch {version('imagebatch-client')}\n", 0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_by_example(verb: str) -> None:
    result = CliRunner().invoke(application.app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"\n    imagebatch {verb}" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["submit", "x.jpg"], ["status"], ["nosuch"], ["results", "b", "--format", "xml"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(application.app, arguments).exit_code == 2


def test_the_environment_is_checked_before_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_TLS", "maybe")
    result = CliRunner().invoke(application.app, ["list"])
    assert (result.exit_code, result.stderr) == (2, "imagebatch: IMAGEBATCH_TLS: 'maybe' is neither 1 nor 0\n")


def test_ctrl_c_before_anything_was_begun_is_no_traceback() -> None:
    done = python(
        "import sys\n"
        "class Stopping:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'grpc':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stopping())\n"
        "from imagebatch_command import main\nmain()"
    )
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


def test_help_of_the_client_loads_no_code_of_plugged_in_verbs() -> None:
    done = python(
        "import sys\nfrom typer.testing import CliRunner\nfrom imagebatch_client.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([n for n in sys.modules if n.startswith('imagebatch_server')])"
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_dependencies_the_command_says_what_to_install(missing: str) -> None:
    done = python(
        "import sys\nimport importlib.util as u\nfind = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name == {missing!r} else find(name, *a)\n"
        "from imagebatch_client.cli.main import main\nmain()"
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"imagebatch: the command line needs {missing}; install with: pip install 'imagebatch-client[cli]'\n"
    )


@pytest.fixture
def plugged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    (tmp_path / "third_party_verbs.py").write_text(
        "import typer\n"
        "def greet(name: str, address: str = 'none', twice: bool = False) -> None:\n"
        "    '''Greet somebody.'''\n"
        "    typer.echo(f'hello {name} {address} {twice}')\n"
        "    raise typer.Exit(7)\n"
    )
    (tmp_path / "needs_more.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    verbs = {"greet": "third_party_verbs:greet", "heavy": "needs_more:run"}
    found = {name: EntryPoint(name, value, plugins.GROUP) for name, value in verbs.items()}
    monkeypatch.setattr(plugins, "plugged_in", lambda: found)
    app = typer.Typer(cls=application.Verbs, callback=application.connection, rich_markup_mode=None)
    plugins.add_to(app)
    return app


def test_a_plugged_in_verb_gets_its_own_options(plugged_in: typer.Typer) -> None:
    result = CliRunner().invoke(plugged_in, ["greet", "you", "--address", "home", "--twice"])
    assert (result.stdout, result.exit_code) == ("hello you home True\n", 7)


def test_a_plugged_in_verb_has_its_own_help(plugged_in: typer.Typer) -> None:
    result = CliRunner().invoke(plugged_in, ["greet", "--help"])
    assert result.exit_code == 0
    assert "Greet somebody." in result.stdout
    assert "--twice" in result.stdout
    assert "Comes from third_party_verbs." in CliRunner().invoke(plugged_in, ["--help"]).stdout


@pytest.mark.parametrize("verb", ["serve", "demo"])
def test_the_servers_verbs_say_what_to_install_where_there_is_only_the_client(
    plugged_in: typer.Typer, verb: str
) -> None:
    result = CliRunner().invoke(plugged_in, [verb, "--port", "1"])
    assert (result.stderr, result.exit_code) == (
        f"imagebatch {verb} needs the server; install with: pip install imagebatch\n", 2
    )  # fmt: skip


def test_a_verb_whose_packages_are_missing_says_what_to_install(plugged_in: typer.Typer) -> None:
    result = CliRunner().invoke(plugged_in, ["heavy"])
    assert result.exit_code == 2
    assert result.stderr == (
        "imagebatch heavy needs the module a_package_that_nobody_has, which is not installed; "
        "repair needs_more with: pip install --force-reinstall needs_more\n"
    )
