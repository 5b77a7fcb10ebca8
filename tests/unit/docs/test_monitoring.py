"""Alerts and dashboard of deploy/monitoring: sound by Prometheus' own tool, and told of in docs/operations.md."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.conftest import promtool

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "imagebatch.rules.yaml"
TESTS = MONITORING / "imagebatch.rules.test.yaml"
DASHBOARD = MONITORING / "dashboard.json"
PAGE = ROOT / "docs" / "operations.md"


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def queries() -> list[str]:
    """List what the dashboard asks, with its variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [query.replace("$instance", ".*").replace("$__rate_interval", "5m") for query in asked]


def run(*arguments: str | Path) -> str:
    ran = subprocess.run(
        [promtool() or "", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_each_alert_has_its_paragraph_and_each_paragraph_its_alert() -> None:
    told_of = re.findall(r"^#### (Imagebatch\w+)\n\n\w", PAGE.read_text(), re.MULTILINE)
    assert told_of == alerts()


def test_each_alert_leads_to_its_paragraph() -> None:
    assert re.findall(r"runbook: docs/operations\.md#(\w+)", RULES.read_text()) == [name.lower() for name in alerts()]


def test_each_alert_is_seen_to_fire_and_not_to() -> None:
    seen = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?", TESTS.read_text())
    assert {name for name, nothing in seen if nothing} == set(alerts())
    assert {name for name, nothing in seen if not nothing} == set(alerts())


@pytest.mark.promtool
def test_the_alerts_are_sound() -> None:
    assert f"{len(alerts())} rules found" in run("check", "rules", RULES)


@pytest.mark.promtool
def test_the_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in run("test", "rules", TESTS)


@pytest.mark.promtool
def test_what_the_dashboard_asks_is_sound(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries())]
    asked = tmp_path / "asked.yaml"
    asked.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))  # JSON is YAML
    assert f"{len(rules)} rules found" in run("check", "rules", asked)
