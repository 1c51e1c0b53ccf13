"""Runs one program that nobody has read, as a script of its own: `python -I -S launcher.py`, a job as JSON on stdin.

The launcher enters namespaces of its own: no network, a root that holds the system's libraries and Python read-only,
a small `/tmp` in memory, and processes of which only the program's exist. Their first process supervises: it stays
outside the program's reach, reads what the program writes up to a limit, counts its processes and their memory, and
kills all of them at the end. The program itself runs in one more user namespace, without rights over the others.

Only the standard library is used, and nothing of the job is believed but what the supervisor has seen itself.
"""

import base64
import contextlib
import ctypes
import json
import os
import platform
import resource
import select
import signal
import sys
import time
from typing import Any

NEW_USER, NEW_MOUNTS, NEW_PIDS, NEW_NET = 0x10000000, 0x00020000, 0x20000000, 0x40000000
NEW_IPC, NEW_NAMES = 0x08000000, 0x04000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE, MOUNT_READ_ONLY = 2, -100, 0x8000, 1
MOUNT_SETATTR = 442  # of every architecture
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
DIES_WITH_PARENT, NO_NEW_RIGHTS = 1, 38  # of prctl
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
POLL = 0.02  # seconds
NEW_ROOT = "/tmp"  # where the root is built; every Linux has the folder, and what is in it gets out of sight

# What runs in the program's own process. It is not believed: it may have been changed by the program.
EVALUATE = """
import json, os, sys, types
place_of_values = int(sys.argv.pop())
with open("program.py", encoding="utf-8") as file:
    source = file.read()
with open("expressions.json", encoding="utf-8") as file:
    expressions = json.load(file)
program = sys.modules["program"] = types.ModuleType("program")  # dataclasses look names up in it
names = program.__dict__
exec(compile(source, "program.py", "exec"), names)
for place, expression in enumerate(expressions):
    try:
        line = json.dumps([place, repr(eval(expression, names))[:100000]])
    except Exception:  # it has no value, which fails its test
        continue
    os.write(place_of_values, line.encode() + b"\\n")
"""

libc = ctypes.CDLL(None, use_errno=True)
Job = dict[str, Any]


def main() -> None:
    """Reads the job, runs it and writes how it ended."""
    libc.prctl(DIES_WITH_PARENT, signal.SIGKILL)
    job = json.load(sys.stdin)
    if job["isolated"]:
        _enter_namespaces()
    ready, done = os.pipe()
    supervisor = os.fork()
    if not supervisor:
        os.close(ready)
        libc.prctl(DIES_WITH_PARENT, signal.SIGKILL)
        try:
            result = _supervise(job)
        except OSError as error:
            result = {"problem": f"{type(error).__name__}: {error}"}
        _write_all(done, json.dumps(result).encode())
        os._exit(0)
    os.close(done)
    parts = []
    while part := os.read(ready, 1 << 16):
        parts.append(part)
    os.waitpid(supervisor, 0)
    sys.stdout.write(b"".join(parts).decode())


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    _checked(libc.unshare(NEW_USER | NEW_MOUNTS | NEW_PIDS | NEW_NET | NEW_IPC | NEW_NAMES), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _supervise(job: Job) -> Job:
    """Runs the program as its only other process, and returns what was seen of it."""
    if job["isolated"]:
        _enter_root(job["disk_mb"], job["prefixes"])
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
    return _watch(job, program, printed, values)


def _enter_root(disk_mb: int, prefixes: list[str]) -> None:
    """Leaves the machine's files for a root of its own; what is opened before stays reachable while it is built."""
    places = [path for path in (*SYSTEM, *prefixes, *DEVICES) if os.path.exists(path)]
    links = {path: os.readlink(path) for path in places if os.path.islink(path)}
    held = {path: os.open(path, os.O_PATH) for path in places if path not in links and not _is_within(path, SYSTEM)}
    _checked(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    _mount(b"tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    # Before what is mounted below it: Python itself may lie in the machine's /tmp.
    os.makedirs(f"{NEW_ROOT}/tmp")
    options = f"size={disk_mb}m,mode=1777,nr_inodes=4096"
    _mount(b"tmpfs", f"{NEW_ROOT}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    for path, target in links.items():
        if not _is_within(path, SYSTEM):
            os.makedirs(f"{NEW_ROOT}{os.path.dirname(path)}", exist_ok=True)
            os.symlink(target, f"{NEW_ROOT}{path}")
    for path, descriptor in held.items():
        place = f"{NEW_ROOT}{path}"
        if path in DEVICES:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_CREAT))
        else:
            os.makedirs(place, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}".encode(), place, None, MS_BIND | MS_REC, None)
        os.close(descriptor)
        if path not in DEVICES:
            _make_read_only(place)
    os.makedirs(f"{NEW_ROOT}/proc")
    _mount(b"proc", f"{NEW_ROOT}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    os.chdir(NEW_ROOT)
    _checked(libc.syscall(PIVOT_ROOT[platform.machine()], b".", b"."), "pivot_root")
    _checked(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")
    attributes = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY, 0, 0, 0)
    _checked(libc.syscall(MOUNT_SETATTR, AT_FDCWD, b"/", 0, ctypes.byref(attributes), 32), "mount_setattr")
    os.chdir("/tmp")


def _is_within(path: str, folders: tuple[str, ...]) -> bool:
    return path not in folders and any(path.startswith(f"{folder}/") for folder in folders)


def _make_read_only(place: str) -> None:
    attributes = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY, 0, 0, 0)
    done = libc.syscall(MOUNT_SETATTR, AT_FDCWD, place.encode(), AT_RECURSIVE, ctypes.byref(attributes), 32)
    _checked(done, "mount_setattr")


def _mount(source: bytes, place: str, kind: str | None, flags: int, options: str | None) -> None:
    texts = [None if text is None else text.encode() for text in (place, kind, options)]
    _checked(libc.mount(source, texts[0], texts[1], flags, texts[2]), f"mount on {place}")


def _checked(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _become_program(job: Job, printed: int, values: int) -> None:
    os.setsid()
    if job["isolated"]:
        _checked(libc.unshare(NEW_USER), "unshare")  # nobody there: no rights over the files and processes outside
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
    words = ["program.py"]
    if job["expressions"] is not None:
        os.set_inheritable(values, True)
        words = ["-c", EVALUATE, str(values)]
    home = os.getcwd()
    environment = {"PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, "-I", *words], environment)


def _watch(job: Job, program: int, printed: int, values: int) -> Job:
    """Reads and counts until the program ends or must end."""
    read: dict[int, bytearray] = {printed: bytearray(), values: bytearray()}
    open_ends = {printed, values}
    most = job["output_kb"] << 10
    deadline = time.monotonic() + job["wall_seconds"]
    ended, code = "", None
    while not ended:
        for end in select.select(list(open_ends), [], [], POLL)[0]:
            part = os.read(end, 1 << 16)
            read[end] += part
            if not part:
                open_ends.discard(end)
        done, status = os.waitpid(program, os.WNOHANG)
        if done:
            ended, code = "exit", os.waitstatus_to_exitcode(status)
        elif any(len(each) > most for each in read.values()):
            ended = "output"
        elif time.monotonic() > deadline:
            ended = "seconds"
        else:
            ended = _over(job) if job["isolated"] else ""
        if not open_ends and not ended:
            time.sleep(POLL)
    _kill_all(program, job["isolated"])
    for end in open_ends:  # what was on the way
        os.set_blocking(end, False)
        with contextlib.suppress(BlockingIOError):
            read[end] += os.read(end, most)
    if ended == "exit" and code == -signal.SIGXCPU:
        ended = "seconds"
    texts = {"printed": bytes(read[printed][:most]), "values": bytes(read[values][:most])}
    return {"ended": ended, "code": code} | {name: base64.b64encode(text).decode() for name, text in texts.items()}


def _over(job: Job) -> str:
    """Names the limit that all processes of the program together are over; empty if none."""
    pages = count = 0
    for name in os.listdir("/proc"):
        if not name.isdecimal() or name == "1":
            continue
        try:
            with open(f"/proc/{name}/statm") as file:
                pages += int(file.read().split()[1])
            count += 1
        except (OSError, IndexError):  # it ended meanwhile
            continue
    if count > job["processes"]:
        return "processes"
    return "memory" if pages * resource.getpagesize() > job["memory_mb"] << 20 else ""


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
