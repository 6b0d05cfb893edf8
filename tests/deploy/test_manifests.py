"""What the schemas cannot see: that the objects of an overlay fit together and do what
production needs."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from manifests import K8S, OVERLAYS, REPOSITORY, find, named, rendered, stacked

BINARY = Path(os.environ.get("DEJAVU_BINARY", REPOSITORY / "build" / "dejavu"))
STACKS = [("pvc", "gpu"), ("tls", "gpu"), ("gateway", "gpu"), ("tls", "pvc"), ("gateway", "pvc")]

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def pod_of(objects):
    return find(objects, "Deployment", "dejavu")["spec"]["template"]


def daemon_of(objects):
    return named(pod_of(objects)["spec"]["containers"], "dejavu")


def containers_of(pod):
    return pod["spec"]["containers"] + pod["spec"].get("initContainers", [])


def environment_of(objects):
    return {one["name"]: one for one in daemon_of(objects)["env"]}


def options(objects):
    """The daemon's TOML in the ConfigMap that the pod mounts."""
    volume = named(pod_of(objects)["spec"]["volumes"], "config")
    return tomllib.loads(find(objects, "ConfigMap", volume["configMap"]["name"])["data"]["dejavu.toml"])


def matches(selector, labels):
    return selector.items() <= labels.items()


def test_the_overlays_of_the_documentation_are_there():
    assert OVERLAYS == ["cpu", "gateway", "gpu", "pvc", "tls"]


@every_overlay
def test_probes(overlay):
    daemon = daemon_of(rendered(overlay))
    scheme = "HTTPS" if overlay == "tls" else None
    for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
        get = daemon[probe]["httpGet"]
        assert (get["path"], get.get("scheme")) == (path, scheme)
        assert get["port"] == (8443 if overlay == "tls" else "http")


@every_overlay
def test_a_pod_gets_time_to_drain(overlay):
    objects = rendered(overlay)
    command = daemon_of(objects)["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    grace = pod_of(objects)["spec"]["terminationGracePeriodSeconds"]
    assert grace > int(command[1]) + options(objects)["drain-timeout"]


@every_overlay
def test_scaling_and_disruption(overlay):
    objects = rendered(overlay)
    deployment = find(objects, "Deployment", "dejavu")
    assert "replicas" not in deployment["spec"]
    scaler = find(objects, "HorizontalPodAutoscaler", "dejavu")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "dejavu"}
    assert [one["pods"]["metric"]["name"] for one in scaler["metrics"]] == ["dejavu_requests_waiting"]
    assert find(objects, "PodDisruptionBudget", "dejavu")["spec"]["maxUnavailable"] == 1
    keys = {one["topologyKey"] for one in pod_of(objects)["spec"]["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


@every_overlay
def test_pods_run_without_rights(overlay):
    objects = rendered(overlay)
    for deployment in (one for one in objects if one["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers_of(pod):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
    assert pod_of(objects)["spec"]["automountServiceAccountToken"] is False


@every_overlay
def test_api_keys_come_from_a_secret_that_must_be_there(overlay):
    key = environment_of(rendered(overlay))["DEJAVU_API_KEY"]["valueFrom"]["secretKeyRef"]
    assert key == {"name": "dejavu-api-keys", "key": "api-keys", "optional": False}


@every_overlay
def test_every_selector_finds_the_pods(overlay):
    objects = rendered(overlay)
    labels = pod_of(objects)["metadata"]["labels"]
    found = 0
    for one in objects:
        spec = one.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        if one["kind"] == "ServiceMonitor" or "endpoint-picker" in one["metadata"]["name"]:
            continue
        if selector:
            assert matches(selector.get("matchLabels", selector), labels), one["metadata"]["name"]
            found += 1
    assert found == (6 if overlay == "gateway" else 5)


@every_overlay
def test_services_reach_ports_of_the_pod(overlay):
    objects = rendered(overlay)
    ports = [port for one in containers_of(pod_of(objects)) for port in one["ports"]]
    reachable = {port["name"] for port in ports} | {port["containerPort"] for port in ports}
    secure = overlay == "tls"
    expected = {
        "dejavu": ("https", "https") if secure else ("http", "http"),
        "dejavu-grpc": ("grpcs", "https") if secure else ("grpc", "kubernetes.io/h2c"),
    }
    for name, (port_name, protocol) in expected.items():
        service = find(objects, "Service", name)["spec"]
        assert [(port["name"], port["appProtocol"]) for port in service["ports"]] == [(port_name, protocol)]
        assert service["ports"][0]["targetPort"] in reachable
    assert find(objects, "Service", "dejavu-grpc")["spec"]["clusterIP"] == "None"
    policy = find(objects, "NetworkPolicy", "dejavu")["spec"]
    allowed = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert allowed == ({8443, 50443} if secure else {"http", "grpc"})
    assert policy["egress"] == []


@every_overlay
def test_the_service_monitor_finds_one_service_and_its_port(overlay):
    objects = rendered(overlay)
    monitor = find(objects, "ServiceMonitor", "dejavu")["spec"]
    services = [
        one
        for one in objects
        if one["kind"] == "Service" and matches(monitor["selector"]["matchLabels"], one["metadata"]["labels"])
    ]
    assert [one["metadata"]["name"] for one in services] == ["dejavu"]
    named(services[0]["spec"]["ports"], monitor["endpoints"][0]["port"])
    assert monitor["endpoints"][0].get("scheme", "http") == ("https" if overlay == "tls" else "http")


@every_overlay
def test_every_mount_has_its_volume_and_every_config_map_is_there(overlay):
    objects = rendered(overlay)
    pod = pod_of(objects)
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    mounted = {mount["name"] for one in containers_of(pod) for mount in one["volumeMounts"]}
    assert mounted == set(volumes)
    for volume in volumes.values():
        if "configMap" in volume:
            find(objects, "ConfigMap", volume["configMap"]["name"])


def test_gpu_updates_need_no_spare_gpu():
    objects = rendered("gpu")
    update = find(objects, "Deployment", "dejavu")["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxSurge": 0, "maxUnavailable": 1}
    resources = daemon_of(objects)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    assert environment_of(objects)["DEJAVU_DEVICE"]["value"] == "cuda"


def test_the_model_is_read_from_the_volume():
    objects = rendered("pvc")
    model = named(daemon_of(objects)["volumeMounts"], "model")
    assert environment_of(objects)["DEJAVU_MODEL"]["value"] == model["mountPath"]
    claim = named(pod_of(objects)["spec"]["volumes"], "model")["persistentVolumeClaim"]
    find(objects, "PersistentVolumeClaim", claim["claimName"])


def test_with_tls_the_daemon_itself_is_on_loopback():
    assert environment_of(rendered("tls"))["DEJAVU_HOST"]["value"] == "127.0.0.1"


def test_the_gateway_reaches_the_pool_and_its_picker():
    objects = rendered("gateway")
    pool = find(objects, "InferencePool", "dejavu")["spec"]
    ports = {port["containerPort"] for port in daemon_of(objects)["ports"] if port["name"] == "http"}
    assert {port["number"] for port in pool["targetPorts"]} == ports
    picker = pool["endpointPickerRef"]
    service = find(objects, "Service", picker["name"])["spec"]
    assert picker["port"]["number"] in {port["port"] for port in service["ports"]}
    template = find(objects, "Deployment", picker["name"])["spec"]["template"]
    assert matches(service["selector"], template["metadata"]["labels"])
    find(objects, "ServiceAccount", template["spec"]["serviceAccountName"])
    backend = find(objects, "HTTPRoute", "dejavu")["spec"]["rules"][0]["backendRefs"][0]
    find(objects, backend["kind"], backend["name"])


def test_the_picker_finds_its_metrics_under_the_names_it_knows():
    objects = rendered("gateway")
    assert environment_of(objects)["DEJAVU_METRICS_COMPAT"]["value"] == "true"
    assert all("DEJAVU_METRICS_COMPAT" not in environment_of(rendered(one)) for one in OVERLAYS if one != "gateway")
    picker = find(objects, "Deployment", "dejavu-endpoint-picker")["spec"]["template"]["spec"]["containers"][0]
    # None but the adapters' metric, which there is not, is given another name than the default.
    assert [arg for arg in picker["args"] if "-metric=" in arg] == ["--lora-info-metric="]


@pytest.mark.parametrize(("overlay", "base"), STACKS)
def test_overlays_stack(overlay, base, tmp_path):
    objects = stacked(overlay, base, tmp_path)
    both = environment_of(rendered(overlay)) | environment_of(rendered(base))
    assert environment_of(objects).keys() == both.keys()
    assert daemon_of(objects)["resources"] == daemon_of(rendered(base))["resources"]
    kinds = {one["kind"] for one in objects}
    assert kinds == {one["kind"] for name in (overlay, base) for one in rendered(name)}


def test_the_daemon_takes_the_configuration():
    """Every key of the TOML and every variable of every overlay is an option."""
    names = {name: one for overlay in OVERLAYS for name, one in environment_of(rendered(overlay)).items()}
    environment = {name: one.get("value", "key-1,key-2") for name, one in names.items()}
    done = subprocess.run(
        [BINARY, "serve", "--config", K8S / "base" / "dejavu.toml", "--print-config"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    set_by_environment = [line for line in done.stdout.splitlines() if "# DEJAVU_" in line]
    assert len(set_by_environment) == len(environment)
    assert 'served-model-name = ["dejavu"]' in done.stdout
