"""``python -m icd_bench`` is ``icd-bench``."""

import sys

from icd_bench.cli.app import main

sys.exit(main())
