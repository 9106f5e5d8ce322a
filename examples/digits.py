"""The learning coefficient of a classifier of digits over its training, in one figure: python examples/digits.py"""

import copy

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

import llcx

torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
x, y = torch.tensor(pixels[:600] / 16, dtype=torch.float32), torch.tensor(digits[:600])
model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
kept = {}  # name -> weights; the number in the name is the step
for step in range(1001):
    if step in (0, 10, 30, 100, 300, 1000):
        kept[f"step {step}"] = copy.deepcopy(model.state_dict())
    batch = torch.randint(len(x), (64,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
    optimizer.step()

found = llcx.estimate_trajectory(model, kept, (x, y), llcx.likelihoods.Categorical(), gamma=100.0, chains=4, draws=40)

figure, (above, below) = plt.subplots(2, 1, sharex=True, layout="constrained")
above.plot(found.step, found.loss_at, "ko-", ms=4)
above.set(ylabel="training loss [nats]", yscale="log", title="Digits: loss and learning coefficient over training")
below.errorbar(found.step, found.llc, [found.llc - found.low, found.high - found.llc], fmt="o-", lw=1, capsize=3)
below.set(xlabel="step", xscale="symlog", ylabel=r"$\hat\lambda$ (self, $\gamma$ = 100)")
figure.savefig("digits.png", dpi=150)
