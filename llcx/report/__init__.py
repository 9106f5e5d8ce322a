"""report.html: a run or a sweep as one page that needs nothing but itself. `python -m llcx.report DIR` writes it again.

page, sweep   a run folder, a collected sweep -> the page
verdict       its first lines
table         measurements, with intervals against known values
hypotheses    verdicts on what was registered before the runs, of tasks that have hypotheses
checks        what each health check says where it was passed or not run; lights: all of them over all rows
pictures      figures, inlined; captions: what is said of each
facts         cost, code, machine, plans, settings
templates/    how it looks
"""

from llcx.report.page import render, write
from llcx.report.sweep import write_sweep

__all__ = ["render", "write", "write_sweep"]
