"""Hard rasterisation against brute force; docs/conventions_3d.md section 5."""

import numpy as np
import pytest

from smil_ray.render import compiled
from smil_ray.render.camera import MIN_DEPTH
from smil_ray.render.rasterize import hard_mask, project_to_pixels, rasterize

pytestmark = pytest.mark.usefixtures("kernels")
ONE = np.array([[0, 1, 2]])


def brute_force(points, depth, faces, height, width):
    """Loop over pixels and faces; 1 / depth interpolated by solving for the corner weights."""
    index = np.full((height, width), -1)
    nearest = np.full((height, width), np.inf)
    for row in range(height):
        for column in range(width):
            for f, face in enumerate(faces):
                corners = np.vstack([points[face].T, np.ones(3)])
                weights = np.linalg.solve(corners, [column + 0.5, row + 0.5, 1.0])
                if (weights >= 0).all():
                    z = 1.0 / (weights @ (1.0 / depth[face]))
                    if z < nearest[row, column]:
                        nearest[row, column], index[row, column] = z, f
    return index, nearest


def test_triangle_covers_the_pixels_whose_centres_it_holds():
    mask = hard_mask(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.ones(3), ONE, 4, 5)
    expected = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(mask, np.array(expected, dtype=bool))


@pytest.mark.parametrize("seed", range(4))
def test_random_triangles_equal_brute_force(seed):
    generator = np.random.default_rng(seed)
    points = generator.uniform(-4, 16, (12, 2))
    depth = generator.uniform(0.5, 9.0, 12)
    faces = generator.permuted(np.tile(np.arange(12), (7, 1)), axis=1)[:, :3]
    index, z = rasterize(points, depth, faces, 9, 12)
    expected_index, expected_z = brute_force(points, depth, faces, 9, 12)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(z, expected_z, rtol=1e-5)


def test_winding_and_order_of_faces_do_not_change_the_depth():
    generator = np.random.default_rng(5)
    points, depth = generator.uniform(0, 20, (9, 2)), generator.uniform(1, 3, 9)
    faces = np.arange(9).reshape(3, 3)
    _, z = rasterize(points, depth, faces, 20, 20)
    _, other = rasterize(points, depth, faces[::-1, ::-1], 20, 20)
    np.testing.assert_allclose(z, other, rtol=1e-6)


def test_triangles_that_share_an_edge_leave_no_hole():
    points = np.array([[0.3, 0.2], [17.7, 1.4], [16.1, 18.8], [1.9, 17.3]])
    parts = hard_mask(points, np.ones(4), np.array([[0, 1, 2], [0, 2, 3]]), 20, 20)
    other = hard_mask(points, np.ones(4), np.array([[0, 1, 3], [1, 2, 3]]), 20, 20)
    np.testing.assert_array_equal(parts, other)


@pytest.mark.parametrize("depth", [[1.0, 1.0, -1.0], [1.0, 1.0, MIN_DEPTH / 2], [np.nan, 1, 1]])
def test_face_with_a_vertex_behind_the_camera_is_not_drawn(depth):
    points = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    assert not hard_mask(points, np.array(depth), ONE, 8, 8).any()


@pytest.mark.parametrize("last", [[5.0, 5.0], [np.nan, 2.0], [np.inf, 2.0]])
def test_degenerate_and_infinite_faces_are_not_drawn(last):
    points = np.array([[1.0, 1.0], [3.0, 3.0], last])
    assert not hard_mask(points, np.ones(3), ONE, 8, 8).any()


def test_face_far_larger_than_the_picture_covers_it_all():
    points = np.array([[-1e7, -1e7], [1e7, -1e7], [0.0, 2e7]])
    assert hard_mask(points, np.ones(3), ONE, 6, 4).all()


def test_no_faces_and_faces_outside_give_an_empty_picture():
    points = np.array([[-9.0, 1.0], [-2.0, 1.0], [-3.0, 5.0]])
    index, depth = rasterize(points, np.ones(3), ONE, 4, 4)
    assert (index == -1).all()
    assert np.isinf(depth).all()
    assert not hard_mask(points, np.ones(3), np.zeros((0, 3), dtype=np.int64), 4, 4).any()


def test_face_that_names_no_vertex_is_refused():
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        rasterize(np.zeros((3, 2)), np.ones(3), np.array([[0, 1, 3]]), 4, 4)


def test_project_to_pixels_equals_the_torch_camera():
    import torch

    from smil_ray.render.camera import project_cam

    points = np.random.default_rng(0).normal([0, 0, 2.0], 1.0, (20, 3))
    intrinsics = np.array([1.2, 1.4, 0.4, 0.6])
    xy, depth = project_cam(torch.from_numpy(points), torch.from_numpy(intrinsics))
    found, found_depth = project_to_pixels(points, intrinsics, 30, 50)
    np.testing.assert_allclose(found, xy.numpy() * [50, 30], rtol=1e-12)
    np.testing.assert_array_equal(found_depth, depth.numpy())


def test_kernel_compiles_without_cache_where_nothing_is_writable(monkeypatch):
    asked = []

    def njit(cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled.numba, "njit", njit)
    assert compiled.compiled(len) is len
    assert asked == [True, False]
