"""Attacks on rewards: cheap hacks beside honest answers, before a policy finds them."""

from rewards.attacks.attack import AttackResult, Outcome, attack, attack_apart, sentences
from rewards.attacks.hacks import HACKS
from rewards.attacks.seen import Hack, Seen, as_hack
from rewards.attacks.together import Together

__all__ = [
    "HACKS", "AttackResult", "Hack", "Outcome", "Seen", "Together", "as_hack", "attack", "attack_apart",
    "sentences",
]  # fmt: skip
