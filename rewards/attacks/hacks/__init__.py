"""The hacks, a file for each family; `HACKS` lists them."""

from rewards.attacks.hacks import beside, echoes, judged, lists, programs, values, words
from rewards.attacks.seen import HACKS

__all__ = ["HACKS", "beside", "echoes", "judged", "lists", "programs", "values", "words"]
