"""KubeRay's RayJob: against the schema of your cluster, or against the fields known here.

KubeRay's own schema is no part of a package that pip can install. `RAY_JOB` holds what its API
reference says of the fields that are Ray's; what is inside a pod is Kubernetes' to check. With the
schema of a real cluster (`kubectl get crd rayjobs.ray.io -o yaml`) everything is checked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from smil_ray.config.reading import read_yaml
from smil_ray.errors import ConfigError
from smil_ray.orchestration.launch.plan import ClusterPlan, NodeGroup, unfilled
from smil_ray.orchestration.launch.schema import check_schema

TEXT, NUMBER, WHOLE, YES_NO = ({"type": t} for t in ("string", "number", "integer", "boolean"))
TEXTS = {"type": "object", "additionalProperties": TEXT}
ANY = {"type": "object"}


def _closed(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


CONTAINER = {"type": "object", "required": ["name", "image"]}
POD = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["containers"],
            "properties": {"containers": {"type": "array", "minItems": 1, "items": CONTAINER}},
        }
    },
}
HEAD = _closed(
    ("template",),
    template=POD,
    rayStartParams=TEXTS,
    headService=ANY,
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]},
    enableIngress=YES_NO,
    resources=TEXTS,
    labels=TEXTS,
)
WORKERS = _closed(
    ("groupName", "template"),
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    idleTimeoutSeconds=WHOLE,
    numOfHosts=WHOLE,
    rayStartParams=TEXTS,
    template=POD,
    scaleStrategy=ANY,
    suspend=YES_NO,
    resources=TEXTS,
    labels=TEXTS,
)
CLUSTER = _closed(
    ("headGroupSpec",),
    rayVersion=TEXT,
    authOptions=_closed(
        mode={"enum": ["token", "disabled"]}, secretName=TEXT, enableK8sTokenAuth=YES_NO
    ),
    enableInTreeAutoscaling=YES_NO,
    autoscalerOptions=_closed(
        idleTimeoutSeconds=WHOLE,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        version={"enum": ["v1", "v2"]},
        image=TEXT,
        imagePullPolicy=TEXT,
        resources=ANY,
        securityContext=ANY,
        env={"type": "array"},
        envFrom={"type": "array"},
        volumeMounts={"type": "array"},
    ),
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": WORKERS},
    gcsFaultToleranceOptions=ANY,
    headServiceAnnotations=TEXTS,
    suspend=YES_NO,
    managedBy=TEXT,
)
SPEC = _closed(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=TEXT,
    entrypointNumCpus=NUMBER,
    entrypointNumGpus=NUMBER,
    entrypointResources=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    metadata=TEXTS,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate=ANY,
    submitterConfig=ANY,
    shutdownAfterJobFinishes=YES_NO,
    ttlSecondsAfterFinished=WHOLE,
    activeDeadlineSeconds=WHOLE,
    backoffLimit=WHOLE,
    deletionStrategy=ANY,
    suspend=YES_NO,
    managedBy=TEXT,
    rayClusterSpec=CLUSTER,
)
RAY_JOB = _closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"enum": ["ray.io/v1"]},
    kind={"enum": ["RayJob"]},
    metadata={"type": "object", "required": ["name"]},
    spec=SPEC,
)


def check_ray_job(path: Path, values: dict[str, Any], crd: Path | None = None) -> ClusterPlan:
    """Return what `kubectl apply` would start.

    Raises:
        ConfigError: KubeRay would refuse the file, or `crd` is not its schema.
    """
    check_schema(path, values, RAY_JOB)
    if crd is not None:
        check_schema(path, values, _schema_of_crd(crd))
    cluster = values["spec"]["rayClusterSpec"]
    groups = [NodeGroup("head", 1, 1, _machine(cluster["headGroupSpec"]))]
    for number, group in enumerate(cluster.get("workerGroupSpecs", [])):
        least, most = group.get("minReplicas", 0), group.get("maxReplicas", 1)
        if not least <= group.get("replicas", least) <= most:
            raise ConfigError(
                f"{path}: spec.rayClusterSpec.workerGroupSpecs.{number}.replicas",
                expected=f"minReplicas to maxReplicas, {least} to {most}",
                found=group["replicas"],
            )
        groups.append(NodeGroup(group["groupName"], least, most, _machine(group)))
    return ClusterPlan(
        schema="the fields of KubeRay's RayJob" + ("" if crd is None else f" and {crd}"),
        groups=groups,
        start=f"kubectl apply -f {path}",
        problems=[*unfilled(path.read_text(encoding="utf-8")), *_problems(cluster)],
        charge="what your Kubernetes cluster takes for these pods",
    )


def _machine(group: Mapping[str, Any]) -> str:
    container = group["template"]["spec"]["containers"][0]
    asked = container.get("resources", {}).get("requests", {})
    return ", ".join(f"{name} {value}" for name, value in asked.items()) or "no request"


def _problems(cluster: Mapping[str, Any]) -> list[str]:
    problems = []
    if cluster.get("authOptions", {}).get("mode") != "token":
        problems.append(
            "spec.rayClusterSpec.authOptions: whoever reaches the pods can run code on them; set "
            "{mode: token} (KubeRay 1.5.1 or later)"
        )
    if cluster.get("rayVersion") != ray.__version__:
        problems.append(
            f"spec.rayClusterSpec.rayVersion: expected {ray.__version__}, as installed here; "
            f"found {cluster.get('rayVersion')}"
        )
    return problems


def _schema_of_crd(crd: Path) -> dict[str, Any]:
    """Return the JSON schema in a CustomResourceDefinition, closed against misspelled fields."""
    versions = read_yaml(crd).get("spec", {}).get("versions", [])
    for version in versions:
        if version.get("name") == "v1":
            return _without_unknown_fields(version["schema"]["openAPIV3Schema"])
    raise ConfigError(
        f"{crd}: spec.versions",
        expected="a CustomResourceDefinition with version v1",
        found=", ".join(str(v.get("name")) for v in versions) or "none",
        remedy="make it by `kubectl get crd rayjobs.ray.io -o yaml`",
    )


def _without_unknown_fields(schema: Any) -> Any:
    """Return a schema in which fields that are not named are errors, as `kubectl apply` has it."""
    if isinstance(schema, list):
        return [_without_unknown_fields(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _without_unknown_fields(value) for key, value in schema.items()}
    is_object = closed.get("type") == "object" and isinstance(closed.get("properties"), dict)
    if is_object and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed
