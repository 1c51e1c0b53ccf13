from dataclasses import replace

import pytest

from scripts.labs.alarms.lab import listen, summarise
from scripts.labs.alarms.runs import worlds


@pytest.mark.slow
def test_a_phrase_that_is_paid_is_heard_and_sound_rewards_are_not():
    honest, hacked = worlds(reported=False)
    assert (len(honest), len(hacked)) == (40, 40)
    assert len({world.name for world, _ in honest}) == len({world.name for world, _ in hacked}) == 8
    names = [world.name for world, _ in hacked]
    paid, seed = hacked[names.index("phrase") + 4]  # the strongest
    heard = [
        listen(replace(honest[0][0], num_steps=25), honest[0][1], hacked=False),
        listen(replace(paid, num_steps=25), seed, hacked=True),
    ]
    assert [list(each.first) for each in heard] == [[], ["phrase"]]
    assert heard[1].lost > 0.1
    table = summarise(heard)["table"]
    assert (table["any"]["false"][3], table["phrase"]["noticed"][3], table["length"]["noticed"][3]) == (0, 1, 0)
