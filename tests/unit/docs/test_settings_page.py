"""docs/settings.md is what the settings are."""

from __future__ import annotations

import settings_page


def test_the_page_is_what_the_settings_say() -> None:
    assert settings_page.PAGE.read_text() == settings_page.render(), "run `make settings` and commit docs/settings.md"
