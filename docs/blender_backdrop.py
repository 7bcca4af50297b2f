"""Opens an exported .glb in Blender behind its camera, with the picture or video as backdrop.

blender --python docs/blender_backdrop.py -- film.glb film.mp4
"""

import json
import struct
import sys
from pathlib import Path

import bpy
import numpy as np

if not hasattr(np, "bool"):
    # The importer of Blender 3.4, as in Debian 12, uses a name that numpy 1.24 does not have.
    np.bool = bool

glb, *pictures = sys.argv[sys.argv.index("--") + 1 :]
with Path(glb).open("rb") as file:
    length = struct.unpack("<12xII", file.read(20))[0]
    extras = json.loads(file.read(length))["cameras"][0]["extras"]
width, height, fps = extras["width_px"], extras["height_px"], extras["fps"]

bpy.ops.wm.read_homefile(use_empty=True)
scene = bpy.context.scene
# The importer turns seconds into frames by the scene's rate.
scene.render.fps = round(fps)
scene.render.fps_base = round(fps) / fps
scene.render.resolution_x, scene.render.resolution_y = width, height
scene.render.resolution_percentage = 100
bpy.ops.import_scene.gltf(filepath=glb)

camera = next(thing for thing in scene.objects if thing.type == "CAMERA")
scene.camera, lens = camera, camera.data
lens.sensor_fit, lens.sensor_width = "HORIZONTAL", 36.0
names = ("seconds", "fx_px", "cx_px", "cy_px")
for seconds, fx, cx, cy in zip(*(extras[name] for name in names), strict=True):
    frame = round(seconds * fps)
    lens.lens = fx / width * lens.sensor_width
    lens.shift_x, lens.shift_y = 0.5 - cx / width, (cy - 0.5 * height) / width
    for path in ("lens", "shift_x", "shift_y"):
        lens.keyframe_insert(path, frame=frame)
scene.frame_start, scene.frame_end = 0, round(extras["seconds"][-1] * fps)
scene.frame_set(0)

sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
sun.data.energy = 3.0
sun.matrix_world = camera.matrix_world
scene.collection.objects.link(sun)

for picture in pictures:
    backdrop = lens.background_images.new()
    backdrop.image = bpy.data.images.load(str(Path(picture).resolve()))
    backdrop.alpha, lens.show_background_images = 1.0, True
    if backdrop.image.source == "MOVIE":
        # The scene begins at 0, the pictures of a film are counted from 1.
        backdrop.image_user.frame_start = 0
        backdrop.image_user.frame_offset = extras["frames"][0]
        backdrop.image_user.frame_duration = extras["frames"][-1] + 1
        backdrop.image_user.use_auto_refresh = True
