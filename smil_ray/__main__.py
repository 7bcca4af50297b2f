"""`python -m smil_ray` is `smil-ray`."""

import sys

from smil_ray.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
