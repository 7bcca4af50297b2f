"""The compiled kernel equals the reference and does not depend on threads."""

import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.render.camera import Camera
from smil_ray.render.silhouette.soft import soft_silhouette

Scene = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture
def threads():
    """Set torch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def scene(make_sphere):
    """Crumpled spheres, some of them cut by the border: xy, depth (B, V) and faces."""

    def build(batch=2, seed=0, rows=7, columns=9, aspect=1.0):
        vertices, faces = make_sphere(rows, columns)
        generator = torch.Generator().manual_seed(seed)
        points = torch.from_numpy(vertices).expand(batch, -1, -1)
        points = points + 0.05 * torch.randn(points.shape, generator=generator).double()
        points = points + torch.tensor([0.6, -0.3, 3.5]).double()
        eye, zero = torch.eye(3).double(), torch.zeros(3).double()
        xy, depth = Camera.from_fov(40.0, eye, zero, aspect=aspect).project(points)
        return xy, depth, torch.from_numpy(faces)

    return build


def with_gradient(xy, depth, faces, height, width, backend, sigma=1e-4):
    xy = xy.clone().requires_grad_()
    picture = soft_silhouette(xy, depth, faces, height, width, backend=backend, sigma=sigma)
    weights = torch.randn(picture.shape, generator=torch.Generator().manual_seed(7)).double()
    (picture * weights).sum().backward()
    assert xy.grad is not None
    return picture.detach(), xy.grad


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (40, 24), (1, 16)])
@pytest.mark.parametrize("sigma", [1e-5, 1e-4, 1e-2])
def test_kernel_equals_reference_in_value_and_gradient(scene: Scene, height, width, sigma):
    arguments = (*scene(aspect=width / height), height, width)
    expected, expected_grad = with_gradient(*arguments, "reference", sigma)
    found, found_grad = with_gradient(*arguments, "cpu", sigma)
    assert (found - expected).abs().max() < 1e-5
    assert (found_grad - expected_grad).norm() <= 1e-4 * expected_grad.norm()


def test_kernel_equals_reference_in_single_precision(scene: Scene):
    xy, depth, faces = scene()
    arguments = (xy.float(), depth.float(), faces, 32, 32)
    expected, expected_grad = with_gradient(*arguments, "reference")
    found, found_grad = with_gradient(*arguments, "cpu")
    assert (found - expected).abs().max() < 1e-5
    assert (found_grad - expected_grad).norm() <= 1e-4 * expected_grad.norm()


def test_kernel_equals_reference_with_faces_behind_degenerate_and_not_finite(scene: Scene):
    xy, depth, faces = scene()
    depth[0, ::5] = -1.0
    xy[1, 3] = xy[1, 4]
    expected, expected_grad = with_gradient(xy, depth, faces, 32, 32, "reference")
    found, found_grad = with_gradient(xy, depth, faces, 32, 32, "cpu")
    assert (found - expected).abs().max() < 1e-5
    assert (found_grad - expected_grad).norm() <= 1e-4 * expected_grad.norm()
    xy[0, 7] = float("nan")
    picture, gradient = with_gradient(xy, depth, faces, 32, 32, "cpu")
    assert torch.isfinite(picture).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_number_of_threads_does_not_change_a_bit(scene: Scene, threads, batch):
    arguments = (*scene(batch), 48, 40)
    results = []
    for count in (1, 2, 5):
        threads(count)
        results.append(with_gradient(*arguments, "cpu"))
    for picture, gradient in results[1:]:
        assert torch.equal(picture, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_batch_equals_its_pictures_one_by_one(scene: Scene):
    xy, depth, faces = scene(3)
    together = soft_silhouette(xy, depth, faces, 32, 32)
    for n in range(3):
        alone = soft_silhouette(xy[n : n + 1], depth[n : n + 1], faces, 32, 32)
        assert torch.equal(alone[0], together[n])


def test_concurrent_calls_from_python_threads_agree(scene: Scene, threads):
    threads(2)
    arguments = (*scene(1), 32, 32)
    expected = soft_silhouette(*arguments)
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda _: soft_silhouette(*arguments), range(16)))
    assert all(torch.equal(picture, expected) for picture in pictures)


def test_gradient_for_depth_is_none_and_inputs_stay_untouched(scene: Scene):
    xy, depth, faces = scene(1)
    before = xy.clone()
    depth.requires_grad_()
    soft_silhouette(xy.requires_grad_(), depth, faces, 16, 16).sum().backward()
    assert depth.grad is None
    assert torch.equal(xy.detach(), before)


def test_memory_layout_of_the_points_does_not_matter(scene: Scene):
    xy, depth, faces = scene(2)
    turned = xy.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert not turned.is_contiguous()
    found, gradient = with_gradient(turned, depth.T.contiguous().T, faces.int(), 16, 16, "cpu")
    expected, expected_gradient = with_gradient(xy, depth, faces, 16, 16, "cpu")
    assert torch.equal(found, expected)
    assert torch.equal(gradient, expected_gradient)


def _draw_in_child(arguments, results):
    results.put(soft_silhouette(*arguments).numpy())


def test_kernel_runs_in_a_forked_child_after_threads_were_used(scene: Scene, threads):
    threads(2)
    arguments = (*scene(1), 32, 32)
    expected = soft_silhouette(*arguments).numpy()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_draw_in_child, args=(arguments, results))
    with warnings.catch_warnings():
        # Newer Pythons warn of any fork beside threads; that it works is the point here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    np.testing.assert_array_equal(results.get(timeout=30), expected)
    child.join(30)
    assert child.exitcode == 0


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 28)])
def test_kernel_agrees_with_pytorch3d_when_it_keeps_every_face(
    scene: Scene, pytorch3d_backend, height, width
):
    """Section 5: single precision of pytorch3d is the remaining difference."""
    xy, depth, faces = scene(2, aspect=width / height)
    expected = xy.clone().requires_grad_()
    theirs = pytorch3d_backend.silhouette_pytorch3d(
        expected, depth, faces, height, width, 1e-4, len(faces)
    )
    weights = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(7)).double()
    (theirs * weights).sum().backward()
    found, found_grad = with_gradient(xy, depth, faces, height, width, "cpu")
    assert expected.grad is not None
    assert (found - theirs.detach()).abs().max() < 1e-4
    assert (found_grad - expected.grad).norm() <= 1e-3 * expected.grad.norm()


def test_real_model_at_64_px_equals_the_reference(real_data):
    model = SmilModel.load(real_data / "models" / "SMILy_STICK.pkl")
    vertices = model.v_template - model.v_template.mean(dim=0)
    eye, zero = torch.eye(3), torch.tensor([0.0, 0.0, 4.0])
    xy, depth = Camera.from_fov(30.0, eye, zero).project(vertices[None])
    expected, expected_grad = with_gradient(xy, depth, model.faces, 64, 64, "reference")
    found, found_grad = with_gradient(xy, depth, model.faces, 64, 64, "cpu")
    assert 0.01 < float(found.mean()) < 0.9
    assert (found - expected).abs().max() < 1e-5
    assert (found_grad - expected_grad).norm() <= 1e-4 * expected_grad.norm()
