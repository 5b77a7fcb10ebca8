"""The server's verbs, as far as they get without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from imagebatch_server.app.serve import serve
from imagebatch_server.app.store import store


def test_one_wrong_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        serve(workers="x")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--workers (IMAGEBATCH_WORKERS): ")


def test_compact_makes_nothing_where_nothing_is(tmp_path: Path) -> None:
    result = CliRunner().invoke(store, ["compact", "--data-dir", str(tmp_path / "new")])
    assert result.exit_code == 1
    assert f"there is no database in {tmp_path}/new; give its folder with --data-dir" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_default_data_folder_is_in_the_help() -> None:
    assert "default: imagebatch-data" in " ".join(CliRunner().invoke(store, ["compact", "--help"]).stdout.split())
