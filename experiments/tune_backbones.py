"""Which backbone, head, learning rate and curriculum predict my animal best?

Question: a pretrained backbone, frozen or with its last blocks fine-tuned, or a small one from
          scratch; a plain head or one that looks at each joint; which rate and curriculum: which
          combination has the lowest pose error relative to the mean pose's?
Command:  python experiments/tune_backbones.py            (embedded synthetic insects)
          python experiments/tune_backbones.py --data my_animals.h5 --set train.epochs=40
          python experiments/tune_backbones.py --address auto --data /shared/my_animals.h5
Needs:    two CPU cores and 9 to 12 minutes for the embedded data; with larger backbones
          (`--config`) a GPU.
Expect:   a ranked table, SWEEP/report.html, and the winner trained on with Ray Train, beside the
          mean pose on held-out samples. A pretrained backbone with joint tokens is first: PA-MPJPE
          11.9 % of body length, the mean pose 12.8 (difference -1.01 to -0.76). After two epochs
          an MLP head is ahead of it in PA-MPJPE by 0.1, which the search says.
"""

import sys
from pathlib import Path

from smil_ray.cli.main import kebab
from smil_ray.orchestration.tune.command import tune_main

if __name__ == "__main__":
    space = Path(__file__).parent / "configs" / "tune_backbones.yaml"
    sys.exit(tune_main(__doc__, space, kebab(sys.argv[1:]), samples=2500))
