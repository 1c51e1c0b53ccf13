"""Signals that a policy may be learning something else than its rewards mean, and from where on they are worth a word.

They tell what goes together in a batch and prevent nothing; that a reward goes along with length can be right.

Two are about vLLM and not about rewards. `canary` asks whether vLLM has the trainer's weights: the same few prompts
every `canary_steps` steps, sampled without `top_p` and the like, so that one number above the limit is enough.
`logp_difference` costs nothing and looks at all that is learnt from, as the run samples it, which may be why it is
above its limit; it needs TRL's importance sampling correction, and several steps, since prompts differ.
"""

from collections.abc import Iterable

DEFAULT_ALARMS: dict[str, float | None] = {
    "length": 0.7, "format": 0.7, "repetition": 0.5, "format_share": 0.5, "invalid_share": 0.05,
    "noise_share": 0.2, "flaky_share": None, "logp_difference": 0.1, "canary": 0.1,
}  # fmt: skip
OF_CALLS = ("invalid_share", "noise_share", "flaky_share")  # logged beside the reward, not among the audits
# Of vLLM's log-probabilities of what it sampled from the trainer's of the same tokens, in nats per token. Different
# precision alone gives about 0.03; weights that were not transferred give more.
LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"
CANARY = "canary/logp_difference/mean"  # the same on fixed prompts; of several processes, that of the worst
CANARY_MAX = "canary/logp_difference/max"
OF_VLLM = {"logp_difference": LOGP_DIFFERENCE, "canary": CANARY}  # of the run, and of no reward
_LASTING = 5  # logs in a row: a single batch may look like anything
MEANINGS = {
    "length": "goes up with the number of tokens (rank correlation within a prompt's completions)",
    "format": "goes up with marks such as tags, lists and bold type (rank correlation within a prompt's completions)",
    "repetition": "goes up with repeated words (rank correlation within a prompt's completions)",
    "format_share": "follows the format: this share of its variance within a prompt is explained by counting marks",
    "invalid_share": "gives values nothing can be learnt from (a timeout, an error, no number)",
    "noise_share": "is not the same twice: this share of its variance within a prompt's completions is noise",
    "flaky_share": "is not the same twice: this share of its values differs when they are scored again",
}


def alarm_keys(alarm: str, logged: Iterable[str]) -> list[str]:
    """Lists the logged metrics that an alarm looks at.

    Example:
        >>> alarm_keys("length", ["audit/total/length", "audit/accuracy/length"])
        ['audit/total/length']
        >>> alarm_keys("invalid_share", ["rewards/accuracy/invalid_share", "rewards/accuracy/mean"])
        ['rewards/accuracy/invalid_share']
    """
    reward, _, signal = alarm.rpartition("/")
    if signal in OF_VLLM:
        return [OF_VLLM[signal]] if OF_VLLM[signal] in logged else []
    if signal in OF_CALLS:
        return [
            key
            for key in logged
            if key.startswith("rewards/") and key.endswith(f"/{signal}") and reward in ("", key.split("/")[1])
        ]
    key = f"audit/{reward or 'total'}/{signal}"
    return [key] if key in logged else []


def logs_of(key: str) -> int:
    """Counts the logs whose mean is held against the limit."""
    return 1 if key == CANARY else _LASTING


def alarm_sentence(key: str, value: float, limit: float) -> str:
    """Words what a metric above its limit says.

    Example:
        >>> alarm_sentence("rewards/own/invalid_share", 0.1, 0.05)
        'Reward `own` gives values nothing can be learnt from (a timeout, an error, no number): 0.10, above 0.05.'
    """
    if key == LOGP_DIFFERENCE:
        return (
            "vLLM and the trainer give the same tokens different log-probabilities, the policy that writes is not the "
            f"one that learns: {value:.2f} nats per token, above {limit:g}."
        )
    if key == CANARY:
        return (
            "On the canary's fixed prompts vLLM and the trainer give the same tokens different log-probabilities, as "
            f"where vLLM has other weights than are trained: {value:.2f} nats per token, above {limit:g}."
        )
    _, reward, signal = key.split("/")
    subject = "The total reward" if reward == "total" else f"Reward `{reward}`"
    return f"{subject} {MEANINGS[signal]}: {value:.2f}, above {limit:g}."
