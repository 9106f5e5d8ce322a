"""Benchmarks: accuracy beside another package, and what the checks of a measurement catch. See README.md."""
