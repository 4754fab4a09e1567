"""A shell reduced to job control: the leader of a session on a terminal that runs one job as it is told.

Started by `integration.terminals` on the slave of a pty (0, 1, 2), with the number of a socket. Each line that comes
there is a JSON list, and each is answered by one JSON value:

- `["run", words, foreground, streams]`: start the job in a process group of its own; `streams` are paths (or
  null) for its 0, 1, 2. Answers its pid.
- `["look"]`: how the job is now: `["running", 0]`, `["stopped", signal]`, `["exited", code]`, `["killed", signal]`.
  Like a shell it takes the terminal back from a job that stopped or ended, but leaves the settings alone.
- `["fg"]`, `["bg"]`: continue the job, in the foreground or behind; `["give"]`: foreground without SIGCONT, as a
  shell does with a job that runs.

It imports nothing of the project: it is run by path.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import termios

DEFAULT = (signal.SIGTTIN, signal.SIGTSTP, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def main() -> None:
    """Serve until the other end is closed."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGTTOU, *DEFAULT):
        signal.signal(number, signal.SIG_IGN)
    job, how = 0, ["none", 0]
    with open(int(sys.argv[1]), "rb") as requests, open(int(sys.argv[1]), "wb", buffering=0, closefd=False) as answers:
        for line in requests:
            word, *rest = json.loads(line)
            if word == "run":
                job, how = run(*rest), ["running", 0]
                answer: object = job
            elif word == "look":
                how = look(job, how)
                answer = how
            else:
                if word != "bg":
                    os.tcsetpgrp(0, job)
                if word != "give":
                    os.killpg(job, signal.SIGCONT)
                answer = None
            answers.write(json.dumps(answer).encode() + b"\n")


def run(words: list[str], foreground: bool, streams: list[str | None]) -> int:
    """Start a job and return its pid, which is also its process group, once it has executed."""
    executed, pending = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(pending)
        os.read(executed, 1)
        os.close(executed)
        return pid
    try:
        for each in DEFAULT:
            signal.signal(each, signal.SIG_DFL)
        os.setpgid(0, 0)
        if foreground:
            os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        for number, path in enumerate(streams):
            if path is not None:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
                os.dup2(fd, number)
        os.execv(words[0], words)
    finally:
        os._exit(127)


def look(job: int, before: list[object]) -> list[object]:
    """Return how the job is now."""
    if before[0] in ("exited", "killed"):
        return before
    pid, status = os.waitpid(job, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
    if not pid:
        return before
    if os.WIFCONTINUED(status):
        return ["running", 0]
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # The terminal is gone.
    if os.WIFSTOPPED(status):
        return ["stopped", os.WSTOPSIG(status)]
    if os.WIFSIGNALED(status):
        return ["killed", os.WTERMSIG(status)]
    return ["exited", os.WEXITSTATUS(status)]


if __name__ == "__main__":
    main()
