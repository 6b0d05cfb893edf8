"""Kubernetes objects as a real kustomize renders them."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
K8S = REPOSITORY / "deploy" / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())


def kustomize(folder):
    """All objects of a kustomization. KUBECTL names another kubectl than the one in PATH."""
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    assert kubectl, "kubectl is not installed (Debian package kubernetes-client)"
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@functools.cache
def rendered(overlay):
    return kustomize(K8S / "overlays" / overlay)


def stacked(overlay, base, folder):
    """An overlay on another base than ../cpu, as the comment in its kustomization says."""
    tree = folder / "k8s"
    shutil.copytree(K8S, tree)
    file = tree / "overlays" / overlay / "kustomization.yaml"
    text = file.read_text()
    assert "- ../cpu" in text
    file.write_text(text.replace("- ../cpu", f"- ../{base}"))
    return kustomize(file.parent)


def find(objects, kind, name):
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def named(objects, name):
    """The element of a list of a manifest (containers, ports, volumes …) with this name."""
    found = [one for one in objects if one["name"] == name]
    assert len(found) == 1, f"{len(found)} of {name}"
    return found[0]
