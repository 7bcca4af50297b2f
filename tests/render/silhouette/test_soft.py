"""The reference silhouette, and what every backend must do; docs/conventions_3d.md section 5."""

import math

import pytest
import torch

from smil_ray.errors import ConfigError
from smil_ray.render.camera import MIN_DEPTH
from smil_ray.render.silhouette.reference import (
    blur_radius,
    fractions_to_ndc,
    signed_squared_distance,
)
from smil_ray.render.silhouette.soft import soft_silhouette

pytestmark = pytest.mark.usefixtures("kernels")
BACKENDS = ["reference", "cpu", "pytorch3d"]
TRIANGLE = torch.tensor([[[0.2, 0.3], [0.8, 0.2], [0.5, 0.9]]]).double()
ONE = torch.tensor([[0, 1, 2]])
IN_FRONT = torch.ones(1, 3).double()


def draw(xy, faces=ONE, height=20, width=20, backend="reference", depth=None, **options):
    depth = torch.ones(xy.shape[:2], dtype=xy.dtype) if depth is None else depth
    return soft_silhouette(xy, depth, faces, height, width, backend=backend, **options)


def by_hand(point, triangle, sigma):
    """The formula in plain Python for one pixel and one face; NDC as (x, y) pairs."""
    squared, sides = [], []
    for start, end in zip(triangle, triangle[1:] + triangle[:1], strict=True):
        edge = (end[0] - start[0], end[1] - start[1])
        to_point = (point[0] - start[0], point[1] - start[1])
        along = (to_point[0] * edge[0] + to_point[1] * edge[1]) / (edge[0] ** 2 + edge[1] ** 2)
        along = min(max(along, 0.0), 1.0)
        nearest = (start[0] + along * edge[0], start[1] + along * edge[1])
        squared.append((point[0] - nearest[0]) ** 2 + (point[1] - nearest[1]) ** 2)
        sides.append(edge[0] * to_point[1] - edge[1] * to_point[0])
    inside = all(s > 0 for s in sides) or all(s < 0 for s in sides)
    distance = -min(squared) if inside else min(squared)
    if distance >= math.log(1 / 1e-4 - 1) * sigma:
        return 0.0
    return 1.0 / (1.0 + math.exp(distance / sigma))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("height", "width"), [(12, 12), (9, 15), (15, 8)])
def test_one_triangle_equals_the_formula_pixel_by_pixel(backend, height, width):
    sigma = 1e-2
    found = draw(TRIANGLE, height=height, width=width, backend=backend, sigma=sigma)[0]
    corners = [tuple(c) for c in fractions_to_ndc(TRIANGLE[0], height, width).tolist()]
    short = min(height, width)
    for row in range(height):
        for column in range(width):
            point = ((2 * column + 1 - width) / short, (2 * row + 1 - height) / short)
            expected = by_hand(point, corners, sigma)
            assert float(found[row, column]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_faces_combine_as_one_minus_the_product_of_the_clear_shares(backend):
    other = TRIANGLE.flip(2) + 0.05
    both = torch.cat([TRIANGLE, other], dim=1)
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    options = {"backend": backend, "sigma": 1e-2}
    found = draw(both, faces, **options)
    expected = 1 - (1 - draw(TRIANGLE, **options)) * (1 - draw(other, **options))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels_beyond_the_blur_are_exactly_zero_and_the_inside_is_one(backend):
    found = draw(TRIANGLE, height=100, width=100, backend=backend)[0]
    reach = math.sqrt(blur_radius(1e-4)) * 50
    assert float(found[: int(20 - reach) - 1].max()) == 0.0
    assert float(found[45, 50]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("behind", [-1.0, 0.0, MIN_DEPTH / 2, math.nan])
def test_face_with_a_vertex_behind_the_camera_is_not_drawn(backend, behind):
    depth = torch.tensor([[1.0, 1.0, behind]]).double()
    assert float(draw(TRIANGLE, depth=depth, backend=backend).abs().max()) == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "corner", [[0.5, 0.25], [0.2, 0.3], [math.nan, 0.5], [math.inf, 0.5]], ids=str
)
def test_degenerate_and_infinite_faces_are_not_drawn_and_have_no_gradient(backend, corner):
    xy = TRIANGLE.clone()
    xy[0, 2] = torch.tensor(corner)
    if math.isfinite(corner[0]):
        xy[0, 2] = xy[0, 0] + 0.5 * (xy[0, 1] - xy[0, 0]) if corner[0] == 0.5 else xy[0, 0]
    xy.requires_grad_()
    picture = draw(xy, backend=backend)
    assert float(picture.detach().abs().max()) == 0.0
    if picture.requires_grad:
        picture.sum().backward()
        assert xy.grad is None or float(xy.grad.nan_to_num(9.0).abs().max()) == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_picture_is_the_middle_of_a_larger_picture(backend):
    """Section 5: the border cuts; it neither hides faces nor adds edges."""
    large = draw(TRIANGLE * 1.3 - 0.1, height=60, width=60, backend=backend, sigma=4e-4)
    shifted = (TRIANGLE * 1.3 - 0.1) * 3 - 1
    # NDC is three times as fine in the small picture: sigma is in NDC squared.
    small = draw(shifted, height=20, width=20, backend=backend, sigma=4e-4 * 9)
    torch.testing.assert_close(small, large[:, 20:40, 20:40], atol=2e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_face_around_the_whole_picture_covers_it_without_gradient(backend):
    xy = ((TRIANGLE - 0.5) * 1000 + 0.5).requires_grad_()
    picture = draw(xy, backend=backend)
    torch.testing.assert_close(picture.detach(), torch.ones(1, 20, 20).double())
    picture.sum().backward()
    assert xy.grad is not None
    assert float(xy.grad.abs().max()) == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batch_no_faces_and_faces_outside_give_zeros(backend):
    assert draw(TRIANGLE[:0], backend=backend).shape == (0, 20, 20)
    nothing = draw(TRIANGLE, torch.zeros(0, 3, dtype=torch.long), backend=backend)
    assert nothing.shape == (1, 20, 20)
    assert float(nothing.abs().max()) == 0.0
    assert float(draw(TRIANGLE + 3, backend=backend).abs().max()) == 0.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_result_and_gradient_have_the_precision_of_the_points(backend, dtype):
    xy = TRIANGLE.clone().to(dtype).requires_grad_()
    picture = draw(xy, backend=backend, sigma=1e-2)
    picture.sum().backward()
    assert picture.dtype == dtype
    assert xy.grad is not None
    assert xy.grad.dtype == dtype


def test_gradcheck_of_the_reference():
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(2, 4, 2, generator=generator).double().requires_grad_()
    faces = torch.tensor([[0, 1, 2], [0, 3, 2]])
    assert torch.autograd.gradcheck(
        lambda points: draw(points, faces, height=5, width=6, sigma=3e-2), [xy]
    )


def test_signed_distance_of_literal_points():
    triangle = torch.tensor([[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]]).double()
    points = torch.tensor([[1.0, 1.0], [2.0, -3.0], [-3.0, -4.0], [4.0, 4.0]]).double()
    found = signed_squared_distance(points, triangle.expand(4, 3, 2))
    assert found.tolist() == pytest.approx([-1.0, 9.0, 25.0, 8.0])


def test_descent_on_the_silhouette_moves_a_triangle_onto_its_target():
    target = draw(TRIANGLE, height=32, width=32, backend="cpu", sigma=1e-3)
    shift = torch.tensor([0.06, -0.05]).double().requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        picture = draw(TRIANGLE + shift, height=32, width=32, backend="cpu", sigma=1e-3)
        (picture - target).square().mean().backward()
        optimizer.step()
    assert float(shift.detach().abs().max()) < 2e-3


def test_unknown_backend_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="auto, reference, cpu, pytorch3d; found 'cuda'"):
        draw(TRIANGLE, backend="cuda")


@pytest.mark.parametrize("sigma", [0.0, -1e-4, math.nan])
def test_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(ConfigError, match="sigma; expected a positive number"):
        draw(TRIANGLE, sigma=sigma)


def test_faces_that_name_no_vertex_and_pictures_without_size_are_refused():
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        draw(TRIANGLE, torch.tensor([[0, 1, 3]]))
    with pytest.raises(ValueError, match="0 x 20"):
        draw(TRIANGLE, height=0)


def test_auto_is_the_compiled_kernel_on_the_cpu():
    automatic, compiled = draw(TRIANGLE, backend="auto"), draw(TRIANGLE, backend="cpu")
    assert torch.equal(automatic, compiled)


def test_pytorch3d_that_cannot_be_loaded_is_one_sentence(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "smil_ray.render.pytorch3d_backend", None)
    with pytest.raises(ConfigError, match="use the backend auto, cpu or reference"):
        draw(TRIANGLE, backend="pytorch3d")
    # On another device `auto` then takes the reference; `meta` stands for any.
    empty = draw(TRIANGLE[:0].to("meta"), ONE[:0].to("meta"), backend="auto")
    assert empty.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["auto", "reference", "pytorch3d"])
def test_silhouette_on_the_gpu_equals_the_cpu_kernel(backend):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    expected = draw(TRIANGLE, backend="cpu", sigma=1e-3)
    depth = IN_FRONT.cuda()
    found = soft_silhouette(
        TRIANGLE.cuda(), depth, ONE.cuda(), 20, 20, sigma=1e-3, backend=backend
    )
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=0)
