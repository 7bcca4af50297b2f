"""`python -m smil_ray` is `smil-ray`."""

import sys

from smil_ray.cli import main

if __name__ == "__main__":
    sys.exit(main())
