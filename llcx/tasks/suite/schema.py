"""Settings of task=suite, and what is refused before anything runs."""

from dataclasses import dataclass, field

from llcx.settings import at_least, one_of

FAMILIES = (
    *("regular", "flat", "equipartition", "monomial", "sum", "curve", "chain", "reduced_rank", "local"),
    *("label_noise", "dln", "lsa"),
)


@dataclass(frozen=True)
class Suite:
    """Fixed problems, and `nets` random ones of each family that has them."""

    families: list[str] = field(default_factory=lambda: list(FAMILIES))
    problems: list[str] = field(default_factory=list)  # names, * and ? as in a shell; empty: all of the families
    nets: int = 2  # random problems of each of local, label_noise and dln; at most 2 further shapes of lsa
    n: int = 10_000  # rows of the regressions with label noise
    seeds: int = 1  # this seed and the following ones
    name: str = "suite"

    def __post_init__(self) -> None:
        for family in self.families:
            one_of("task.families", family, FAMILIES)
        at_least("task", 0, nets=self.nets)
        at_least("task", 1, seeds=self.seeds)
        at_least("task", 100, n=self.n)  # label_noise.teacher has 10 parameters
