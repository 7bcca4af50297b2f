"""Does it help to change the loss weights while training?

Question: constant weights, 3D keypoints later, or parameters first: which order of the loss terms
          ends with the lowest pose error, over two seeds each?
Command:  python experiments/tune_curriculum.py
          python experiments/tune_curriculum.py --data my_animals.h5 --set train.epochs=60
Needs:    two CPU cores and about 8 minutes for the embedded data.
Expect:   constant weights first (18.7 and 19.5 % of body length), parameters first close behind
          (19.7 and 19.8), 3D keypoints later last by more than the seeds differ (22.7 and 23.7).
          Trials are compared by their pose error and never by their own weighted loss, which
          would call the curriculum with the smallest weights the best.
"""

import sys
from pathlib import Path

from smil_ray.cli.main import kebab
from smil_ray.orchestration.tune.command import tune_main

if __name__ == "__main__":
    space = Path(__file__).parent / "configs" / "tune_curriculum.yaml"
    sys.exit(tune_main(__doc__, space, kebab(sys.argv[1:])))
