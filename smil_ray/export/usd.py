"""Universal Scene Description: the mesh with its vertices in every frame, and the camera.

Vertices are stored rather than bones: USD stores scales of bones in half precision only. So each
frame keeps its own shape and the model's pose blend shapes, and the camera its own field of view
and principal point. Time codes are the numbers of the video's frames.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from smil_ray.export.animation import Animation
from smil_ray.export.files import missing_library, write_whole

_APERTURE_MM = 36.0
_NEAR, _FAR = 0.001, 1000.0


def write(animation: Animation, path: Path) -> list[str]:
    """Write all frames.

    Raises:
        ConfigError: usd-core is not installed.
        DataError: The file cannot be written.
    """
    pxr = _library()
    stage = pxr.Usd.Stage.CreateInMemory()
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
    pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(animation.rate)
    stage.SetFramesPerSecond(animation.rate)
    codes = animation.frames.tolist()
    stage.SetStartTimeCode(codes[0])
    stage.SetEndTimeCode(codes[-1])
    world = pxr.UsdGeom.Xform.Define(stage, "/scene")
    stage.SetDefaultPrim(world.GetPrim())
    _add_mesh(pxr, stage, animation, codes)
    _add_camera(pxr, stage, animation, codes)
    layer = stage.GetRootLayer()
    write_whole(path, lambda partial: layer.Export(str(partial)))
    return []


def _library() -> Any:
    """Return pxr's modules; typed Any, for their stubs do not say what is in them."""
    try:
        from pxr import Gf, Sdf, Usd, UsdGeom, Vt
    except ImportError as error:
        raise missing_library("usd", "usd-core") from error
    return SimpleNamespace(Gf=Gf, Sdf=Sdf, Usd=Usd, UsdGeom=UsdGeom, Vt=Vt)


def _add_mesh(pxr: Any, stage: Any, animation: Animation, codes: list[int]) -> None:
    Sdf, UsdGeom, Vt = pxr.Sdf, pxr.UsdGeom, pxr.Vt
    mesh = UsdGeom.Mesh.Define(stage, "/scene/animal")
    faces = animation.model.faces.to(torch.int32).numpy()
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, dtype=np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.reshape(-1)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr(True)
    mesh.GetPrim().CreateAttribute("smilRay:name", Sdf.ValueTypeNames.String).Set(animation.name)
    points, extent = mesh.CreatePointsAttr(), mesh.CreateExtentAttr()
    for code, vertices in zip(codes, animation.scene_vertices(), strict=True):
        values = vertices.astype(np.float32)
        points.Set(Vt.Vec3fArray.FromNumpy(values), code)
        bounds = np.stack([values.min(axis=0), values.max(axis=0)])
        extent.Set(Vt.Vec3fArray.FromNumpy(bounds), code)


def _add_camera(pxr: Any, stage: Any, animation: Animation, codes: list[int]) -> None:
    width, height = animation.size_px
    camera = pxr.UsdGeom.Camera.Define(stage, "/scene/camera")
    camera.CreateClippingRangeAttr(pxr.Gf.Vec2f(_NEAR, _FAR))
    camera.CreateHorizontalApertureAttr(_APERTURE_MM)
    for code, (fx, fy, cx, cy) in zip(codes, animation.camera_px.tolist(), strict=True):
        focal = fx / width * _APERTURE_MM
        vertical = focal * height / fy
        camera.CreateFocalLengthAttr().Set(focal, code)
        camera.CreateVerticalApertureAttr().Set(vertical, code)
        camera.CreateHorizontalApertureOffsetAttr().Set((0.5 - cx / width) * _APERTURE_MM, code)
        camera.CreateVerticalApertureOffsetAttr().Set((cy / height - 0.5) * vertical, code)
