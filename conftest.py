"""The suite sees the packages of this repository, and no others that happen to be installed."""

import os
from pathlib import Path

PACKAGES = sorted(path.parent.name for path in Path(__file__).parent.glob("plugins/*/pyproject.toml"))

os.environ["CERVBENCH_PLUGINS"] = ",".join(PACKAGES)
