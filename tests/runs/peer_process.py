"""One process of a run that does nothing but be there; run by test_peers.py."""

import sys
import time

from align.errors import RunFolderError
from align.runs import watch
from align.runs.peers import joined

watch.SILENT_SECONDS, watch.BEAT_SECONDS = 4.0, 1.0


def main(what: str) -> None:
    """Joins the others and then does what the test wants of this rank."""
    if what.startswith("elsewhere"):  # a host of its own, as far as process ids go
        watch.Place.here = classmethod(lambda cls: cls("other-host", 0, 0, 0))
    if what == "lingers":  # and reads so seldom that who takes leave is gone before it is read
        watch.SILENT_SECONDS, watch.BEAT_SECONDS = 40.0, 5.0
    with joined() as peers:
        print(peers.rank, peers.gather("said", what), peers.from_main("chosen", lambda: "of 0"), flush=True)
        if what.endswith("refuses"):
            raise RunFolderError("The folder is not there.")
        if what.endswith("breaks"):
            raise KeyError("a")
        if what.endswith("leaves"):
            time.sleep(2 if what == "later leaves" else 0)
            return
        time.sleep(8 if what == "lingers" else 60)


if __name__ == "__main__":
    main(sys.argv[1])
