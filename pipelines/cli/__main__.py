"""``python -m pipelines.cli``: the command ``cloudarb``."""

import sys

from pipelines.cli import main

sys.exit(main())
