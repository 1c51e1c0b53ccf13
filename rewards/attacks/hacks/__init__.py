"""The hacks, a file for each family with what to do against it; `HACKS` lists them."""

from rewards.attacks.hacks import beside, echoes, judged, lists, literals, programs, queries, values, words  # noqa: F401
from rewards.attacks.seen import HACKS as HACKS
