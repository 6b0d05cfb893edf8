"""Image, compose file and systemd unit: what can be seen of them without an engine and an init."""

import re
import subprocess
import tomllib

import pytest
import yaml
from daemon import BINARY, clean_environment
from manifests import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
# In every Debian 12 before anything is installed.
ESSENTIAL = {"libc6", "libgcc-s1"}


def output_of(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def runtime_packages():
    return set(
        output_of("bash", "-c", '. scripts/lib.sh; printf "%s\\n" "${runtime_packages[@]}"', cwd=REPOSITORY).split()
    )


def linked_packages():
    """The Debian packages of the libraries that the built daemon loads. Those of a CUDA toolkit are
    no packages: the image takes them out of the toolkit."""
    files = re.findall(r"=> ((?!/usr/local/)/\S+)", output_of("ldd", BINARY))
    found = set()
    for file in files:
        path = file if file.startswith("/usr/") else f"/usr{file}"
        for name in (path, path.removeprefix("/usr")):
            done = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
            if done.returncode == 0:
                found.add(done.stdout.split(":")[0])
                break
        else:
            raise AssertionError(f"no package has {file}")
    return found


def test_the_image_installs_the_libraries_that_the_daemon_loads_and_no_others():
    assert linked_packages() - ESSENTIAL == runtime_packages()


def test_models_of_the_hub_are_kept_in_a_volume_that_the_daemons_user_may_write():
    image = (DEPLOY / "Dockerfile").read_text()
    home = re.search(r"\bHF_HOME=(\S+)", image).group(1)
    user, group = re.search(r"^USER (\d+):(\d+)$", image, re.M).groups()
    made = image.index(f"install -d -o {user} -g {group} -m 0750 {home}\n")
    assert made < image.index(f"\nVOLUME {home}\n") < image.index("\nUSER ")
    mounted = {
        target: name for name, target in (one.split(":")[:2] for one in compose("compose.yaml")["dejavu"]["volumes"])
    }
    assert mounted == {home: "models"}


def compose(*files):
    args = [one for file in files for one in ("-f", DEPLOY / file)]
    return yaml.safe_load(output_of("docker-compose", *args, "config", env=clean_environment()))["services"]


def test_compose_brings_the_daemon_and_its_dashboard():
    services = compose("compose.yaml")
    assert services.keys() == {"dejavu", "prometheus", "grafana"}
    for service in services.values():
        for port in service["ports"]:
            assert str(port).startswith("127.0.0.1:"), port
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    mounted = dict(volume.split(":")[1::-1] for volume in services["grafana"]["volumes"])
    folder, name = home.rsplit("/", 1)
    assert (DEPLOY / mounted[folder] / name).exists()
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/dejavu.yml").read_text())
    assert provider["providers"][0]["options"]["path"] == folder
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_compose_gives_prometheus_the_shipped_configuration():
    volumes = compose("compose.yaml")["prometheus"]["volumes"]
    mounted = dict(volume.split(":")[:2] for volume in volumes if volume.startswith("/"))
    assert set(mounted.values()) == {
        f"/etc/prometheus/{name}" for name in ("prometheus.yml", "dejavu.rules.yml", "targets.yml")
    }
    for file in mounted:
        assert (DEPLOY / file).is_file()
    targets = yaml.safe_load((DEPLOY / "compose" / "targets.yml").read_text())
    assert targets == [{"targets": ["dejavu:8000"]}]


def test_compose_with_a_gpu():
    daemon = compose("compose.yaml", "compose.cuda.yaml")["dejavu"]
    assert (daemon["image"], daemon["build"]["target"]) == ("dejavu:cuda", "cuda")
    device = daemon["deploy"]["resources"]["reservations"]["devices"][0]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_compose_waits_for_the_drain():
    daemon = compose("compose.yaml")["dejavu"]
    shown = output_of(BINARY, *daemon["command"], "--print-config", env=clean_environment())
    drain = int(re.search(r"^drain-timeout = (\d+)", shown, re.M).group(1))
    assert int(daemon["stop_grace_period"].removesuffix("s")) > drain


@pytest.fixture(scope="module")
def unit():
    return DEPLOY / "systemd" / "dejavu.service"


def test_systemd_reads_the_unit(unit, tmp_path):
    text = unit.read_text()
    assert "ExecStart=/usr/bin/dejavu " in text
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/usr/bin/dejavu", str(BINARY)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, [])


def test_the_unit_is_hardened(unit):
    output_of("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)


def test_the_unit_waits_for_the_drain(unit):
    options = tomllib.loads((unit.parent / "dejavu.toml").read_text())
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.M).group(1))
    assert stop > options["drain-timeout"]


def test_the_daemon_takes_the_units_configuration(unit):
    shown = output_of(
        BINARY, "serve", "--config", unit.parent / "dejavu.toml", "--print-config", env=clean_environment()
    )
    options = tomllib.loads((unit.parent / "dejavu.toml").read_text())
    for name in options:
        assert re.search(rf"^{name} = .*dejavu\.toml", shown, re.M), name
