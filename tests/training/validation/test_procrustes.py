import numpy as np
import pytest
import torch
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from smil_ray.training.validation.procrustes import align


def umeyama(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Similarity alignment by brute force over the rotation from scipy's Kabsch."""
    a, b = points - points.mean(0), target - target.mean(0)
    rotation = Rotation.align_vectors(b, a)[0]
    turned = rotation.apply(a)
    scale = (turned * b).sum() / (a * a).sum()
    return scale * turned + target.mean(0)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(6, 12, 3)), rng.normal(size=(6, 12, 3)) + 5.0


def everything(points: np.ndarray) -> torch.Tensor:
    return torch.ones(points.shape[:2], dtype=torch.bool)


def test_align_random_points_equals_kabsch_with_scale(pair) -> None:
    points, target = pair
    found = align(torch.from_numpy(points), torch.from_numpy(target), everything(points)).numpy()
    for i in range(len(points)):
        np.testing.assert_allclose(found[i], umeyama(points[i], target[i]), atol=1e-9)


def test_align_near_points_gives_scipys_disparity(pair) -> None:
    target = pair[1]
    points = target + 0.1 * pair[0]
    found = align(torch.from_numpy(points), torch.from_numpy(target), everything(points)).numpy()
    for i in range(len(points)):
        _, _, disparity = procrustes(target[i], points[i])
        spread = ((target[i] - target[i].mean(0)) ** 2).sum()
        assert ((found[i] - target[i]) ** 2).sum() / spread == pytest.approx(disparity, abs=1e-9)


def test_align_similar_points_match_exactly(pair) -> None:
    target = pair[1]
    rotation = Rotation.random(6, rng=np.random.default_rng(1)).as_matrix()
    points = 0.3 * np.einsum("bij,bnj->bni", rotation, target) - 7.0
    found = align(torch.from_numpy(points), torch.from_numpy(target), everything(points))
    np.testing.assert_allclose(found.numpy(), target, atol=1e-9)


def test_align_mirrored_points_are_not_reflected(pair) -> None:
    target = pair[1]
    points = target * np.array([-1.0, 1.0, 1.0])
    found = align(torch.from_numpy(points), torch.from_numpy(target), everything(points)).numpy()
    assert (np.abs(found - target).max(axis=(1, 2)) > 0.1).all()


def test_align_invalid_rows_do_not_matter(pair) -> None:
    points, target = pair
    valid = everything(points)
    valid[:, 8:] = False
    spoiled = target.copy()
    spoiled[:, 8:] = np.nan
    found = align(torch.from_numpy(points), torch.from_numpy(spoiled), valid).numpy()
    for i in range(len(points)):
        expected = umeyama(points[i, :8], target[i, :8])
        np.testing.assert_allclose(found[i, :8], expected, atol=1e-9)


def test_align_coinciding_points_go_to_the_centre(pair) -> None:
    target = torch.from_numpy(pair[1])
    found = align(torch.ones_like(target), target, everything(pair[0]))
    torch.testing.assert_close(found, target.mean(1, keepdim=True).expand_as(target))
