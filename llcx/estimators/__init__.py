"""Estimators: draws -> Estimate."""
