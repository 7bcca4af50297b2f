"""Run by Blender: renders each frame into the folder $RENDERS, transparent around the animal."""

import os

import bpy  # type: ignore[import-not-found]

scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.device = "CPU"
scene.cycles.samples = 16
scene.cycles.use_denoising = False
scene.cycles.pixel_filter_type = "BOX"
scene.render.threads_mode, scene.render.threads = "FIXED", 1
scene.render.film_transparent = True
scene.render.resolution_percentage = 200
scene.render.image_settings.file_format = "PNG"
scene.render.image_settings.color_mode = "RGBA"
for frame in range(scene.frame_start, scene.frame_end + 1):
    scene.frame_set(frame)
    scene.render.filepath = f"{os.environ['RENDERS']}/{frame}.png"
    bpy.ops.render.render(write_still=True)
