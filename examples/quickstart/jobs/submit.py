"""`submit KIND [SIZE]`: submit one job through the HTTP API of `web`, and exit."""

from __future__ import annotations

import json
import sys
from http.client import HTTPException
from urllib.error import HTTPError

from jobs.process import RunError, run, say, setting
from jobs.ticker import submit

USAGE = "usage: submit KIND [SIZE]"


def main() -> None:
    if not 2 <= len(sys.argv) <= 3:
        raise RunError(USAGE)
    kind, size = sys.argv[1], (sys.argv[2] if len(sys.argv) == 3 else "1000")
    if not size.isascii() or not size.isdigit():
        raise RunError(USAGE)
    port = setting("PORT", 8000, 65535)
    try:
        number = submit(f"http://127.0.0.1:{port}/jobs", kind, int(size))
    except HTTPError as error:
        with error:
            raise RunError(f"web refuses the job: {json.load(error)['error']}") from error
    except (OSError, HTTPException, ValueError, LookupError) as error:
        raise RunError(f"web does not answer on port {port} (vagga run_full_app starts it)") from error
    say(f"submitted job {number} ({kind} {size})")


if __name__ == "__main__":
    run(main)
