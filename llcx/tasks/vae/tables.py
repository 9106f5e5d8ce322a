"""What task=vae leaves under analysis/, from the courses of its trainings and the VAEs that they left.

networks.csv    a row for each training: its size, what it told first and last, the likelihood of test rows, its latents
dimensions.csv  a row for each of their latents: the prior's scale, KL divergence, what it carries
gammas.csv      metrics against gamma, means over seeds
targets.csv     a row for each training: when its test loss was that of gamma = 0 at the end
stability.csv   a row for each gamma: how steadily trainings went
spectra.csv     a row for each spectrum: of the images, in grey, of the first seed, and of each VAE's latents
eigenvalues.npz input, <training>/means, <training>/aggregated: eigenvalues; <training>/scale: the prior's
curves.npz      <training>/<name>: what each training told along its way (llcx.course)
pictures.npz    test rows, what VAEs make of them, samples of their priors
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from llcx.tasks.generic import Arm, GenericTask
from llcx.tasks.vae import comparisons, measures, model
from llcx.tasks.vae.built import images_of, machine
from llcx.tasks.vae.comparisons import Row, Run
from llcx.tasks.vae.measures import ACTIVE, Latents, Posterior
from llcx.tasks.vae.pictures import chosen, pictures
from llcx.tasks.vae.schema import Measures
from llcx.tasks.vae.spectra_table import Inputs, exponent, latent_rows, shape
from llcx.tasks.vae.trained import Trained, left, ran
from llcx.types import Snapshots, Tables

CHUNK = 2**14  # decoded at once, at most
INITIAL, LAST = ("loss", "mse", "kl"), ("loss", "mse", "kl", "nats")
LIKELIHOOD = ("nll", "nll_se", "nll_bits", "nll_samples", "nll_rows", "nll_ess")
LATENTS = ("active", "predicted_active", "noise", "latent_exponent", "prior_exponent", "participation")
UNKNOWN: Row = dict.fromkeys((*LIKELIHOOD, *LATENTS, "effective_rank"))


def analyse(made: GenericTask, snapshot: Snapshots) -> Tables:
    """Of every training that ended, be it because its loss was not finite; nothing where there is none."""
    arms = list(made.arms.values())
    runs = {arm.name: run for arm in arms if (run := ran(arm, snapshot)) is not None}
    if not runs:
        return Tables()
    inputs = Inputs(images_of(arms[0].cfg, arms[0].streams).train, made.cfg.measures, arms[0].streams)
    tables, arrays = _networks([arm for arm in arms if arm.name in runs], runs, inputs, snapshot)
    noise = next((row["noise"] for row in tables["networks"] if row["noise"] is not None), None)
    tables["spectra"].insert(0, inputs.row(noise))
    each = list(runs.values())
    tables |= {name: getattr(comparisons, name)(each) for name in ("gammas", "targets", "stability")}
    arrays["curves"] = {f"{name}/{key}": value for name, run in runs.items() for key, value in run.course.items()}
    arrays["eigenvalues"] |= inputs.arrays()
    return Tables({name: rows for name, rows in tables.items() if rows}, {k: v for k, v in arrays.items() if v})


def _networks(
    arms: Sequence[Arm], runs: Mapping[str, Run], inputs: Inputs, snapshot: Snapshots
) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """Tables and arrays that are made of one VAE at a time."""
    tables, arrays = defaultdict[str, list[Row]](list), defaultdict[str, dict[str, Any]](dict)
    shown = chosen([arm for arm in arms if runs[arm.name].ended])
    for arm in arms:
        trained = left(arm, snapshot)
        row = network(arm, runs[arm.name])
        if trained is None:
            tables["networks"].append({**row, **UNKNOWN})
            continue
        found = trained.posterior()
        spectra = measures.latent_spectra(found, trained.vae.scale)
        told = likelihood(trained, inputs.settings) | latents(trained, found, spectra, inputs)
        tables["networks"].append({**row, **told})
        tables["dimensions"] += dimensions(trained, found)
        tables["spectra"] += latent_rows(trained.about, spectra)
        named = {**spectra._asdict(), "scale": trained.vae.scale}
        arrays["eigenvalues"] |= {f"{arm.name}/{key}": values for key, values in named.items()}
        if inputs.settings.pictures and arm.name in shown:
            arrays["pictures"] |= pictures(trained, inputs.settings.pictures)
    return tables, arrays


def network(arm: Arm, run: Run) -> Row:
    """What a training told of the test rows at its start, and at the last event that it came to."""
    vae, _ = machine(arm.cfg, arm.streams)
    size = {"parameters": model.parameters(vae)["all"], "steps": len(run.values("loss")), "ended": run.ended}
    test = {name: run.values(f"test/{name}").tolist() for name in LAST}
    first = {f"initial_{name}": next(iter(test[name]), None) for name in INITIAL}
    return {**run.about, **size, **first, **{f"test_{name}": (test[name] or [None])[-1] for name in LAST}}


def likelihood(trained: Trained, settings: Measures) -> Row:
    """The bound on -log p(x) by importance sampling, nats an example: mean over test rows and its standard error.

    nll_bits: a dimension. nll_ess: how many samples the weights of a row amount to, the median.
    """
    rows, samples = trained.test[: settings.rows], settings.importance
    if not samples:
        return dict.fromkeys(LIKELIHOOD)
    key, chunk = trained.streams.key("importance"), min(CHUNK, trained.together)
    nll, ess = measures.importance(trained.machine, rows, samples=samples, key=key, chunk=chunk)
    mean = float(nll.mean())
    error = float(nll.std() / len(rows) ** 0.5) if len(rows) > 1 else None
    bits = measures.bits_per_dimension(mean, trained.criterion.shape.pixels)
    return dict(zip(LIKELIHOOD, (mean, error, bits, samples, len(rows), float(ess.median())), strict=True))


def latents(trained: Trained, found: Posterior, spectra: Latents, inputs: Inputs) -> Row:
    """How many latents are used and how many linear theory expects, and what their spectra are."""
    noise, size = trained.noise, trained.cfg.model.latent_dim
    expected = None if noise is None else measures.predicted_active(inputs.whole, noise, size, threshold=ACTIVE)
    prior = trained.vae.scale.double().square().sort(descending=True).values
    exponents = {"latent_exponent": exponent(spectra.aggregated), "prior_exponent": exponent(prior)}
    counts = {"active": found.active(), "predicted_active": expected, "noise": noise}
    means = shape(spectra.means)
    return {**counts, **exponents, **{name: means[name] for name in ("participation", "effective_rank")}}


def dimensions(trained: Trained, found: Posterior) -> list[Row]:
    """Means over test rows; kl in nats."""
    columns = zip(trained.vae.scale.tolist(), found.kl.mean(0).tolist(), found.carried.tolist(), strict=True)
    return [
        {**trained.about, "dimension": i, "scale": scale, "kl": kl, "carried": carried}
        for i, (scale, kl, carried) in enumerate(columns, 1)
    ]
