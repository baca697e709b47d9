"""From a request to a folder of results: plan, cells, invert, edit, images, score, results.

Importing this package loads neither torch nor pandas.
"""

from icd_bench.run.planning.plan import Plan
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.planning.resolve import make_plan
from icd_bench.run.runner import EditedPicture, RunSummary, edit_one, execute
from icd_bench.run.storage.store import RunFolder, latest_run

__all__ = [
    "EditedPicture",
    "Plan",
    "RunFolder",
    "RunRequest",
    "RunSummary",
    "edit_one",
    "execute",
    "latest_run",
    "make_plan",
]
