"""Which backbone, head, learning rate and curriculum predict my animal best?

Question: of three small backbones, both heads, a range of learning rates and three curricula,
          which combination has the lowest error of the pose (root-aligned MPJPE, percent of body
          length)?
Command:  python experiments/tune_backbones.py            (embedded synthetic insects)
          python experiments/tune_backbones.py --data my_animals.h5 --set train.epochs=40
          python experiments/tune_backbones.py --address auto --data /shared/my_animals.h5
Needs:    two CPU cores and about 10 minutes for the embedded data; with larger backbones
          (`--config`) a GPU.
Expect:   a ranked table, SWEEP/report.html, and the winner trained on with Ray Train, beside the
          mean pose on held-out samples. On the embedded data mobilenetv3_small_100 with the MLP
          head at a rate of 1.5e-3 is first by far: 18 % after 20 epochs, 16 % in the end,
          the mean pose 25 %. Others have hardly begun to learn by then.
"""

import sys
from pathlib import Path

from smil_ray.cli.main import kebab
from smil_ray.orchestration.tune.command import tune_main

if __name__ == "__main__":
    space = Path(__file__).parent / "configs" / "tune_backbones.yaml"
    sys.exit(tune_main(__doc__, space, kebab(sys.argv[1:])))
