"""Completion that asks no server; `tests/integration/client/test_completion.py` has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebatch_client.cli import completion
from imagebatch_client.types import BatchStatus


def test_choices_are_completed_by_their_beginning() -> None:
    assert completion.values(BatchStatus)("c") == ["completed", "cancelled"]
    assert completion.values(BatchStatus)("x") == []


def test_profiles_are_completed_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.toml"
    monkeypatch.setenv("IMAGEBATCH_CONFIG", str(config))
    assert completion.profiles("") == []
    config.write_text("[profiles.home]\n[profiles.default]\n[profiles.work]\n")
    assert completion.profiles("") == ["default", "home", "work"]
    assert completion.profiles("h") == ["home"]
    config.write_text("no TOML")
    assert completion.profiles("") == []
