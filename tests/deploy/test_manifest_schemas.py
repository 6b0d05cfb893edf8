"""Every object of every overlay against its schema: core kinds against those of Kubernetes itself
(kubernetes-validate), custom resources against those in schemas/. One test each."""

import json
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from manifests import OVERLAYS, REPOSITORY, rendered
from referencing import Registry, Resource

# The oldest release that the manifests support (native sidecars), and the newest known here.
VERSIONS = ("1.29.0", kubernetes_validate.latest_version())
SCHEMAS = {file.name: json.loads(file.read_text()) for file in (Path(__file__).parent / "schemas").glob("*.json")}
REGISTRY = Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items())
CUSTOM = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): "service-monitor.json",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "prometheus-rule.json",
    ("inference.networking.k8s.io/v1", "InferencePool"): "inference-pool.json",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "http-route.json",
}


def custom_validator(manifest):
    schema = SCHEMAS[CUSTOM[manifest["apiVersion"], manifest["kind"]]]
    return jsonschema.Draft202012Validator(schema, registry=REGISTRY)


def cases(custom):
    return [
        pytest.param(one, id=f"{overlay}-{one['kind']}-{one['metadata']['name']}")
        for overlay in OVERLAYS
        for one in rendered(overlay)
        if ((one["apiVersion"], one["kind"]) in CUSTOM) == custom
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", cases(custom=False))
def test_core_object(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("manifest", cases(custom=True))
def test_custom_resource(manifest):
    custom_validator(manifest).validate(manifest)


def test_the_rules_as_a_custom_resource():
    prometheus = REPOSITORY / "deploy" / "prometheus"
    printed = subprocess.run([prometheus / "operator-rules.sh"], capture_output=True, text=True, check=True).stdout
    manifest = yaml.safe_load(printed)
    custom_validator(manifest).validate(manifest)
    assert manifest["spec"] == yaml.safe_load((prometheus / "dejavu.rules.yml").read_text())


def test_a_wrong_core_object_is_refused():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": [{"prot": 1}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("manifest", cases(custom=True))
def test_a_custom_resource_with_an_unknown_field_is_refused(manifest):
    wrong = {**manifest, "spec": {**manifest["spec"], "unknownField": 1}}
    with pytest.raises(jsonschema.ValidationError):
        custom_validator(manifest).validate(wrong)
