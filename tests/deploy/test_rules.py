"""The Prometheus configuration and rules, by Prometheus' own tool."""

import json
import subprocess
from pathlib import Path

import yaml
from manifests import REPOSITORY

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
TESTS = Path(__file__).with_name("dejavu.rules.test.yml")


def promtool(*args):
    done = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration():
    promtool("check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yml")


def test_the_rules():
    promtool("check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "dejavu.rules.yml")


def test_the_rules_do_what_their_tests_say():
    promtool("test", "rules", TESTS)


def test_every_alert_is_seen_to_fire_and_to_be_quiet():
    rules = yaml.safe_load((PROMETHEUS / "dejavu.rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    fired, quiet = set(), set()
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for case in test.get("alert_rule_test", []):
            (fired if case["exp_alerts"] else quiet).add(case["alertname"])
    # These two list daemons within their limit beside one that is not, at the same time.
    assert alerts - quiet <= {"DejavuNotReady", "DejavuSlowTokens"}
    assert fired == alerts


def test_the_dashboard_is_what_its_script_writes(tmp_path):
    file = tmp_path / "dejavu.json"
    subprocess.run([REPOSITORY / "tools" / "make_dashboard.py", file], check=True)
    shipped = REPOSITORY / "deploy" / "grafana" / "dashboards" / "dejavu.json"
    assert json.loads(file.read_text()) == json.loads(shipped.read_text()), "run tools/make_dashboard.py"
