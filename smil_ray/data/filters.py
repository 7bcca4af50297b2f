"""Why a sample is not used: every reason by name, and the two rules that keep or drop a sample."""

from dataclasses import dataclass

import numpy as np

from smil_ray.core.batch import Sample
from smil_ray.errors import DataError

REASONS: dict[str, str] = {
    "json_unreadable": "the JSON file cannot be parsed (empty, cut off or not JSON)",
    "json_structure": "a field of the JSON file has the wrong form or is missing",
    "non_finite": "a number is NaN, infinite, null or absurdly large",
    "camera_missing": "there is no camera that could be rebuilt",
    "camera_invalid": "the camera's axes are not orthonormal or its field of view is impossible",
    "subject_missing": "the frame has no subject, or a subject without keypoints",
    "no_known_joint": "none of the subject's joints is a joint of the body model",
    "bad_rotation": "a quaternion is not of unit length",
    "behind_camera": "the root joint is behind the camera",
    "out_of_frame": "no part of the subject is inside the frame",
    "reprojection": "2D keypoints contradict the projected 3D keypoints by more than 2 px",
    "image_missing": "the picture of the labels is missing",
    "image_unreadable": "the picture cannot be decoded or is larger than allowed",
    "image_damaged": "the picture is truncated or has damaged data",
    "video_missing": "the video of the labels is missing",
    "video_unreadable": "the video of the labels cannot be decoded",
    "frame_missing": "the video of the labels has no such frame",
    "mask_unreadable": "the ID mask cannot be decoded",
    "mask_size": "the ID mask and the picture differ in size",
    "mask_disagrees": "the ID mask shows the subject elsewhere than its keypoints",
    "duplicate_name": "another file has the same name",
    "swapped_images": "two pictures fit each other's masks but not their own",
    "identical_images": "the same picture has different labels",
    "duplicate_sample": "picture and labels are the same as an earlier entry's",
    "not_listed": "its name is not in the list of names to use",
    "unexpected": "reading failed in a way that nobody foresaw; the detail says how",
    "low_coverage": "the silhouette covers less of the picture than the threshold",
    "few_keypoints": "fewer keypoints are visible than required",
}
"""Every reason for which a sample is dropped, and the sentence a person reads."""


class SampleError(DataError):
    """One sample cannot be used; `reason` is a key of REASONS.

    Args:
        reason: Key of REASONS.
        message: The file and field, and what is wrong with it.
        expected: What would have been right.
        found: What is there instead.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        expected: object | None = None,
        found: object | None = None,
    ) -> None:
        super().__init__(message, expected=expected, found=found)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling with the reason, because Ray carries errors between processes."""
        return _rebuild, (self.reason, str(self))


def _rebuild(reason: str, text: str) -> SampleError:
    error = SampleError.__new__(SampleError)
    Exception.__init__(error, text)
    error.reason = reason
    return error


@dataclass(frozen=True)
class FilterOptions:
    """Thresholds of `drop_reason`; the defaults keep everything that is readable.

    Attributes:
        silhouette_threshold: Least share of the picture that the silhouette covers, 0 to 1.
        min_visible_keypoints: Least number of visible keypoints.
    """

    silhouette_threshold: float = 0.0
    min_visible_keypoints: int = 0


def drop_reason(sample: Sample, options: FilterOptions) -> str | None:
    """Return the reason to drop `sample`, a key of REASONS, or None to keep it.

    A missing mask never counts as low coverage.
    """
    covered = coverage(sample)
    if covered is not None and covered < options.silhouette_threshold:
        return "low_coverage"
    if int(sample.keypoint_visibility.sum()) < options.min_visible_keypoints:
        return "few_keypoints"
    return None


def coverage(sample: Sample) -> float | None:
    """Return the share of the picture that the silhouette covers, 0 to 1; None without a mask."""
    return None if sample.mask is None else float(np.mean(sample.mask)) / 255.0
