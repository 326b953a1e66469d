"""Open a page in the browser, whose own output must not be among the results."""

import os
import sys

from cli.display import warn


def open_page(address: str, name: str) -> None:
    """Open an address; name: what to call it where no browser can be started."""
    import webbrowser

    sys.stdout.flush()
    stdout = sys.stdout.fileno()
    copy = os.dup(stdout)
    os.dup2(sys.stderr.fileno(), stdout)
    try:
        opened = webbrowser.open(address)
    finally:
        os.dup2(copy, stdout)
        os.close(copy)
    if not opened:
        warn(f"no browser could be started: open {name} in one")
