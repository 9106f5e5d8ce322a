"""Linear self-attention: H(X) = X W_Q W_K^T X^T on prompts of linear regression, at weights of known rank.

Two theories compete, of the d x d block M of W_Q W_K^T and of the whole (d+1) x (d+1) matrix; the estimate decides
between them. Importing the package registers task, model and data.
"""

from llcx.tasks.lsa.task import build

__all__ = ["build"]
