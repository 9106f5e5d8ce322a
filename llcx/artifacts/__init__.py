"""Run folders: the only place where llcx writes the disk, and where it reads back what it wrote."""

from llcx.artifacts.claim import claimed, not_writable, unused
from llcx.artifacts.folder import RunFolder, draws_path, load
from llcx.artifacts.journal import Journal
from llcx.artifacts.trainings import TrainingLog
from llcx.artifacts.writer import Writer, note_failure, refuse_used

__all__ = [
    "Journal",
    "RunFolder",
    "TrainingLog",
    "Writer",
    "claimed",
    "draws_path",
    "load",
    "not_writable",
    "note_failure",
    "refuse_used",
    "unused",
]
