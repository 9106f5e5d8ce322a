"""A causal language model of a local folder, as `save_pretrained` leaves it: nothing is downloaded, no code of the
folder runs, and weights are read from safetensors alone.
"""

import importlib
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

CURE = "pip install 'llcx[transformers]'"
LOCAL: Any = {"local_files_only": True, "trust_remote_code": False}


def load(folder: str, vocabulary: int, context: int) -> nn.Module:
    """The model in eval mode, in float32; attention written out, since the fused kernels do not run over chains.

    Raises ValueError where it is not there, or has too few tokens or places.
    """
    library = _library(folder)
    if not list(Path(folder).glob("*.safetensors")):
        raise ValueError(
            f"task.model.folder must hold *.safetensors, got none in {folder}; "
            "write it with model.save_pretrained(folder)"
        )
    has = library.AutoConfig.from_pretrained(folder, **LOCAL)
    places = getattr(has, "max_position_embeddings", context)
    for key, asked, most in (("vocabulary", vocabulary, has.vocab_size), ("context", context, places)):
        if asked > most:
            raise ValueError(f"task.data.{key} must be <= {most}, what the model in {folder} takes, got {asked}")
    library.utils.logging.disable_progress_bar()
    model: nn.Module = library.AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32, attn_implementation="eager", **LOCAL
    )
    model.config.use_cache = False  # type: ignore[union-attr]
    return model.eval()


def encoded(folder: str, text: str) -> tuple[Int[Tensor, " N"], int]:
    """The text in the tokens of the folder's own tokenizer, and one more than the largest of them."""
    library = _library(folder)
    if not (Path(folder) / "tokenizer.json").exists():
        raise ValueError(
            f"task.model.folder must hold tokenizer.json for task.data.source=text, got none in {folder}; "
            "write it with tokenizer.save_pretrained(folder)"
        )
    tokenizer = library.AutoTokenizer.from_pretrained(folder, **LOCAL)
    ids = torch.tensor(tokenizer(text, return_attention_mask=False, verbose=False)["input_ids"])
    return ids, int(ids.max()) + 1


def _library(folder: str) -> Any:
    """The package, looked for after the folder: a wrong path is the likelier mistake."""
    if not (Path(folder) / "config.json").exists():
        raise ValueError(
            f"task.model.folder must be a folder with config.json, got {folder}; "
            "nothing is downloaded: write it with model.save_pretrained(folder)"
        )
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise ValueError(f"task.model.folder needs the package transformers, which is not installed; {CURE}") from None
