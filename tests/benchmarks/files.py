"""How many files a process may open: a thousand sessions are a thousand sockets."""

from __future__ import annotations

import sys

ENOUGH = 4096


def allow_many() -> None:
    """Raise the limit of this process, where there is one and it may."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
