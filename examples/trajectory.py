"""The learning coefficient while a model is trained, and afterwards from its folder of checkpoints.

python examples/trajectory.py [FOLDER]
"""

import logging
import sys
import time
from pathlib import Path

import torch
from torch import nn

import llcx
from llcx.figures import frames

logging.basicConfig(format="%(message)s", level=logging.INFO)
log = logging.getLogger("example")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/example_trajectory")
folder.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
x = torch.randn(500, 4)
y = torch.sign(x[:, :1] * x[:, 1:2]) * x[:, 2:3] + 0.3 * torch.randn(500, 1)
model = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 1))
loss = llcx.likelihoods.Gaussian(noise_std=0.3)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

online = llcx.Online(model, (x, y), loss, every=500, chains=4, draws=40)  # a look now and then
for step in range(1001):
    if step in (0, 50, 100, 200, 400, 700, 1000):
        torch.save(model.state_dict(), folder / f"model_{step}.pt")
    if (found := online(step)) is not None:
        log.info("step %d: %s", step, found)
    optimizer.zero_grad()
    loss(model(x), (x, y)).mean().backward()
    optimizer.step()

for _ in range(2):  # the second time everything comes from the cache
    begun = time.perf_counter()
    frame = llcx.estimate_trajectory(model, folder, (x, y), loss, cache=folder / "cache", chains=4, draws=40)
    log.info("%.1f s", time.perf_counter() - begun)
shown = frame[["step", "llc", "low", "high", "change", "change_low", "change_high", "changed", "flags"]].round(2)
log.info("%s", shown.to_string())
log.info("%s", frames.draw(frame, folder / "trajectory.png"))
