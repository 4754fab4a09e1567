"""Have what a build needs from elsewhere in the cache: in a process apart, with the caller's own ids."""

from __future__ import annotations

import os

from vaggapy.build.actions import CACHE, DOWNLOADS, Fetch, FetchGit, FetchImage
from vaggapy.build.trust import inner_directory

OWN_DIRECTORIES = ("downloads", "git/.locks", "git/.trees", "images/blobs/sha256", "images/references")
"""Of the cache, where what is fetched is written: none of them may be a link to elsewhere."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vaggapy.build.context import Machine
    from vaggapy.build.run import View
    from vaggapy.build.store import Places

    Obtain = Fetch | FetchGit | FetchImage
    Apart = Callable[[Callable[[], bytes]], bytes]


def obtain(action: Obtain, places: Places, machine: Machine, apart: Apart, view: View, fresh: bool) -> None:
    """Fetch what an action names, unless it is there; `fresh`: also then, where it may have changed.

    Raises:
        VaggaError: with the address and the cause.
    """
    apart(lambda: _fetch(action, places, machine, view, fresh))


def _fetch(action: Obtain, places: Places, machine: Machine, view: View, fresh: bool) -> bytes:
    """Fetch, in the process apart; what it imports is heavy."""
    from vaggapy.build.fetch import Outside, fetch  # httpx, 60 ms

    for directory in OWN_DIRECTORIES:
        inner_directory(places.cache, directory)
    outside = Outside(progress=view.progress, say=view.message)
    match action:
        case Fetch(urls, sha256):
            fetch(urls, sha256, places.cache + DOWNLOADS.removeprefix(CACHE), outside, fresh)
        case FetchGit():
            from vaggapy.build.gitcache import have_tree  # the same

            have_tree(action, places.cache, places.project, view.message)
        case FetchImage(reference):
            from vaggapy.build.image_fetch import fetch_image  # the same
            from vaggapy.build.registry_client import Caller  # the same

            caller = Caller(dict(os.environ), _run_helper)
            fetch_image(reference, places.cache, places.project, machine.architecture, fresh, caller, outside)
    return b""


def _run_helper(words: tuple[str, ...], data: bytes) -> tuple[int, bytes]:
    """Run a credential helper of Docker."""
    import subprocess  # in the process apart

    try:
        done = subprocess.run(words, input=data, capture_output=True, check=False)
    except OSError:
        return 127, b""
    return done.returncode, done.stdout
