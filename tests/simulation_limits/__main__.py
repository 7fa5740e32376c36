"""`python -m tests.simulation_limits`; see `soak.py`, which the processes of a soak can import."""

import sys

from tests.simulation_limits.soak import main

if __name__ == "__main__":
    sys.exit(main())
