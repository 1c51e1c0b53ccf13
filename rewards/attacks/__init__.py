"""Attacks on rewards: cheap hacks beside honest answers, before a policy finds them."""

from rewards.attacks.attack import VERDICTS, AttackResult, Outcome, attack, attack_apart, sentences
from rewards.attacks.hacks import HACKS
from rewards.attacks.seen import Family, Hack, Seen, as_hack
from rewards.attacks.together import Together
from rewards.attacks.told import Told, told_apart

__all__ = [
    "HACKS", "VERDICTS", "AttackResult", "Family", "Hack", "Outcome", "Seen", "Together", "Told", "as_hack",
    "attack", "attack_apart", "sentences", "told_apart",
]  # fmt: skip
