"""The programs of benchmarks/ import one another by the names they have there."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
