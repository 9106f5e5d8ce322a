"""Sparse parity: lazy training against feature learning, and the learning coefficient along the way."""
