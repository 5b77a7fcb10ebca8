"""deploy/kubernetes: manifests against Kubernetes' schemas, one another, and the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.deployment import safe_settings
from tests.deployment.container import USER
from tests.server import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
RELEASES = ("1.30", "1.33", "1.36")
WITHOUT_SCHEMA = ("Kustomization", "RayCluster")
"""Of other projects: their schemas come with neither Kubernetes nor a package."""


def documents() -> list[dict[str, Any]]:
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        found += [document for document in yaml.safe_load_all(path.read_text()) if document]
    return found


def of_kind(kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [each for each in documents() if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return found


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_manifest_is_what_its_schema_says(path: Any, release: str) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(document, release, strict=True)


def test_a_wrong_manifest_is_found() -> None:
    wrong = of_kind("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, RELEASES[0], strict=True)


def test_the_kustomization_names_every_file() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert {*listed["resources"], "kustomization.yaml"} == {path.name for path in FOLDER.glob("*.yaml")}


def test_selectors_and_references_meet() -> None:
    deployment = of_kind("Deployment")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind("NetworkPolicy", "imagebatch")["spec"]["podSelector"]["matchLabels"],
        *(of_kind("Service", name)["spec"]["selector"] for name in ("imagebatch", "imagebatch-https")),
    ]
    assert all(selector.items() <= labels for selector in selectors)
    assert of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (container,) = pod["spec"]["containers"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_every_secret_that_is_used_has_a_template() -> None:
    secrets = {each["metadata"]["name"] for each in documents() if each["kind"] == "Secret"}
    used = {name for document in documents() for name in secret_names(document)}
    assert used == secrets
    nodes = set(secret_names(of_kind("RayCluster")))
    assert nodes == {"imagebatch-objects", "imagebatch-ray"}, "a node has no business in the database"


def secret_names(value: Any) -> Iterator[str]:
    """Find the secrets that a part of a manifest refers to."""
    if isinstance(value, list):
        for each in value:
            yield from secret_names(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in ("secretRef", "secretKeyRef"):
                yield each["name"]
            elif key == "secretName":
                yield each
            else:
                yield from secret_names(each)


def test_the_settings_are_the_servers_and_safe() -> None:
    given = {**of_kind("ConfigMap")["data"], **of_kind("Secret", "imagebatch")["stringData"]}
    safe_settings.check(given)


def test_the_pod_is_confined_and_given_time_to_stop() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == USER
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["terminationGracePeriodSeconds"] > safe_settings.STOP_S


def test_probes_ask_ports_that_the_container_has() -> None:
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = of_kind("ConfigMap")["data"]
    assert settings["IMAGEBATCH_ADDRESS"].endswith(f":{ports['grpc']}")
    assert settings["IMAGEBATCH_HTTP_ADDRESS"].endswith(f":{ports['https']}")
    assert container["livenessProbe"]["httpGet"]["port"] in ports
    assert container["readinessProbe"]["exec"]["command"] == ["imagebatch", "health"]
    policy = of_kind("NetworkPolicy", "imagebatch")["spec"]["ingress"]
    assert {port["port"] for rule in policy for port in rule.get("ports", ())} == set(ports)


def test_the_ray_clusters_pods_are_what_kubernetes_says() -> None:
    """Check what of it has a schema: its pods. The rest is held to the names that KubeRay's API (ray.io/v1) has."""
    spec = of_kind("RayCluster")["spec"]
    assert spec.keys() <= {"enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"}
    assert spec["headGroupSpec"].keys() <= {"serviceType", "rayStartParams", "template"}
    for group in spec["workerGroupSpecs"]:
        assert group.keys() <= {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    policy = of_kind("NetworkPolicy", "imagebatch-ray")["spec"]["podSelector"]["matchLabels"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert policy.items() <= group["template"]["metadata"]["labels"].items()
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": group["template"]["spec"]}
        for release in RELEASES:
            kubernetes_validate.validate(pod, release, strict=True)
