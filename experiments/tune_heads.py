r"""Does a head that looks at each joint earn its cost over the plain MLP head?

Question: on the features of one frozen pretrained backbone, which head reads the joints better,
          over three seeds?
Command:  python experiments/tune_heads.py
          python experiments/tune_heads.py --data my_animals.h5 \
              --set model.backbone.name=vit_base_patch16_224 \
              --set model.backbone.weights=FILE --set model.backbone.input_size=224
          The backbone's features are computed once, for all trials, and the trials train side by
          side in one process.
Needs:    two CPU cores and 10 minutes for the embedded data (3,000 images).
Expect:   joint tokens first: on validation samples PA-MPJPE 12.0 % of body length over three
          seeds, the MLP head 12.8 (95 % interval of the difference 0.6 to 1.0); on held-out
          samples the winner 11.8, the mean pose 12.9.
"""

import sys
from pathlib import Path

from smil_ray.cli.main import kebab
from smil_ray.orchestration.tune.command import tune_main

if __name__ == "__main__":
    space = Path(__file__).parent / "configs" / "tune_heads.yaml"
    sys.exit(tune_main(__doc__, space, kebab(sys.argv[1:]), samples=3000))
