"""Variational autoencoders whose prior falls as a power law along the latent dimensions, against those that do not."""
