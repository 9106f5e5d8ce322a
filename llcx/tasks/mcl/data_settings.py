"""Settings of the grids of task=mcl, and what is refused before anything runs."""

from dataclasses import dataclass

from llcx.settings import at_least, one_of

PARAMS = ("sampled", "fixed")
SHIFTS = ("all", "axis")
CONDITIONINGS = ("program", "demos", "none")
GROUPINGS = ("multi_hot", "ordered")
ORDERS = ("both", "one")
LONGEST = 4  # steps of any program
DISTINCT = {3: 120, 4: 360}  # length -> compositions of that length without a repeated primitive
MOST_COLOURS = 64
MOST_HELD_OUT = 12  # pairs that can be held out with each primitive at least three times left in both places


@dataclass(frozen=True)
class Data:
    """Grids of 8 x 8 cells, programs of primitives on them, and which compositions are kept from training."""

    colours: int = 4  # C, the background 0 counted
    params: str = "sampled"  # sampled: every row draws its own | fixed: one parameter a primitive, the easy regime
    shift: str = "all"  # all: the 24 translations by up to 2 cells each way | axis: the 8 of them along one axis
    conditioning: str = "program"  # what is shown beside the grid: program | demos | none (not a function of the grid)
    demos: int = 3  # further pairs (grid, result) of the row's own program, with conditioning=demos
    group_by: str = "multi_hot"  # a group: multi_hot (the same set of primitives) | ordered (the same composition)
    tries: int = (
        8  # draws of a step's parameter while the step changes nothing, and then of the whole row; 1: none again
    )
    train_size: int | None = 50_000  # rows to train on, epoch after epoch; null: fresh ones for ever
    val_size: int = 5_000  # rows of val_id, and of val_ood
    test_size: int = 5_000  # rows of test_pair, of test_len3 and of test_len4
    held_out_val: int = 4  # ordered pairs of primitives in val_ood, of 36
    held_out_test: int = 4  # and in test_pair
    orders: str = (
        "both"  # of a held-out pair: both (its set of primitives is unseen too) | one (the other may be trained)
    )
    length_3: int = 60  # compositions of test_len3, of the 120 without a repeated primitive
    length_4: int = 0  # of test_len4, of 360; 0: there is no such split
    groups_per_batch: int = 4  # G, different ones
    samples_per_group: int = 32  # n of each
    chunk: int = 4096  # rows that are drawn together, at most; it decides which rows they are
    buffer: int | None = None  # chunks that are kept; null: as many as training comes back to. No row depends on it
    name: str = "programs"

    def __post_init__(self) -> None:
        one_of("task.data.params", self.params, PARAMS)
        one_of("task.data.shift", self.shift, SHIFTS)
        one_of("task.data.conditioning", self.conditioning, CONDITIONINGS)
        one_of("task.data.group_by", self.group_by, GROUPINGS)
        one_of("task.data.orders", self.orders, ORDERS)
        at_least("task.data", 3, colours=self.colours)
        at_least("task.data", 2, groups_per_batch=self.groups_per_batch)
        at_least("task.data", 1, demos=self.demos, tries=self.tries, samples_per_group=self.samples_per_group)
        at_least("task.data", 1, val_size=self.val_size, test_size=self.test_size, chunk=self.chunk)
        at_least("task.data", 0, held_out_val=self.held_out_val, held_out_test=self.held_out_test)
        at_least("task.data", 0, length_3=self.length_3, length_4=self.length_4)
        for key in ("train_size", "buffer"):
            if getattr(self, key) is not None:
                at_least("task.data", int(key == "train_size"), **{key: getattr(self, key)})
        if self.colours > MOST_COLOURS:
            raise ValueError(f"task.data.colours must be <= {MOST_COLOURS}, got {self.colours}")
        self._check_held_out()

    def _check_held_out(self) -> None:
        both = self.held_out_val + self.held_out_test
        if both > MOST_HELD_OUT:
            raise ValueError(
                f"task.data.held_out_val + held_out_test must be <= {MOST_HELD_OUT}, got {both}; "
                "each primitive is to be trained in both places of a pair"
            )
        for key in ("held_out_val", "held_out_test"):
            if self.orders == "both" and getattr(self, key) % 2:
                raise ValueError(
                    f"task.data.{key} must be even with orders=both, got {getattr(self, key)}; or choose orders=one"
                )
        for length, most in DISTINCT.items():
            if getattr(self, f"length_{length}") > most:
                raise ValueError(
                    f"task.data.length_{length} must be <= {most}, got {getattr(self, f'length_{length}')}; "
                    "there are no more compositions without a repeated primitive"
                )

    @property
    def longest(self) -> int:
        """Steps of the longest program of any split: the length that programs are padded to."""
        return 4 if self.length_4 else 3 if self.length_3 else 2

    @property
    def shown_pairs(self) -> int:
        """Pairs (grid, result) beside each row."""
        return self.demos if self.conditioning == "demos" else 0
