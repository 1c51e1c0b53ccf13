"""Programs that do harm where they can, by what they try; each also defines an `add` that is wrong, or prints."""

WRONG = "\ndef add(a, b):\n    return a * b\n"
HOSTILE = {
    # Against the machine.
    "fork bomb": "import os\nwhile True:\n    os.fork()",
    "fork bomb of sleepers": "import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(99)",
    "threads without end": "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=(99,)).start()",
    "endless loop": "while True: pass",
    "endless sleep": "import time\ntime.sleep(10_000)",
    "ignores the signals that would end it": (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass"
    ),
    "eats memory": "x = []\nwhile True: x.append(bytearray(1 << 24))",
    "eats memory in children": (
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        x = bytearray(100 << 20)\n"
        "        time.sleep(99)\ntime.sleep(99)"
    ),
    "fills the disk": "with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
    "fills the disk with small files": "i = 0\nwhile True:\n    open(f'f{i}', 'w').write('x'); i += 1",
    "prints without end": "while True: print('x' * 1000)",
    "prints a gigabyte at once": "import os\nos.write(1, b'x' * (1 << 28))",
    "writes values without end": "import os\nwhile True: os.write(3, b'x' * 4096)",
    "recurses": "def f(): f()\nf()",
    "breaks the interpreter": "import ctypes\nctypes.string_at(0)",
    "kills its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "kills everybody": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "kills the first process": "import os, signal\nos.kill(1, signal.SIGKILL)",
    "leaves a child behind": "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(99)",
    "opens a thousand files": "x = [open('/dev/null') for _ in range(1000)]",
    "takes real-time priority": "import os\nos.nice(-20)\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))",
    "dumps core": "import os\nos.abort()",
    # Against its walls.
    "opens a socket": "import socket\nsocket.create_connection(('1.1.1.1', 53), 2)",
    "connects to this machine": "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2).send(b'x')",
    "mounts": "import ctypes\nif ctypes.CDLL(None).mount(b'tmpfs', b'/usr', b'tmpfs', 0, None) != 0: raise OSError",
    "mounts in a namespace of its own": (
        "import ctypes, os\nc = ctypes.CDLL(None)\nif c.unshare(0x10020000) != 0: raise OSError\n"
        "c.mount(None, b'/', None, 0x1020, None)\nopen('/usr/hacked', 'w')"
    ),
    "writes into Python's library": "import os\nopen(os.__file__, 'a').write('#')",
    "writes into the root": "open('/hacked', 'w').write('x')",
    "writes where this test lies": "open('OUTSIDE', 'w').write('x')",
    "reads where this test lies": "open('SECRET').read()",
    "reads the home folder": "import os\nopen(os.path.expanduser('~root/.bashrc')).read()",
    "reads keys in the environment": "import os\nos.environ['OPENAI_API_KEY']",
    "reads the environment of the first process": "x = open('/proc/1/environ').read()\nassert 'KEY' in x",
    "reads the memory of the first process": "open('/proc/1/mem', 'rb').read(1)",
    "leaves its root": "import os\nos.chroot('/proc/1/root')\nopen('/SECRET').read()",
    "looks into the first process's root": "import os\nos.listdir('/proc/1/root')",
    "traces the first process": "import ctypes\nif ctypes.CDLL(None).ptrace(16, 1, 0, 0) != 0: raise OSError",
    "becomes root": "import os\nos.setuid(0)",
    "changes the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)",
    "changes a setting of the kernel": "open('/proc/sys/kernel/hostname', 'w').write('hacked')",
    "names the machine": "import socket\nsocket.sethostname('hacked')",
    # Against the verdict.
    "exits with 0 at once": "import os\nos._exit(0)",
    "exits politely": "raise SystemExit(0)",
    "equals everything": "class Yes(str):\n    __eq__ = lambda *a: True\ndef add(a, b): return Yes()",
    "patches assertions": "import builtins\nbuiltins.eval = lambda *a: True",
    "patches repr": "import builtins\nbuiltins.repr = lambda x: '<anything>'",
    "patches json": "import json\njson.dumps = lambda x: '[0, 1]'",
    "writes values itself": (
        "import os\nfor n in range(3, 20):\n    try: os.write(n, b'[0, \"[]\"]\\n[1, \"True\"]\\n')\n"
        "    except OSError: pass\nos._exit(0)"
    ),
    "looks for what is expected": (
        "import gc, os, sys\nframe = sys._getframe(1)\nnames = str(frame.f_globals) + str(gc.get_objects())[:100000]\n"
        "names += open('expressions.json').read() + ''.join(os.listdir('.'))\n"
        "assert str(int('74822') + 1) in names"
    ),
    "is no program": "def add(a, b:",
    "has a null byte": "x = 1\0",
    "nests without end": "(" * 100_000,
    "is a surrogate": "x = '\ud800'",
    # What root may write, what nobody counts, and what the supervisor listens to.
    "opens a setting of the machine": "open('/proc/sys/kernel/core_pattern', 'r+').close()",
    "hides memory in files of memory": (
        "import os\nfor _ in range(40): os.write(os.memfd_create('x'), bytes(16 << 20))"
    ),
    "hides memory in pages that it shares": (
        "import mmap\nkept = []\nfor _ in range(40):\n    x = mmap.mmap(-1, 16 << 20); x[:] = bytes(16 << 20)\n"
        "    x.madvise(mmap.MADV_DONTNEED); kept.append(x)"
    ),
    "hides memory in /dev/zero": (
        "import mmap, os\nx = mmap.mmap(os.open('/dev/zero', os.O_RDWR), 1 << 20); x[:] = bytes(1 << 20)"
    ),
    "hides memory in a segment": "import ctypes\nif ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) < 0: raise OSError",
    "hides memory in a wide socket": (
        "import socket\na, b = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)"
    ),
    "hides memory in a wide pipe": "import fcntl, os\nfcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 1 << 20)",
    "hides memory in rules": (
        "import ctypes\nif ctypes.CDLL(None).syscall(444, ctypes.byref(ctypes.c_uint64(1)), 8, 0) < 0: raise OSError"
    ),
    "takes the machine's events": (
        "import ctypes, platform\nsetup = 206 if platform.machine() == 'x86_64' else 0\n"
        "if ctypes.CDLL(None).syscall(setup, 1000, ctypes.byref(ctypes.c_ulong(0))) != 0: raise OSError"
    ),
    "calls the machine's host": "import socket\nsocket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "interrupts the first process": "import os, time\nos.kill(1, 2); time.sleep(0.1)",
    "sends the first process every signal": (
        "import os, time\nfor n in range(1, 32): os.kill(1, n)\ntime.sleep(0.1)"
    ),
    "takes the files of the first process": (
        "import resource\nresource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))"
    ),
    "takes the time of the first process": "import resource\nresource.prlimit(1, resource.RLIMIT_CPU, (0, 0))",
    "puts the first process last": "import os\nos.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
    "opens a space of its own": "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000) != 0: raise OSError",
    "calls as a program of 32 bits": (
        "import ctypes, mmap, platform\nassert platform.machine() == 'x86_64'\n"
        "code = mmap.mmap(-1, 4096, flags=2 | 32, prot=7)\n"
        "code.write(bytes.fromhex('b814000000cd80c3'))  # getpid by int 0x80\n"
        "ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()"
    ),
}  # fmt: skip
RIGHT = "def add(a, b):\n    return a + b\n"
AT_EXIT = "import atexit, os, signal, subprocess, threading, time\n{}\n" + RIGHT + "atexit.register(end)\n"
# Their values are right; what they do when all of them are told is over a limit.
HOSTILE_AT_THE_END = {
    "computes": "def end():\n    while True: pass",
    "sleeps": "def end(): time.sleep(10_000)",
    "naps": "def end():\n    while True: time.sleep(0.0005)",
    "stops": "def end(): os.kill(os.getpid(), signal.SIGSTOP)",
    "waits for a child": "def end(): subprocess.run(['sleep', '10000'])",
    "eats memory": "def end():\n    x = []\n    while True: x.append(bytearray(1 << 24))",
    "eats memory in children": (
        "def end():\n    for _ in range(6):\n        if os.fork() == 0:\n            x = bytearray(100 << 20)\n"
        "            time.sleep(10_000)\n    time.sleep(10_000)"
    ),
    "forks": "def end():\n    while True: os.fork()",
    "forks and forgets": (
        "def end():\n    signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n    while True:\n        try:\n"
        "            if os.fork() == 0: os._exit(0)\n        except OSError: pass"
    ),
    "prints": "def end():\n    while True: print('x' * 1000)",
    "a thread sleeps": "threading.Thread(target=lambda: time.sleep(10_000)).start()\ndef end(): pass",
    "a thread computes": "def end(): pass\ndef spin():\n    while True: pass\nthreading.Thread(target=spin).start()",
    "a thread eats memory": (
        "def end(): pass\ndef eat():\n    threading.main_thread().join()\n    x = []\n"
        "    while True: x.append(bytearray(1 << 24))\nthreading.Thread(target=eat).start()"
    ),
}  # fmt: skip
HONEST_AT_THE_END = {
    "prints": "def end(): print('bye')",
    "sleeps a little": "def end(): time.sleep(0.2)",
    "raises": "def end(): 1 / 0",
    "prints what it kept": (
        "import io, sys\nsys.stdout = io.StringIO()\ndef end(): sys.__stdout__.write(sys.stdout.getvalue())"
    ),
    "closes what it prints to": "import sys\ndef end(): sys.stdout.close()",
    "raises when it is deleted": "class A:\n    def __del__(self): raise OSError\na = A()\ndef end(): pass",
    "a thread that may be left": (
        "threading.Thread(target=lambda: time.sleep(10_000), daemon=True).start()\ndef end(): pass"
    ),
    "a pool of threads": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(4)\n"
        "assert pool.submit(abs, -1).result() == 1\ndef end(): pass"
    ),
    "a loop of events": "import asyncio\nasync def one(): return 1\nassert asyncio.run(one())\ndef end(): pass",
    "a copy that came back": "os.fork()\ndef end(): pass",
}  # fmt: skip
# They do nothing that reaches further than themselves, and end as if nothing were.
HARMLESS = {
    "kills its parent", "kills the first process", "leaves a child behind",
    "interrupts the first process", "sends the first process every signal",
}  # fmt: skip
