"""Runs one program that nobody has read, as a script of its own: `python -I -S launcher.py`, a job as JSON on stdin.

The launcher gives up the machine's root for a user that nobody is, and enters namespaces of its own: no network, a
root that holds the system's libraries and Python read-only, a small `/tmp` in memory, and a `/proc` that shows nothing
but the program's processes. The first of them supervises: it stays outside the program's reach, reads what the program
writes up to a limit, counts its processes, their memory and their sockets', and kills all of them at the end. The
program itself runs in one more user namespace, without a capability, and without the system calls that leave memory
uncounted, reach the supervisor or open a way to the machine.

Only the standard library is used, and nothing of the job is believed but what the supervisor has seen itself.
"""

import base64
import contextlib
import ctypes
import errno
import json
import os
import platform
import pwd
import resource
import select
import shutil
import signal
import socket
import sys
import time
from typing import Any

NEW_USER, NEW_MOUNTS, NEW_PIDS, NEW_NET = 0x10000000, 0x00020000, 0x20000000, 0x40000000
NEW_IPC, NEW_NAMES = 0x08000000, 0x04000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE, MOUNT_READ_ONLY, OPEN_TREE_CLONE, MOVE_WHAT_IS_OPEN = 2, -100, 0x8000, 1, 1, 4
DIES_WITH_PARENT, DUMPABLE, SECCOMP, DROP_FROM_BOUND, NO_NEW_RIGHTS = 1, 4, 22, 24, 38  # of prctl
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")  # mapping /dev/zero would give memory that nobody counts
POLL = 0.02  # seconds
GRACE = 1.5  # seconds of computing and of sleep for what is left when all values, or all lines, are there
WAITS = 10  # times as long by the clock, on a busy machine
SUPERVISOR = 1  # the process id of the first process of a namespace
ARCHITECTURES = ("x86_64", "aarch64")
AUDIT_NUMBER = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CALLS = {  # name: number on each of the architectures
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "mmap": (9, 222), "socket": (41, 198), "socketpair": (53, 199),
    "clone": (56, 220), "clone3": (435, 435), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "kcmp": (312, 272), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "fanotify_init": (300, 262), "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "setpriority": (141, 140), "ioprio_set": (251, 30), "io_setup": (206, 0),
    "landlock_create_ruleset": (444, 444), "fcntl": (72, 25), "setsockopt": (54, 208),
}  # fmt: skip
WITH_CONDITIONS = (
    "mmap", "socket", "socketpair", "clone", "clone3", "pivot_root", "mount_setattr", "fcntl", "setsockopt",
)  # fmt: skip
UNIX = 1  # sockets that stay in their namespace and hold what is counted; AF_VSOCK reaches the machine's host
SIZE_OF_PIPE, SIZE_TO_SEND = 1031, 7  # of fcntl and setsockopt
NEW_ROOT = "/tmp"  # where the root is built; every Linux has the folder, and what is in it gets out of sight

REFUSED = 98  # status of a program that ended as it got no more memory, or no process

libc = ctypes.CDLL(None, use_errno=True)
Job = dict[str, Any]


def main() -> None:
    """Reads the job, runs it and writes how it ended."""
    job = json.load(sys.stdin)
    held: dict[str, int] = {}
    if job["isolated"]:
        if platform.machine() not in ARCHITECTURES:
            raise OSError(errno.ENOSYS, f"no list of system calls for {platform.machine()}")
        held = _leave_root(job["prefixes"])
    libc.prctl(DIES_WITH_PARENT, signal.SIGKILL)  # a change of user would clear it
    if _is_read_by_nobody(sys.stdout.fileno()):  # who asked for it went before that line
        return shutil.rmtree(job["folder"], ignore_errors=True)
    if job["isolated"]:
        _enter_namespaces()
        held = held or _open_places(job["prefixes"])
    ready, done = os.pipe()
    supervisor = os.fork()
    if not supervisor:
        os.close(ready)
        if job["isolated"]:  # else it empties the folder
            libc.prctl(DIES_WITH_PARENT, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a first process hears only what it has a handler for
        try:
            result = _supervise(job, held, done)
        except OSError as error:
            result = {"problem": f"{type(error).__name__}: {error}"}
        _write_all(done, json.dumps(result).encode())
        os._exit(0)
    os.close(done)
    parts = []
    while part := os.read(ready, 1 << 16):
        parts.append(part)
    os.waitpid(supervisor, 0)
    sys.stdout.write(json.dumps(_read_end(b"".join(parts))))


def _read_end(told: bytes) -> Job:
    """Reads what the supervisor told: a line once the program runs, and its end."""
    before, started, end = told.partition(b"\n")
    try:
        found = json.loads(end if started else before)
    except ValueError:
        found = {"problem": "the supervisor ended"}
    if started and "problem" in found:  # whatever a program did to its supervisor, it has failed
        return {"ended": "supervisor", "code": None, "printed": "", "values": ""}
    return found


def _leave_root(prefixes: list[str]) -> dict[str, int]:
    """Becomes a user that nobody is, where this one is the machine's root, whom the kernel lets write its settings.

    Returns what only root may have been able to open; nothing where this was not root.
    """
    if os.getuid() != 0 and os.geteuid() != 0:
        return {}
    user, group = _unused("uid"), _unused("gid")
    if user is None or group is None:
        return {}
    held = _open_places(prefixes)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    libc.prctl(DUMPABLE, 1, 0, 0, 0)  # else its own /proc/self/uid_map is closed to it
    return held


def _unused(kind: str) -> int | None:
    """Finds an id that no account has; None where root is only the name of an ordinary user of the machine."""
    with open(f"/proc/self/{kind}_map") as file:
        ranges = [[int(number) for number in line.split()] for line in file]
    if all(count == 1 for _, _, count in ranges):
        if any(inside == 0 and outside != 0 for inside, outside, _ in ranges):
            return None
        raise PermissionError(errno.EPERM, f"this is root, and no other {kind} to run a program with is mapped here")
    largest = max(first + count for first, _, count in ranges) - 3  # the last two mean "none" and "nobody"
    taken = {account.pw_uid for account in pwd.getpwall()} if kind == "uid" else set()
    return next(number for number in range(min(largest, 0x7FFFFFF0), 0, -1) if number not in taken)


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    _checked(libc.unshare(NEW_USER | NEW_MOUNTS | NEW_PIDS | NEW_NET | NEW_IPC | NEW_NAMES), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _supervise(job: Job, held: dict[str, int], told: int) -> Job:
    """Runs the program as its only other process, says on `told` that it runs, and returns what was seen of it."""
    with socket.socket(socket.AF_UNIX) as one:  # a message that fits comes on top of a full buffer
        job["socket_kb"] = 2 * one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >> 10
    if job["isolated"]:
        _enter_root(job["disk_mb"], held)
    else:
        os.chdir(job["folder"])
    with open("program.py", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(job["program"])
    if job["expressions"] is not None:
        with open("expressions.json", "w", encoding="utf-8") as file:
            json.dump(job["expressions"], file)
    with open("input.txt", "w", encoding="utf-8") as file:
        file.write(job["input"])
    printed, its_printed = os.pipe()
    values, its_values = os.pipe()
    failed, its_failed = os.pipe()  # closed by the program's start, which leaves nothing in it
    program = os.fork()
    if not program:
        try:
            _become_program(job, its_printed, its_values)
        except (OSError, ValueError) as error:
            os.write(its_failed, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(127)
    for end in (its_printed, its_values, its_failed):
        os.close(end)
    if problem := os.read(failed, 1 << 16):
        return {"problem": problem.decode()}
    os.write(told, b"\n")
    return _watch(job, program, printed, values, told)


def _open_places(prefixes: list[str]) -> dict[str, int]:
    """Copies the mounts that the new root shall hold, by name; a folder behind a link has its own name, too."""
    named = [*SYSTEM, *prefixes, *map(os.path.realpath, prefixes), *DEVICES]
    within = tuple(f"{folder}/" for folder in SYSTEM)
    places = [path for path in dict.fromkeys(named) if os.path.exists(path) and not path.startswith(within)]
    return {path: _copied(path) for path in places if path not in SYSTEM or not os.path.islink(path)}


def _copied(path: str) -> int:
    number = libc.syscall(_number("open_tree"), AT_FDCWD, path.encode(), OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC)
    _checked(min(number, 0), f"open_tree of {path}")
    return int(number)


def _enter_root(disk_mb: int, held: dict[str, int]) -> None:
    """Leaves the machine's files for a root of its own that shows what is held open."""
    links = {path: os.readlink(path) for path in SYSTEM if os.path.islink(path)}
    _checked(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    _mount("tmpfs", NEW_ROOT, MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    # Before what is mounted below it: Python itself may lie in the machine's /tmp.
    os.makedirs(f"{NEW_ROOT}/tmp")
    options = f"size={disk_mb}m,mode=1777,nr_inodes=4096"
    _mount("tmpfs", f"{NEW_ROOT}/tmp", MS_NOSUID | MS_NODEV, options)
    for path, target in links.items():
        os.symlink(target, f"{NEW_ROOT}{path}")
    for path, descriptor in held.items():
        place = f"{NEW_ROOT}{path}"
        if path in DEVICES:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_CREAT))
        else:
            os.makedirs(place, exist_ok=True)
        attached = libc.syscall(_number("move_mount"), descriptor, b"", AT_FDCWD, place.encode(), MOVE_WHAT_IS_OPEN)
        _checked(attached, f"move_mount to {place}")
        os.close(descriptor)
        if path not in DEVICES:
            _make_read_only(place)
    os.makedirs(f"{NEW_ROOT}/proc")
    _mount("proc", f"{NEW_ROOT}/proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid")
    os.chdir(NEW_ROOT)
    _checked(libc.syscall(_number("pivot_root"), b".", b"."), "pivot_root")
    _checked(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")
    _make_read_only("/", 0)
    os.chdir("/tmp")


def _make_read_only(place: str, flags: int = AT_RECURSIVE) -> None:
    attributes = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY, 0, 0, 0)
    done = libc.syscall(_number("mount_setattr"), AT_FDCWD, place.encode(), flags, ctypes.byref(attributes), 32)
    _checked(done, "mount_setattr")


def write_only_in(folder: str) -> None:
    """Makes all files read-only to this process and what it starts, but those of a folder; `OSError` if it cannot."""
    user, group = os.getuid(), os.getgid()
    _checked(libc.unshare(NEW_USER | NEW_MOUNTS), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _checked(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount of /")
    _checked(libc.mount(folder.encode(), folder.encode(), None, MS_BIND, None), f"mount on {folder}")
    for place, flags, attributes in (("/", AT_RECURSIVE, (MOUNT_READ_ONLY, 0)), (folder, 0, (0, MOUNT_READ_ONLY))):
        given = (ctypes.c_uint64 * 4)(*attributes, 0, 0)
        done = libc.syscall(_number("mount_setattr"), AT_FDCWD, place.encode(), flags, ctypes.byref(given), 32)
        _checked(done, f"mount_setattr of {place}")


def _mount(kind: str, place: str, flags: int, options: str) -> None:
    _checked(libc.mount(kind.encode(), place.encode(), kind.encode(), flags, options.encode()), f"mount on {place}")


def _number(call: str) -> int:
    return CALLS[call][ARCHITECTURES.index(platform.machine())]


def _checked(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _become_program(job: Job, printed: int, values: int) -> None:
    os.setsid()
    if job["isolated"]:
        _checked(libc.unshare(NEW_USER), "unshare")  # nobody there: no rights over the files and processes outside
        for capability in range(64):  # what it has here itself ends when it becomes Python
            libc.prctl(DROP_FROM_BOUND, capability, 0, 0, 0)
    libc.prctl(NO_NEW_RIGHTS, 1, 0, 0, 0)
    nothing = os.open("/dev/null", os.O_RDWR)
    given = os.open("input.txt", os.O_RDONLY)
    for number, descriptor in ((0, given), (1, printed), (2, nothing)):
        os.dup2(descriptor, number)
    megabytes = 1 << 20
    for what, limit in (
        (resource.RLIMIT_CPU, max(1, round(job["seconds"]))),
        (resource.RLIMIT_AS, job["memory_mb"] * megabytes),
        (resource.RLIMIT_FSIZE, job["disk_mb"] * megabytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        *([(resource.RLIMIT_NPROC, job["processes"])] if job["isolated"] else []),  # else it counts the user's own
    ):
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))
    words = ["-u", "program.py"]  # what it prints is told at once
    if job["expressions"] is not None:
        os.set_inheritable(values, True)
        words = ["-c", job["evaluate"].replace("REFUSED", str(REFUSED)), str(values)]
    if job["isolated"]:
        _refuse_calls()
    home = os.getcwd()
    environment = {"PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, "-I", *words], environment)


class _Instruction(ctypes.Structure):
    """One instruction of a filter of system calls: `struct sock_filter`."""

    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


_LOAD, _EQUAL, _HAS_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CALL, _ARCHITECTURE = 0, 4  # where the kernel tells them; arguments follow from 16 on, 8 bytes each
Condition = tuple[int, int, int, bool]  # argument, operation, value, and whether it must hold


def _refuse_calls() -> None:
    """Takes system calls from this process and what it becomes: `CALLS`, some of them under conditions only."""
    machine = platform.machine()
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, AUDIT_NUMBER[machine]), (_RETURN, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, _CALL), (_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]  # calls of x32
    for name, code, conditions in _refusals():
        steps += _rule(_number(name), code, conditions)
    steps += [(_RETURN, 0, 0, _ALLOW)]
    built = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    _checked(libc.prctl(SECCOMP, 2, ctypes.byref(_Filter(len(steps), built)), 0, 0), "seccomp")


def _refusals() -> list[tuple[str, int, list[Condition]]]:
    """Lists call, error and conditions, all of which must hold."""
    own = {"prlimit64": 0, "sched_setaffinity": 0, "ioprio_set": 1}  # the argument that names the process
    always = [name for name in CALLS if name not in WITH_CONDITIONS and name not in own]
    no_family = [(0, _EQUAL, UNIX, False)]
    new_spaces = NEW_USER | NEW_MOUNTS | NEW_PIDS | NEW_NET | NEW_IPC | NEW_NAMES
    return [
        ("clone3", errno.ENOSYS, []),  # its flags cannot be seen here; libraries then call `clone`
        ("clone", errno.EPERM, [(0, _HAS_BIT, new_spaces, True)]),
        ("mmap", errno.EPERM, [(3, _HAS_BIT, 0x01, True), (3, _HAS_BIT, 0x20, True)]),  # shared and of no file
        ("socket", errno.EAFNOSUPPORT, no_family),
        ("socketpair", errno.EAFNOSUPPORT, no_family),
        ("fcntl", errno.EPERM, [(1, _EQUAL, SIZE_OF_PIPE, True)]),
        ("setsockopt", errno.EPERM, [(1, _EQUAL, 1, True), (2, _EQUAL, SIZE_TO_SEND, True)]),
        ("ioprio_set", errno.EPERM, [(0, _EQUAL, 1, False)]),
        *((name, errno.EPERM, [(place, _EQUAL, SUPERVISOR, True)]) for name, place in own.items()),
        *((name, errno.EPERM, []) for name in (*always, "pivot_root", "mount_setattr")),
    ]


def _rule(number: int, code: int, conditions: list[Condition]) -> list[tuple[int, int, int, int]]:
    """Builds the steps that refuse one call; after them the call's number is loaded again."""
    count = len(conditions)
    steps = [(_EQUAL, 0, 2 * count + 2, number)]
    for place, (argument, operation, value, holds) in enumerate(conditions):
        out = 2 * (count - place) - 1
        steps.append((_LOAD, 0, 0, 16 + 8 * argument))
        steps.append((operation, 0, out, value) if holds else (operation, out, 0, value))
    return [*steps, (_RETURN, 0, 0, _REFUSE | code), (_LOAD, 0, 0, _CALL)]


def _watch(job: Job, program: int, printed: int, values: int, told: int) -> Job:
    """Reads and counts until the program ends or must end; all its values are none if it then does not end well.

    A program that has written as many lines as it must print cannot get better, and has only a grace left.
    """
    read: dict[int, bytearray] = {printed: bytearray(), values: bytearray()}
    open_ends = {printed, values}
    most, to_come = job["output_kb"] << 10, float("inf") if job["expressions"] is None else len(job["expressions"])
    clock = _Clock(job["wall_seconds"])
    ended, code = "", None
    while not ended:
        for end in select.select(list(open_ends), [], [], POLL)[0]:
            part = os.read(end, 1 << 16)
            read[end] += part
            if not part:
                open_ends.discard(end)
        done, status, usage = os.wait4(program, os.WNOHANG)
        processes = _others() if job["isolated"] else [program]
        if done:
            ended, code = "exit", os.waitstatus_to_exitcode(status)
        elif any(len(each) > most for each in read.values()):
            ended = "output"
        elif clock.is_over(processes, read[values].count(b"\n") >= to_come or _is_all(read[printed], job["output"])):
            ended = "seconds"
        elif _is_read_by_nobody(told):  # who asked for it is gone
            ended = "launcher"
        else:
            ended = _over(job, processes) if job["isolated"] else ""
        if not open_ends and not ended:
            time.sleep(POLL)
    _kill_all(program, job["isolated"])
    if ended == "launcher" and job["folder"]:
        shutil.rmtree(job["folder"], ignore_errors=True)
    for end in open_ends:  # what was on the way
        os.set_blocking(end, False)
        with contextlib.suppress(BlockingIOError):
            read[end] += os.read(end, most)
    if code == -signal.SIGKILL and 2 * (usage.ru_utime + usage.ru_stime) > job["seconds"]:
        ended = "seconds"  # the kernel's limit
    elif code == REFUSED and job["expressions"] is not None:
        ended = "refused"
    if code != 0 and read[values].count(b"\n") >= to_come:
        read[values].clear()
    texts = {"printed": bytes(read[printed][:most]), "values": bytes(read[values][:most])}
    return {"ended": ended, "code": code} | {name: base64.b64encode(text).decode() for name, text in texts.items()}


def _is_all(printed: bytearray, expected: str) -> bool:
    text = expected.rstrip().encode(errors="replace")
    return bool(text) and (printed.rstrip() == text or printed.count(b"\n") > text.count(b"\n"))


def _is_read_by_nobody(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)  # a pipe without a reader is an error, which is always told
    return bool(poll.poll(0))


class _Clock:
    """Counts what a program computes and how long it sleeps, and not how long it waits for a busy machine."""

    def __init__(self, limit: float) -> None:
        self.limit, self.slept, self.since, self.in_grace = limit, 0.0, time.monotonic(), False
        self.deadline, self.seen = self.since + WAITS * limit, set[int]()

    def is_over(self, processes: list[int], is_all_there: bool) -> bool:
        """Looks at the processes; what is left when all is there has a grace."""
        ticks, sleep, now = 0, True, time.monotonic()
        for process in processes:
            with contextlib.suppress(OSError):  # it ended meanwhile
                ticks += sum(int(each) for each in _stat(f"/proc/{process}")[11:15])  # with its children that ended
                threads = [f"/proc/{process}/task/{thread}" for thread in os.listdir(f"/proc/{process}/task")]
                sleep = sleep and not any(_stat(thread)[0] == "R" for thread in threads)
        is_new = not self.seen.issuperset(processes)  # what children computed whom nobody waits for is told nowhere
        self.seen.update(processes)
        self.slept += min(now - self.since, POLL) if sleep or is_new else 0.0
        used, self.since = ticks / os.sysconf("SC_CLK_TCK") + self.slept, now
        if is_all_there and not self.in_grace:
            self.limit, self.in_grace = min(self.limit, used + GRACE), True
        return used > self.limit or now > self.deadline


def _stat(place: str) -> list[str]:
    """Reads the state of a process or thread, and what follows it."""
    with open(f"{place}/stat", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _others() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != SUPERVISOR]


def _over(job: Job, processes: list[int]) -> str:
    """Names the limit that all processes of the program together are over; empty if none."""
    with open("/proc/self/net/sockstat") as file:  # "sockets: used 3", of the whole namespace
        kilobytes = int(file.readline().split()[2]) * job["socket_kb"]
    count = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/status") as file:
                kilobytes += sum(int(line.split()[1]) for line in file if line.startswith(("VmRSS:", "VmSwap:")))
            count += 1
        except (OSError, IndexError):  # it ended meanwhile
            continue
    if count > job["processes"]:
        return "processes"
    return "memory" if kilobytes > job["memory_mb"] << 10 else ""


def _kill_all(program: int, isolated: bool) -> None:
    """Kills the program with its children: all there is in its namespace, or else its group."""
    with contextlib.suppress(ProcessLookupError):
        if isolated:
            os.kill(-1, signal.SIGKILL)
        else:
            os.killpg(program, signal.SIGKILL)


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stdout.write(json.dumps({"problem": f"{type(error).__name__}: {error}"}))
