r"""Does the transformer decoder earn its cost over the plain MLP head?

Question: with one backbone, which head, and how many refinement iterations and layers?
Command:  python experiments/tune_heads.py
          python experiments/tune_heads.py --data my_animals.h5 \
              --set model.backbone.name=vit_base_patch16_224 \
              --set model.backbone.weights=pretrained --set model.backbone.freeze=true
          With a frozen backbone its features are computed once, for all trials, and the trials
          train side by side in one process.
Needs:    two CPU cores and about 8 minutes for the embedded data.
Expect:   a decoder in the first place by the pose error, at a little more time: 18.5 % of body
          length after 20 epochs where the mean pose has 25 %, and 16 % after the last training.
          A fitting learning rate (about 1e-3) matters as much as the kind of head: too far from
          it neither has learnt much by then. 39 held-out samples and one seed: see the report's
          intervals.
"""

import sys
from pathlib import Path

from smil_ray.cli.main import kebab
from smil_ray.orchestration.tune.command import tune_main

if __name__ == "__main__":
    space = Path(__file__).parent / "configs" / "tune_heads.yaml"
    sys.exit(tune_main(__doc__, space, kebab(sys.argv[1:])))
