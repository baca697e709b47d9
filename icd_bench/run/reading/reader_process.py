"""A process that reads samples: ``python -m icd_bench.run.reading.reader_process NUMBER``.

The number is that of an open file: the way to the process that asks.
"""

import sys
from multiprocessing.connection import Connection

from icd_bench.run.reading.sample_reading import serve

if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
