"""The images and the machine of one arm, as its settings and its streams alone decide them."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from jaxtyping import Float
from torch import Tensor

from llcx.tasks.vae import images, model, priors, schema, spectra
from llcx.tasks.vae.images import Images
from llcx.tasks.vae.model import VAE
from llcx.tasks.vae.networks import Shape
from llcx.tasks.vae.objective import Criterion
from llcx.types import Streams


@dataclass(frozen=True)
class Drawn:
    """The images of one seed."""

    images: Images

    @cached_property
    def eigenvalues(self) -> Float[Tensor, " K"]:
        """Of the training rows' covariance, all channels counted, descending."""
        return spectra.eigenvalues(self.images.train)


def images_of(cfg: schema.VAE, streams: Streams) -> Images:
    """Shared by the arms of a seed, so not to be written to. Raises as `images.draw`."""
    return drawn(cfg, streams).images


def machine(cfg: schema.VAE, streams: Streams) -> tuple[VAE, Criterion]:
    """A VAE at its initial weights, which are the same for any prior, and its loss. Raises as `priors.scale`."""
    cfg = schema.applied(cfg)
    found = drawn(cfg, streams)
    shape = Shape(*found.images.train.shape[1:])
    own = found.eigenvalues if cfg.prior.kind == "data_pca" else None
    scale = priors.scale(cfg.prior, cfg.model.latent_dim, own)
    vae = model.build(cfg.model, shape, scale, streams.generator("init"))
    return vae, Criterion(cfg.model, cfg.loss, shape, vae.scale)


def drawn(cfg: schema.VAE, streams: Streams) -> Drawn:
    """What arms of one seed and of the same data share."""
    return _drawn(cfg.data, streams)  # type: ignore[arg-type]  # streams are equal where their numbers are


@lru_cache(maxsize=2)  # a study goes through the arms of one seed, then of the next
def _drawn(data: schema.Images, streams: Streams) -> Drawn:
    return Drawn(images.draw(data, streams))
