"""A stand-in for the package transformers that notes how it is called."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn


class Given(nn.Module):
    """A causal language model of other people: its output has `.logits`."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 12)
        self.config = SimpleNamespace(use_cache=True)

    def forward(self, tokens: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table(tokens))


class Library:
    """`calls`: (what, where, keywords) of each call of from_pretrained."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.utils = SimpleNamespace(logging=SimpleNamespace(disable_progress_bar=lambda: None))
        self.AutoModelForCausalLM = self._giving("model", Given)
        self.AutoConfig = self._giving("config", lambda: SimpleNamespace(vocab_size=12, max_position_embeddings=16))
        self.AutoTokenizer = self._giving("tokenizer", lambda: self._tokenizer)

    def _giving(self, what: str, make: Any) -> SimpleNamespace:
        def from_pretrained(folder: str, **keywords: Any) -> Any:
            self.calls.append((what, folder, keywords))
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return make()

        return SimpleNamespace(from_pretrained=from_pretrained)

    @staticmethod
    def _tokenizer(text: str, **keywords: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) % 12 for letter in text[:2000]]}
