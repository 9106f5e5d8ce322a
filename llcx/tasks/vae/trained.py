"""An arm of a study, and the VAE that its training left: what tables and pictures are made from."""

from functools import partial
from typing import NamedTuple

from torch import Tensor

from llcx.course import ROLE
from llcx.tasks.generic import Arm
from llcx.tasks.vae import measures, schema
from llcx.tasks.vae.built import images_of, machine
from llcx.tasks.vae.comparisons import ABOUT, Row, Run
from llcx.tasks.vae.measures import Machine, Posterior
from llcx.tasks.vae.model import VAE
from llcx.tasks.vae.objective import Criterion
from llcx.tasks.vae.watched import MOST
from llcx.types import Snapshots, Streams

TOGETHER = 2**23  # numbers in a layer that are held at once


class Trained(NamedTuple):
    """A VAE at the end of its training, in evaluation mode, and the test rows of its seed."""

    about: Row  # whose it is: the columns ABOUT
    cfg: schema.VAE  # its variant applied
    streams: Streams
    vae: VAE
    criterion: Criterion
    test: Tensor

    @property
    def machine(self) -> Machine:
        density = self.criterion.log_density
        if self.cfg.model.likelihood == "gaussian_learned_sigma":
            density = partial(density, sigma=self.vae.log_sigma.exp())
        return Machine(self.vae.encode, self.vae.decode, density, self.vae.scale)

    @property
    def noise(self) -> float | None:
        """s2: the decoder's variance, times what weighs the KL divergence; None where it is not Gaussian."""
        if self.cfg.model.likelihood == "bernoulli":
            return None
        learned = self.cfg.model.likelihood == "gaussian_learned_sigma"
        variance = float(self.vae.log_sigma.exp().square()) if learned else self.criterion.variance
        return self.criterion.beta * variance

    @property
    def together(self) -> int:
        """Rows that a network sees at once."""
        shape, arch = self.vae.shape, self.cfg.model.arch
        wide = self.cfg.model.units * (shape.height * shape.width if arch in ("conv", "resnet18") else 1)
        return max(1, TOGETHER // max(wide, shape.pixels))

    def posterior(self) -> Posterior:
        """Of the test rows that the training watched."""
        return measures.posterior(self.machine, self.test[:MOST], chunk=self.together)


def about(arm: Arm) -> Row:
    """The columns ABOUT. variant: empty where there is none; gamma: 0 of a flat prior, empty of one without a gamma."""
    cfg = schema.applied(arm.cfg)
    gamma = {"ones": 0.0, "power": cfg.prior.gamma, "power_clip": cfg.prior.gamma}.get(cfg.prior.kind, "")
    whose = (arm.name, arm.streams.seed, arm.cfg.variant or "", cfg.prior.kind, gamma)
    how = (cfg.model.parametrisation, cfg.model.latent_dim, cfg.fit.learning_rate)
    return dict(zip(ABOUT, (*whose, *how), strict=True))


def ran(arm: Arm, snapshot: Snapshots) -> Run | None:
    """An arm's training; None where it has not come to an end of any kind."""
    course = snapshot(arm.name, ROLE)
    return None if course is None else Run(about(arm), course)


def left(arm: Arm, snapshot: Snapshots) -> Trained | None:
    """What an arm's training left; None where it did not come to its last step."""
    state = snapshot(arm.name, "final")
    if state is None:
        return None
    vae, criterion = machine(arm.cfg, arm.streams)
    vae.load_state_dict(state)
    test = images_of(arm.cfg, arm.streams).test
    return Trained(about(arm), schema.applied(arm.cfg), arm.streams, vae.eval().requires_grad_(False), criterion, test)
