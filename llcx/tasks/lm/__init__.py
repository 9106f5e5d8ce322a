"""Small language models: what is learned in context, and the learning coefficient of a model and of its heads.

Importing the package registers task, model and data.
"""

from llcx.tasks.lm.task import LanguageTask

__all__ = ["LanguageTask"]
