"""The hacks, a file for each family; `HACKS` lists them."""

from rewards.attacks.hacks import beside, echoes, judged, lists, literals, programs, queries, values, words  # noqa: F401
from rewards.attacks.seen import HACKS as HACKS
