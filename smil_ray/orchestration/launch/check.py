"""Validate a cluster file of any kind offline: no credential, no cluster, no network."""

from pathlib import Path

from smil_ray.config.reading import read_yaml
from smil_ray.errors import ConfigError
from smil_ray.orchestration.launch.fill import SCRIPTS
from smil_ray.orchestration.launch.kuberay import check_ray_job
from smil_ray.orchestration.launch.plan import ClusterPlan
from smil_ray.orchestration.launch.ray_launcher import check_launcher_file
from smil_ray.orchestration.launch.slurm import check_batch_script


def check_cluster_file(path: Path, crd: Path | None = None) -> ClusterPlan:
    """Return what a cluster file would start.

    Args:
        path: A file for Ray's cluster launcher (`ray up`), a KubeRay RayJob, or a script for
            Slurm's `sbatch`.
        crd: KubeRay's own schema of a RayJob, as `kubectl get crd rayjobs.ray.io -o yaml` prints
            it; None: the part of it that this package knows.

    Raises:
        ConfigError: The launcher would refuse the file, or it cannot be read.
    """
    if path.suffix in SCRIPTS:
        return check_batch_script(path)
    values = read_yaml(path)
    if "apiVersion" in values:
        return check_ray_job(path, values, crd)
    if "provider" in values:
        return check_launcher_file(path, values)
    raise ConfigError(
        f"{path}: unknown kind of cluster file",
        expected="`provider` (ray up), `apiVersion` (KubeRay) or a script with #SBATCH lines",
        found=", ".join(map(str, values)) or "nothing",
    )
