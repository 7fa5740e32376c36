"""`python -m tests.simulation`; see `soak.py`, which the processes of a soak can import."""

import sys

from tests.simulation.soak import main

if __name__ == "__main__":
    sys.exit(main())
