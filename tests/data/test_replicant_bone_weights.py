"""Scale and translation weights of real samples act linearly on the bones."""

import json

import numpy as np
import pytest

from smil_ray.data.replicant import find_entries
from smil_ray.data.replicant_json import read_frame


@pytest.mark.parametrize(
    ("field", "key"), [("scale_weights", "scale3D"), ("trans_weights", "translation")]
)
def test_real_weights_fit_bone_transforms_linearly(real_data, field, key):
    weights, values = [], []
    for entry in find_entries(real_data / "data" / "replicant" / "replicAnt-x-SMIL-TEX"):
        frame = json.loads(entry.json_path.read_text())["iterationData"]
        joints = frame["subject Data"][0]["1"]["keypoints"]
        weights.append(getattr(read_frame(entry.json_path).subjects[0], field))
        values.append(
            [[joint["transform"][key][axis] for axis in "xyz"] for joint in joints.values()]
        )
    design = np.column_stack([np.ones(len(weights)), np.array(weights)])
    if len(weights) <= design.shape[1]:
        pytest.skip(f"{len(weights)} samples cannot contradict {design.shape[1]} unknowns")
    target = np.array(values).reshape(len(values), -1)
    solution, *_ = np.linalg.lstsq(design, target, rcond=None)
    assert np.abs(design @ solution - target).max() < 1e-5
