"""`python -m jensen.cli`, where the script `jensen` is not installed."""

import sys

from jensen.cli.entry import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
