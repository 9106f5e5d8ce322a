"""One peer of speed.py on one workload, under a Python of its own: a line on stdin runs it, a line of JSON answers.

    PYTHON benchmarks/speed_peers.py devinterp|posteriors|jax WORKLOAD

The first line out is {"first": CPU seconds until the first draw, imports left out}; then each number N on stdin is
answered by {"seconds": CPU seconds of N steps of all chains, "memory": peak MiB of this process}.
"""

import json
import resource
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from time import process_time
from typing import Any

from speed_models import WORKLOADS, Workload, network, rows  # type: ignore[import-not-found]

Run = Callable[[int], None]  # of so many steps of all chains


def of_devinterp(workload: Workload) -> Run:
    """As its documentation has it: a DataLoader, one chain after the other."""
    import torch
    from devinterp.optim.sgmcmc import SGMCMC  # type: ignore[import-not-found]
    from devinterp.slt.sampler import estimate_learning_coeff_with_summary  # type: ignore[import-not-found]
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    net, data, nats = network(workload), rows(workload), mean_loss(workload)

    def run(steps: int) -> None:
        loader = DataLoader(TensorDataset(*data), batch_size=workload.batch, shuffle=True)
        settings = {"lr": workload.step_size, "localization": 1.0, "nbeta": 10.0}
        estimate_learning_coeff_with_summary(
            net,
            loader,
            evaluate=nats,
            sampling_method=SGMCMC.sgld,
            optimizer_kwargs=settings,
            num_chains=workload.chains,
            num_draws=steps,
            init_loss=1.0,
            verbose=False,
        )

    return run


def mean_loss(workload: Workload) -> Any:
    """(model, batch) -> nats a row, or a prediction, in the mean."""
    import torch.nn.functional as F

    def nats(model: Any, batch: Any) -> Any:
        if workload.kind == "transformer":
            logits = model(batch[0][:, :-1])
            return F.cross_entropy(logits.flatten(0, 1), batch[0][:, 1:].flatten())
        if workload.kind == "dln":
            return 0.5 * (model(batch[0]) - batch[1]).square().sum(1).mean()
        return F.cross_entropy(model(batch[0]), batch[1])

    return nats


def of_posteriors(workload: Workload) -> Run:
    """One chain after the other; rows by index, which is faster than a DataLoader."""
    import posteriors  # type: ignore[import-not-found]
    import torch
    from torch.func import functional_call

    torch.set_num_threads(1)
    net, data, nats = network(workload), rows(workload), mean_loss(workload)
    at = {name: p.detach().clone() for name, p in net.named_parameters()}

    def log_posterior(w: dict[str, torch.Tensor], batch: tuple[torch.Tensor, ...]) -> Any:
        loss = nats(lambda x: functional_call(net, w, (x,)), batch)
        near = sum((w[name] - at[name]).square().sum() for name in at)
        return -10.0 * loss - 0.5 * near, loss

    kernel = posteriors.sgmcmc.sgld.build(log_posterior, lr=0.5 * workload.step_size)

    def run(steps: int) -> None:
        for _ in range(workload.chains):
            state, told = kernel.init({name: p.clone() for name, p in at.items()}), []
            for _ in range(steps):
                chosen = torch.randint(workload.rows, (workload.batch,))
                state, loss = kernel.update(state, tuple(each[chosen] for each in data), inplace=True)
                told.append(loss.detach())

    return run


def of_jax(workload: Workload) -> Run:
    """scan over steps of vmap over chains, its own random numbers."""
    import jax
    import jax.numpy as jnp

    net, data = network(workload), [jnp.asarray(each.numpy()) for each in rows(workload)]
    layers = [jnp.asarray(p.detach().numpy()) for p in net.parameters()]

    def loss(w: list[Any], chosen: Any) -> Any:
        if workload.kind == "transformer":
            words = data[0][chosen]
            return crossed(logits_of_jax(workload, w, words[:, :-1]), words[:, 1:])
        h, labels = data[0][chosen], data[1][chosen]
        if workload.kind == "dln":
            for matrix in w:
                h = h @ matrix.T
            return 0.5 * ((h - labels) ** 2).sum(1).mean()
        for k in range(0, len(w), 2):
            h = h @ w[k].T + w[k + 1]
            h = jax.nn.relu(h) if k < len(w) - 2 else h
        return crossed(h, labels)

    def crossed(logits: Any, labels: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1).mean()

    def step(w: list[Any], key: Any) -> tuple[list[Any], Any]:
        rows_key, noise = jax.random.split(key)
        chosen = jax.random.randint(rows_key, (workload.batch,), 0, workload.rows)
        value, slope = jax.value_and_grad(loss)(w, chosen)
        keys = jax.random.split(noise, len(w))
        eps = workload.step_size
        moved = [
            p - 0.5 * eps * (10.0 * g + p - at) + eps**0.5 * jax.random.normal(k, p.shape)
            for p, g, at, k in zip(w, slope, layers, keys, strict=True)
        ]
        return moved, value

    @jax.jit
    def chains(w: list[Any], keys: Any) -> Any:
        return jax.lax.scan(jax.vmap(step), w, keys)

    start = [jnp.repeat(p[None], workload.chains, 0) for p in layers]
    held = {"w": start}

    def run(steps: int) -> None:
        keys = jax.random.split(jax.random.PRNGKey(0), (workload.quick, workload.chains))
        for _ in range(max(1, steps // workload.quick)):
            held["w"], values = chains(held["w"], keys)
        values.block_until_ready()

    return run


def logits_of_jax(workload: Workload, w: list[Any], words: Any) -> Any:
    """What speed_models.Transformer gives [B, T, tokens], of its parameters in their order."""
    import jax
    import jax.numpy as jnp

    _, width, _, length = workload.widths
    places, tokens, *blocks, gain, shift = w
    future = jnp.triu(jnp.ones((length, length), bool), 1)

    def normed(x: Any, gain: Any, shift: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + shift

    x = tokens[words] + places
    for k in range(0, len(blocks), 12):
        g1, s1, g2, s2, into, b_into, out, b_out, up, b_up, down, b_down = blocks[k : k + 12]
        joined = normed(x, g1, s1) @ into.T + b_into
        q, key, value = (
            each.reshape(*each.shape[:-1], 4, width // 4).swapaxes(-2, -3) for each in jnp.split(joined, 3, -1)
        )
        scores = jnp.where(future, -jnp.inf, q @ key.swapaxes(-1, -2) * (width // 4) ** -0.5)
        seen = (jax.nn.softmax(scores) @ value).swapaxes(-2, -3)
        x = x + seen.reshape(x.shape) @ out.T + b_out
        x = x + jax.nn.gelu(normed(x, g2, s2) @ up.T + b_up, approximate=False) @ down.T + b_down
    return normed(x, gain, shift) @ tokens.T


def main(peer: str, name: str) -> None:
    warnings.simplefilter("ignore")
    workload = WORKLOADS[name]
    import_module({"devinterp": "devinterp.slt.sampler", "posteriors": "posteriors", "jax": "jax.numpy"}[peer])
    begun = process_time()
    go = {"devinterp": of_devinterp, "posteriors": of_posteriors, "jax": of_jax}[peer](workload)
    go(1)
    answer({"first": process_time() - begun})
    for line in sys.stdin:
        begun = process_time()
        go(int(line))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer({"seconds": process_time() - begun, "memory": memory})


def answer(found: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
