"""docs/operations.md against what it speaks of."""

import re

import pytest
import yaml
from daemon import run_dejavu
from manifests import REPOSITORY

TEXT = (REPOSITORY / "docs" / "operations.md").read_text()


def test_every_alert_has_its_section_and_every_section_its_alert():
    rules = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "dejavu.rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    assert set(re.findall(r"^### (\w+)$", TEXT, re.M)) == alerts


def test_every_option_exists():
    known = set(re.findall(r"`(--[a-z-]+)`", run_dejavu("--help-markdown").stdout)) | {"--print-config"}
    elsewhere = {"--now", "--time"}  # of systemctl and docker
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - known - elsewhere == set()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_every_link_leads_somewhere(target):
    assert (REPOSITORY / "docs" / target).exists()


def test_every_panel_that_is_named_is_on_the_dashboard():
    dashboard = (REPOSITORY / "deploy" / "grafana" / "dashboards" / "dejavu.json").read_text()
    for panel in (
        "Preemptions/s",
        "Time in queue",
        "Duration of a step",
        "KV cache",
        "CPUs used",
        "Agreement with dense",
        "Dense fallbacks",
    ):
        assert panel in TEXT
        assert f'"title": "{panel}' in dashboard
