"""Shaded pictures: where the light falls, what shows through, how edges blend."""

import numpy as np
import pytest

from smil_ray.render.shading import DEFAULT_COLOR, Shading, render_rgb, vertex_normals

pytestmark = pytest.mark.usefixtures("kernels")
Mesh = tuple[np.ndarray, np.ndarray]
INTRINSICS = np.array([1.0, 1.0, 0.5, 0.5])
AWAY = np.array([0.0, 0.0, 4.0])


@pytest.fixture
def sphere(make_sphere):
    vertices, faces = make_sphere(24, 32)
    return vertices + AWAY, faces


def quad(depth=2.0, half=0.5):
    corners = [[-half, -half, depth], [half, -half, depth], [half, half, depth]]
    return np.array([*corners, [-half, half, depth]]), np.array([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    ("direction", "brighter", "darker"),
    [
        ((1.0, 0.0, -0.3), (32, 24), (32, 40)),
        ((-1.0, 0.0, -0.3), (32, 40), (32, 24)),
        ((0.0, 1.0, -0.3), (24, 32), (40, 32)),
    ],
    ids=["left", "right", "above"],
)
def test_side_towards_the_light_is_brighter(sphere: Mesh, direction, brighter, darker):
    """Directions are camera coordinates: x left, y up, z away from the camera."""
    rgb, _ = render_rgb(*sphere, INTRINSICS, 64, 64, shading=Shading(direction=direction))
    assert rgb[brighter].mean() > rgb[darker].mean() + 20


def test_mask_of_a_sphere_has_the_area_of_its_outline(sphere: Mesh):
    _, mask = render_rgb(*sphere, INTRINSICS, 256, 256)
    # A unit sphere at distance 4 is seen within a circle of tangent 1 / sqrt(15).
    assert mask.mean() == pytest.approx(np.pi / 15, rel=0.03)


def test_flat_face_towards_the_light_has_ambient_plus_diffuse_colour():
    shading = Shading(direction=(0.0, 0.0, -1.0), ambient=0.25, diffuse=0.5, supersample=1)
    rgb, mask = render_rgb(*quad(), INTRINSICS, 16, 16, shading=shading)
    expected = np.round(np.array(DEFAULT_COLOR) * 0.75 * 255)
    np.testing.assert_allclose(rgb[mask], np.tile(expected, (mask.sum(), 1)), atol=1)


def test_vertex_colours_are_interpolated_with_perspective():
    vertices, faces = quad()
    vertices[[1, 2], 2] = 6.0
    vertices[[1, 2], :2] *= 3.0
    colors = np.zeros((4, 3))
    colors[[1, 2]] = 1.0
    shading = Shading(ambient=1.0, diffuse=0.0, supersample=1)
    rgb, _ = render_rgb(vertices, faces, INTRINSICS, 65, 65, vertex_colors=colors, shading=shading)
    # Half way in the picture between depths 2 and 6 lies at depth 3: a quarter of the way.
    assert rgb[32, 32, 0] == pytest.approx(0.25 * 255, abs=3)


def test_background_stays_where_the_mesh_is_not_and_shows_through_thin_edges():
    background = np.full((16, 16, 3), (10, 200, 30), dtype=np.uint8)
    vertices, faces = quad(half=0.53)
    rgb, mask = render_rgb(vertices, faces, INTRINSICS, 16, 16, background=background)
    assert (rgb[0, 0] == background[0, 0]).all()
    assert not mask[0, 0]
    smooth, _ = render_rgb(vertices, faces, INTRINSICS, 16, 16, shading=Shading(supersample=4))
    hard, _ = render_rgb(vertices, faces, INTRINSICS, 16, 16, shading=Shading(supersample=1))
    assert len(np.unique(smooth[8])) > len(np.unique(hard[8]))


def test_both_windings_give_the_same_picture(sphere: Mesh):
    vertices, faces = sphere
    rgb, mask = render_rgb(vertices, faces, INTRINSICS, 48, 48)
    other, other_mask = render_rgb(vertices, faces[:, ::-1], INTRINSICS, 48, 48)
    np.testing.assert_array_equal(mask, other_mask)
    assert np.abs(rgb.astype(int) - other).max() <= 1


def test_highlight_adds_white_at_the_mirror_angle(sphere: Mesh):
    plain, _ = render_rgb(*sphere, INTRINSICS, 64, 64)
    glossy, _ = render_rgb(*sphere, INTRINSICS, 64, 64, shading=Shading(specular=0.5))
    gain = glossy.astype(int) - plain
    assert gain.min() >= 0
    assert gain.max() > 50


def test_no_faces_and_mesh_behind_the_camera_give_the_background(sphere: Mesh):
    background = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    vertices, faces = sphere
    for mesh in ((vertices, faces[:0]), (vertices - 9.0, faces)):
        rgb, mask = render_rgb(*mesh, INTRINSICS, 20, 30, background=background)
        np.testing.assert_array_equal(rgb, background)
        assert not mask.any()


def test_vertex_normals_of_a_sphere_point_along_its_radius(make_sphere):
    vertices, faces = make_sphere(30, 30)
    # The poles are open in this mesh.
    inner = np.abs(vertices[:, 1]) < 0.9
    normals = vertex_normals(vertices, faces)
    cosine = np.abs((normals * vertices).sum(axis=1))
    assert cosine[inner].min() > 0.99
    lone = vertex_normals(np.eye(4)[:, :3], np.array([[0, 1, 2]]))
    assert (lone[3] == 0).all()
