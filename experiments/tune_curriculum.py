r"""Does it help to change the loss weights while training?

Question: constant weights, 3D keypoints later, or parameters first: on the features of one frozen
          pretrained backbone, which order of the loss terms ends with the lowest pose error, over
          two seeds each?
Command:  python experiments/tune_curriculum.py
          python experiments/tune_curriculum.py --data my_animals.h5 \
              --set model.backbone.name=vit_base_patch16_224 \
              --set model.backbone.weights=FILE --set model.backbone.input_size=224
          The backbone's features are computed once, for all trials, and the trials train side by
          side in one process.
Needs:    two CPU cores; the time for the embedded data is not measured yet.
Expect:   not measured yet.
          Trials are compared by their pose error and never by their own weighted loss, which
          would call the curriculum with the smallest weights the best.
"""

import sys
from pathlib import Path

from smil_ray.cli.main import kebab
from smil_ray.orchestration.tune.command import tune_main

if __name__ == "__main__":
    space = Path(__file__).parent / "configs" / "tune_curriculum.yaml"
    sys.exit(tune_main(__doc__, space, kebab(sys.argv[1:]), samples=2500))
