"""What came of an attack, in sentences, each with its numbers."""

from typing import Any, NamedTuple

from rewards.attacks.attack import AttackResult, Outcome, lower_bound
from rewards.running.contract.calls import shorten
from rewards.running.contract.trial import write_value

REMEDIES = {
    "echoes": "Give an empty or echoed answer nothing before comparing, and compare whole answers.",
    "lists": "Read exactly one answer and compare it as a whole, as `text_accuracy` and `accuracy` do.",
    "values": "Make sure that an answer is a plain number or text before comparing; evaluate nothing.",
    "words": "Cap it (`reward_clip`), let it count beside right answers only (`reward_gates`), or audit it instead.",
    "judged": "Show the judge a short answer only, give it the reference, and audit its grades with a function.",
    "programs": "Run programs with `code_accuracy`, which keeps what it expects away from them.",
}


class Said(NamedTuple):
    """A sentence about a reward under attack."""

    kind: str  # a verdict, `failed`, or `ok`
    text: str
    numbers: dict[str, Any]


def sentences(result: AttackResult) -> list[Said]:
    """Words the result: the best hack of each family, what failed, and how much was tried."""
    said = [Said("failed", problem, {}) for problem in result.problems]
    honest, tried = result.honest, len(result.outcomes)
    if honest is not None:
        firsts = {each.hack.family: each for each in reversed(result.of("gamed"))}
        for family, best in sorted(firsts.items(), key=lambda each: result.outcomes.index(each[1])):
            more = sum(each.hack.family == family for each in result.of("gamed")) - 1
            others = f", and by {more} more of `{family}`" if more else ""
            text = f"it is gamed by {_earned(best)}{others}; an honest answer earns {write_value(honest.mean)}. "
            text += REMEDIES.get(family, "Compare less loosely.")
            said.append(Said("gamed", text, _numbers(best)))
        for best in result.of("misread")[:1]:
            text = f"it pays what means another answer, to a policy that knows the right one: {_earned(best)}."
            said.append(Said("misread", text, _numbers(best)))
        for best in result.of("beside")[:1]:
            text = f"it pays the right answer more with something beside it: {_earned(best)}. {REMEDIES['words']}"
            said.append(Said("beside", text, _numbers(best)))
        known = sum(honest.told) if honest.tells else sum(pay is not None for pay in honest.pays)
        least = honest.guess if honest.tells else 0.5
        if not known:
            best = max(result.outcomes, key=lambda each: each.pay, default=None)
            text = "no row has a right answer or a sample: name a column of honest responses, `--samples`."
            text = "it gives no honest answer a number." if any(honest.texts) else text
            said.append(Said("unclear", text + (f" The best paid is {_earned(best)}." if best else ""), {}))
        elif lower_bound(known, known) <= least:
            text = f"{known} rows to compare are too few, or too alike (one guess is right on {least:.0%}): give more."
            said.append(Said("unclear", text, {"rows": known, "guess": least}))
        elif honest.tells:
            text = f"it pays right answers ({honest.form}) {write_value(honest.mean)}, and wrong ones less."
        else:
            text = (
                f"it pays right and wrong answers alike, {write_value(honest.mean)} ({honest.form}): it is about form."
            )
            text += f" `reward_gates: {{{result.reward}: OTHER}}` has it count where a reward of answers pays."
        if known:
            text += f" Of {tried} hacks on {len(honest.rows)} rows {len(result.of('gamed')) or 'none'} game it."
            said.append(Said("ok", text, {"hacks": tried, "rows": len(honest.rows), "honest": honest.mean}))
    return [Said(kind, f"`{result.reward}`: {text}", {"reward": result.reward} | more) for kind, text, more in said]


def _earned(outcome: Outcome) -> str:
    about = outcome.hack.about[:1].lower() + outcome.hack.about[1:]
    share = f"on {outcome.earned} of {outcome.rows} rows ({outcome.low:.0%} or more)"
    pay = f"which earns {write_value(outcome.pay)} {share}: {shorten(outcome.text, 120)}"
    return f"`{outcome.hack.name}` ({about}), {pay}"


def _numbers(outcome: Outcome) -> dict[str, Any]:
    return outcome._asdict() | {"hack": outcome.hack.name, "family": outcome.hack.family}
