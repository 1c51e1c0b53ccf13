from typing import Literal, NamedTuple

Level = Literal["error", "warning"]

ERRORS = (  # would stop training or spoil what is learnt
    "not_found", "signature", "missing_column", "raises", "fails_on_odd", "hangs", "hangs_sometimes", "dies",
    "dies_sometimes", "not_a_list", "wrong_length", "not_a_number", "not_finite", "any_attribute", "odd_name",
    "always_none", "reads_no_gold", "changes_inputs", "depends_on_order", "forms_differ", "wrong_above_right",
    "pays_nothing", "logs_wrong_length", "seeds", "changes_folder", "torch", "forks", "keeps_threads",
    "leaves_processes", "floods",
)  # fmt: skip
WARNINGS = (  # may be meant
    "needs_data", "absent_column", "has_gradient", "one_form", "often_none", "not_deterministic",
    "depends_on_batch", "differs_in_thread", "right_below_maximum", "ignores_answer", "pays_every_answer",
    "constant", "slow", "few_samples", "not_picklable", "prints", "signal_handler", "environment",
)  # fmt: skip
LEVELS: dict[str, Level] = {**dict.fromkeys(ERRORS, "error"), **dict.fromkeys(WARNINGS, "warning")}


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
