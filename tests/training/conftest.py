"""The toy network and batches of the methods' tests serve here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "methods"))

from toy import sizes_that_fit

__all__ = ["sizes_that_fit"]
