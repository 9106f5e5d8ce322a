"""How llcx tests a random number: enough precision first, agreement second."""

from llcx.types import Trace


def assert_matches(draws: Trace, truth: float, *, rel_se: float = 0.01, z: float = 5.0) -> None:
    """The chains' mean agrees with `truth`, and was precise enough to have disagreed.

    Chains are independent, so the spread of their means is an honest standard error however correlated the draws.
    Without the first gate a sampler would pass by being noisy.
    """
    means = draws.mean(1)
    mean, se = means.mean().item(), (means.std() / len(means) ** 0.5).item()
    assert se < rel_se * abs(truth), f"too noisy to judge: se {se:.3g}, truth {truth:.4g}"
    assert abs(mean - truth) < z * se, f"{mean:.4f} +- {se:.4f} (se) excludes {truth:.4f}"
