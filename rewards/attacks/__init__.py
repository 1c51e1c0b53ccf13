"""Attacks on rewards: cheap hacks beside honest answers, before a policy finds them."""

from rewards.attacks.attack import AttackResult, Outcome, attack, attack_apart
from rewards.attacks.honest import Honest
from rewards.attacks.seen import Hack, Seen, as_hack

__all__ = ["AttackResult", "Hack", "Honest", "Outcome", "Seen", "as_hack", "attack", "attack_apart"]
