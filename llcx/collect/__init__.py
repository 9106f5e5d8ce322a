"""Many runs as one: `python -m llcx.collect SWEEP` makes a table, a figure and a report; `--log` keeps a journal.

Reads run folders alone, so it works while jobs run, and after some failed, were killed or never began.
"""

from llcx.collect.experiments import keep
from llcx.collect.jobs import Job, find
from llcx.collect.tables import write

__all__ = ["Job", "find", "keep", "write"]
