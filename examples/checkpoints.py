"""A residual classifier of digits with batch normalisation and dropout, and the checkpoints that its training leaves.

python examples/checkpoints.py
python train.py task=custom task.model=examples/checkpoints.py:build task.data=examples/checkpoints.py:load \
    task.loss=categorical task.weights=outputs/checkpoints estimator.gamma=100 estimator.chains=4 estimator.draws=40
"""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


class Residual(nn.Module):
    """Logits [B, 10] of images [B, 64]; 1114 parameters."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU())
        self.block = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        return self.head(h + self.block(h))


def build() -> nn.Module:
    """The classifier with its initial weights."""
    return Residual()


def load() -> tuple[Tensor, Tensor]:
    """500 images [500, 64] in [0, 1] and their labels [500]."""
    pixels, digits = load_digits(return_X_y=True)
    return torch.tensor(pixels[:500] / 16, dtype=torch.float32), torch.tensor(digits[:500])


def train(folder: Path) -> None:
    """Leave checkpoint-50/, checkpoint-200/ and checkpoint-600/ in the folder: weights, and the optimiser's state."""
    torch.manual_seed(0)
    model, (x, y) = build(), load()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 601):
        batch = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        if step in (50, 200, 600):
            kept = folder / f"checkpoint-{step}"
            kept.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), kept / "pytorch_model.bin")
            torch.save(optimizer.state_dict(), kept / "optimizer.pt")


if __name__ == "__main__":
    train(Path("outputs/checkpoints"))
