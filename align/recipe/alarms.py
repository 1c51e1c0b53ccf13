"""The alarms of a run: one entry each, which whoever hears or shows an alarm asks.

They tell what goes together in a batch and prevent nothing; that a reward goes along with length can be right.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import NamedTuple

AUTO = "auto"  # of `stop_on`
LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"


class Drawn(NamedTuple):
    """A chart in words; the alarms of one chart are its lines."""

    title: str
    note: str
    share: bool = False
    unless_zero: bool = False  # whether a line that is 0 throughout is left out


class Alarm(NamedTuple):
    """Everything there is of an alarm; `{}` in its key is a reward's name, or `total`, and in its words the reward."""

    name: str
    key: str  # of the metric that it looks at
    limit: float | None  # off without one
    words: str  # what is so where the interval lies above the limit
    remedy: str
    chart: Drawn
    line: str = ""  # its line, for the total, in a chart with other alarms; a chart of its own has a line per reward
    unit: str = ""
    chosen: str = "docs/evidence/alarms.md#how-far-alarms-can-be-trusted"  # where the curve of the limit is
    in_auto: bool = False  # whether `stop_on: auto` stands for it
    moves: int = 0  # 1 if it speaks of a rise of its metric while the total reward rises, and -1 of a fall
    lasts: int = 0  # over how many logs in a row it speaks, where each is the near end of an interval; else their mean
    feature: str = ""  # `module:function` of a text, whose rank correlation with rewards is logged; else others log it

    @property
    def of_run(self) -> bool:
        """Whether it is of the run, and of no reward."""
        return "{}" not in self.key

    def keys(self, reward: str, logged: Iterable[str]) -> list[str]:
        """Lists the logged metrics that it looks at; without a reward's name, those of the total, or else of each."""
        before, _, after = self.key.partition("{}")
        if reward or self.of_run or (before == "audit/" and not self.moves):
            return [key for key in (self.key.format(reward or "total"),) if key in logged]
        return [key for key in logged if key.startswith(before) and key.endswith(after)]

    def of_text(self, text: str) -> float:
        """Counts its feature of a text."""
        module, _, name = self.feature.partition(":")
        return float(getattr(import_module(module), name)(text))

    def sentence(self, key: str, value: str, limit: float) -> str:
        """Words what a metric above its limit says.

        Example:
            >>> ALARMS["invalid_share"].sentence("rewards/own/invalid_share", "0.10", 0.05)
            'Reward `own` gives values nothing can be learnt from (a timeout, an error, no number): 0.10, above 0.05.'
        """
        before, _, after = self.key.partition("{}")
        reward = key.removeprefix(before).removesuffix(after)
        subject = "The total reward" if reward == "total" else f"Reward `{reward}`"
        return f"{self.words.format(subject, name=reward)}: {value}{self.unit}, above {limit:g}."


_GOES_WITH = Drawn(
    "What the total reward goes along with",
    "Rank correlation among the completions of a prompt: an audit, nothing is held back.",
)
_WITHIN = "(rank correlation within a prompt's completions)"
_NOISE = (
    "The policy is pushed towards completions that were lucky. Fix what varies (temperature and seed of a judge, "
    "order and time limits of tests), average several calls, or raise `num_generations`. What a reward keeps from "
    "call to call, or reads of the rest of its batch, counts as noise here."
)
_PARTED = (
    "What the rewards pay for parts from what is wanted. Read completions from before and after it began, keep an "
    "earlier checkpoint, and "
)
_STOPPED = (
    "End here: `load_best_model_at_end: true` with `metric_for_best_model: probe/greedy` keeps the best checkpoint. "
    "With 500 labelled rows, train on them."
)
_WITHOUT_LABELS = "docs/evidence/without-labels-rehearsals.md#alarms"
_PROBED = Drawn("What the probe tells at least", "Near ends of 95 % intervals, 0 where nothing is told.")
_ALL = (
    Alarm("length", "audit/{}/length", 0.4, f"{{}} goes up with the number of tokens {_WITHIN}",
          "If length is not what the rewards are about, compare short and long completions of one prompt below, and "
          "consider the `length` reward or `reward_clip`.", _GOES_WITH, "length", in_auto=True),
    Alarm("format", "audit/{}/format", 0.25,
          f"{{}} goes up with marks such as lists, headings and bold type {_WITHIN}",
          "Compare completions with and without the marks below. A format reward with a small weight, or as a gate "
          "(`reward_gates`), leaves less to be learnt from marks alone.", _GOES_WITH, "format", in_auto=True),
    Alarm("repetition", "audit/{}/repetition", 0.2, f"{{}} goes up with repeated words {_WITHIN}",
          "Read some of the completions with the highest reward below. A `repetition` reward counts against it.",
          _GOES_WITH, "repetition", in_auto=True),
    Alarm("phrase", "audit/{}/phrase", 0.33,
          "{} goes up with words that completions of several prompts share (mean correlation within a prompt)",
          "The console names the words. If they are not what the rewards are about, count them in what is sampled "
          "(`audit_funcs: [phrases]`), and try the reward on answers with and without them before going on.",
          _GOES_WITH, "a shared phrase"),
    Alarm("invalid_share", "rewards/{}/invalid_share", 0.05,
          "{} gives values nothing can be learnt from (a timeout, an error, no number)",
          "The table of reward calls shows rows that failed. A row without a reward teaches nothing, and one that "
          "fails when it is wrong, or right, bends what is learnt.",
          Drawn("Invalid rewards", "Timeouts, errors, and values that are no finite number.", True, True)),
    Alarm("noise_share", "rewards/{}/noise_share", 0.2,
          "{} is not the same twice: this share of its variance within a prompt's completions is noise", _NOISE,
          Drawn("Noise of a reward, share of its variance", "Inside groups, from completions that are scored again: 0 "
                "gives the same each time, at 1 all is chance.", share=True)),
    Alarm("flaky_share", "rewards/{}/flaky_share", None,
          "{} is not the same twice: this share of its values differs when they are scored again", _NOISE,
          Drawn("Values that differ when scored again", "By more than rounding (1e-4).", share=True)),
    Alarm("audit_falls", "audit/{}/mean", 0.2,
          "The total reward rises while the audit `{name}` falls, by this share of what it was",
          _PARTED + "try the reward on such texts with `align rewards attack`. If less of this audit is no worse, its "
          "function says so: `better = \"lower\"` or `\"neither\"`.",
          Drawn("Audits", "Mean over the batch: nothing is trained on them."), moves=-1,
          chosen="docs/evidence/alarms.md#a-rising-reward-and-a-falling-audit"),
    Alarm("cut_off_rises", "completions/clipped_ratio", 0.2,
          "The total reward rises while more completions are cut off at the token limit, by this share of them",
          _PARTED + "see what a completion earns that does not end. If long answers are wanted, raise "
          "`max_completion_length`; else `mask_truncated_completions: true` or the `length` reward.",
          Drawn("Cut off at the token limit", "Share of completions, which have no end.", True, True), "cut off",
          moves=1, chosen="docs/evidence/alarms.md#a-rising-reward-and-a-falling-audit"),
    # Different precision alone gives about 0.03 nats per token; weights that were not transferred give more. It needs
    # TRL's importance sampling correction.
    Alarm("logp_difference", LOGP_DIFFERENCE, 0.1,
          "vLLM and the trainer give the same tokens different log-probabilities, so the policy that writes is not "
          "the one that learns",
          "Weights that were not transferred, other precision, or `top_p`, `top_k` or a repetition penalty that the "
          "trainer does not know. Keep `top_p: 1.0`, use one dtype for both, and look at "
          "`sampling/importance_sampling_ratio/mean`, which should be near 1.",
          Drawn("Log-probs of sampler and trainer, difference in nats",
                "Mean over tokens of the gap between vLLM's numbers and the trainer's, which should be near 0."),
          "mean gap", " nats per token", "docs/evidence/vllm.md"),
    Alarm("letters", "probe/least_letter_excess", 0.25,
          "On shuffled options one letter is given more often than it can be right (0 is even, 1 all answers), at "
          "least", "The policy likes a letter, and whatever compares its answers in one order pays for that. "
          "Set `dataset.shuffle_options: within_group`, or reward `answer_agreement`.", _PROBED, "letters",
          chosen=_WITHOUT_LABELS, lasts=2),
    Alarm("probe_falls", "probe/least_fall", 0.0,
          "Fewer greedy answers to the probe are right than at the start, by at least", _STOPPED, _PROBED, "fall",
          chosen=_WITHOUT_LABELS, lasts=2),
    Alarm("agreement_alone", "probe/least_agreement_alone", 0.9,
          "Answers agree and no more of them are right than at the start; agreement is at least", "What the reward "
          "asks is reached, and nothing is learnt by it. " + _STOPPED, _PROBED, "agreement without a gain",
          chosen=_WITHOUT_LABELS, lasts=2),
    Alarm("probe_parts", "probe/least_parting", 0.0,
          "Sampled answers to the probe are right more often and greedy ones less, apart by at least",
          "Answers become surer and not better. " + _STOPPED, _PROBED, "parting", chosen=_WITHOUT_LABELS, lasts=2),
)  # fmt: skip
ALARMS = {alarm.name: alarm for alarm in _ALL}


def alarm_of(name: str) -> tuple[Alarm, str]:
    """Returns an alarm and the reward that its name in a recipe begins with, if it does."""
    reward, _, signal = name.rpartition("/")
    return ALARMS[signal], reward


def limits_with(own: dict[str, float | None]) -> dict[str, float | None]:
    """Returns the limits of all alarms, None where one is off, with a recipe's own instead of the usual ones."""
    return {name: alarm.limit for name, alarm in ALARMS.items()} | own
