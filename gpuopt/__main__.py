"""`python -m gpuopt`: the command line."""

import sys

from gpuopt.cli import main

if __name__ == "__main__":
    sys.exit(main())
