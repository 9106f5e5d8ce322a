"""`import llcx` and what a script takes from it first cost next to nothing beside torch."""

import subprocess
import sys

ALLOWED = 0.5  # seconds beside torch's own import
HEAVY = ("hydra", "omegaconf", "pandas", "pyro", "matplotlib", "scipy", "sklearn", "rich", "jinja2", "arviz", "xarray",
         "tensorboard", "transformers", "safetensors", "yaml")  # fmt: skip
TAKEN = ("estimate", "estimate_potential", "estimate_trajectory", "load", "to_arviz", "samplers.SGLD", "theory.dln",
         "likelihoods.Gaussian")  # fmt: skip


def told(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_names_of_llcx_are_there_at_no_cost_beside_torch() -> None:
    """In seconds of the processor: those of the clock are a busy machine's."""
    begun = "import sys, time; import llcx; alone = [m for m in ('torch', 'numpy') if m in sys.modules]; import torch"
    names = "; ".join(f"llcx.{name}" for name in TAKEN)
    heavy = f"[m for m in {HEAVY} if m in sys.modules and m not in before]"
    code = f"{begun}; before = {{*sys.modules}}; t = time.process_time(); {names}; t = time.process_time() - t"
    alone, loaded, seconds = told(f"{code}; print(alone, {heavy}, t, sep='|')").split("|")
    assert (alone, loaded) == ("[]", "[]")
    assert float(seconds) < ALLOWED
