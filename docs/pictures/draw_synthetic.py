"""Draw what `smil-ray synth` makes by default, with the options of the demo, and as a laboratory.

Command:   python docs/pictures/draw_synthetic.py [--model FILE] [--out FOLDER]
Takes:     a few seconds
Writes:    synthetic_default.jpg, synthetic_easy.jpg and synthetic_lab.jpg, here by default
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from smil_ray.data.synthetic.samples import (
    EASY_VIEW,
    SynthOptions,
    open_render_body,
    render_sample,
)
from smil_ray.render.overlay import contact_sheet

EDGE = 160
SAMPLES = 24
COLUMNS = 8


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description="Draw synthetic samples.")
    parser.add_argument("--model", default="builtin", help="`builtin` or a model file")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    lab = {**EASY_VIEW, "domain": "lab", "clutter": 1.0}
    for name, view in (("default", {}), ("easy", EASY_VIEW), ("lab", lab)):
        size = {"image_size": EDGE, "samples": SAMPLES}
        options = SynthOptions(**{**view, **size, "model": arguments.model})
        sheet = contact_sheet(_pictures(options), columns=COLUMNS)
        path = arguments.out / f"synthetic_{name}.jpg"
        cv2.imwrite(
            str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
        )


def _pictures(options: SynthOptions) -> list[np.ndarray]:
    render_body = open_render_body(options)
    encoded = [render_sample(render_body, options, i).image for i in range(options.samples)]
    bgr = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in encoded]
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in bgr if picture is not None]


if __name__ == "__main__":
    main()
