"""What `preloaded.python` writes as a program: asks for a process, hands on signals, and ends as the process ends."""

import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress

SIZE = struct.Struct("!i")
HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

if __name__ == "__main__":
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.path.join(os.path.dirname(__file__), "socket"))
    request = json.dumps({"words": sys.argv[1:], "folder": os.getcwd(), "variables": dict(os.environ)}).encode()
    spaces = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in ("net", "uts")]
    socket.send_fds(server, [SIZE.pack(len(request))], [0, 1, 2, *spaces])
    server.sendall(request)
    (process,) = SIZE.unpack(server.recv(SIZE.size, socket.MSG_WAITALL))
    whole = os.getsid(0) == os.getpid()  # whoever made it a session of its own sends signals to all of it

    def hand_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            (os.killpg if whole else os.kill)(process, number)

    for number in HANDED_ON:
        signal.signal(number, hand_on)
    answer = server.recv(SIZE.size, socket.MSG_WAITALL)
    code = SIZE.unpack(answer)[0] if answer else -signal.SIGKILL
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
        signal.pause()
    os._exit(code)
