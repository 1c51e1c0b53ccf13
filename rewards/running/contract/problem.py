"""What can be wrong with a reward, by name, and which of it stops a run."""

from typing import Literal, NamedTuple

Level = Literal["error", "warning"]

# An error would stop training or spoil what is learnt; a warning may be meant.
LEVELS: dict[str, Level] = {
    "not_found": "error",
    "signature": "error",
    "missing_column": "error",
    "raises": "error",
    "fails_on_odd": "error",
    "hangs": "error",
    "hangs_sometimes": "error",
    "dies": "error",
    "dies_sometimes": "error",
    "not_a_list": "error",
    "wrong_length": "error",
    "not_a_number": "error",
    "not_finite": "error",
    "any_attribute": "error",
    "odd_name": "error",
    "always_none": "error",
    "reads_no_gold": "error",
    "changes_inputs": "error",
    "depends_on_order": "error",
    "forms_differ": "error",
    "wrong_above_right": "error",
    "pays_nothing": "error",
    "logs_wrong_length": "error",
    "seeds": "error",
    "changes_folder": "error",
    "torch": "error",
    "forks": "error",
    "keeps_threads": "error",
    "leaves_processes": "error",
    "floods": "error",
    "needs_data": "warning",
    "absent_column": "warning",
    "has_gradient": "warning",
    "one_form": "warning",
    "often_none": "warning",
    "not_deterministic": "warning",
    "depends_on_batch": "warning",
    "differs_in_thread": "warning",
    "right_below_maximum": "warning",
    "ignores_answer": "warning",
    "pays_every_answer": "warning",
    "constant": "warning",
    "slow": "warning",
    "few_samples": "warning",
    "not_picklable": "warning",
    "prints": "warning",
    "signal_handler": "warning",
    "environment": "warning",
    "interpreter": "warning",
    "patches": "warning",
}


class RewardProblem(NamedTuple):
    """Something that would stop or spoil training, or that may.

    Attributes:
        reward: Its name.
        kind: A key of `LEVELS`.
        problem: What it does, without its name in front.
        remedy: What to do about it.
    """

    reward: str
    kind: str
    problem: str
    remedy: str

    @property
    def level(self) -> Level:
        """`error` or `warning`."""
        return LEVELS[self.kind]

    def __str__(self) -> str:
        text = f"Reward `{self.reward}` {self.problem}. {self.remedy}"
        return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)  # what hides or moves
