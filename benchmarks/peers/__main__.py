"""The comparison's command line.

python -m benchmarks.peers run [--task NAME ...] [--limit X ...] [--peer NAME ...] [--timeout S] [--again]
python -m benchmarks.peers table [--write]
"""

from __future__ import annotations

import argparse
import signal
import sys

from benchmarks.peers.cells import Cell, load_all
from benchmarks.peers.problem import PeerError
from benchmarks.peers.run import run
from benchmarks.peers.table import markdown, write_section
from benchmarks.peers.tasks import TASKS
from benchmarks.peers.tools import TOOLS
from examples.assets import AssetError

_LIMITS = (0.05, 0.01)


def main() -> int:
    """Run cells, or show what they gave."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="autoq beside other tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run what has no result yet, then write the table")
    running.add_argument("--task", nargs="+", choices=list(TASKS), default=list(TASKS), help="tasks; all by default")
    running.add_argument("--limit", nargs="+", type=float, default=list(_LIMITS), help="limits; .05 and .01 by default")
    running.add_argument("--peer", nargs="+", choices=list(TOOLS), default=list(TOOLS), help="tools; all by default")
    running.add_argument("--timeout", type=float, default=600.0, help="seconds each search may take")
    running.add_argument("--again", action="store_true", help="run also what has a result")
    table = commands.add_parser("table", help="print the table of all results")
    table.add_argument("--write", action="store_true", help="write it to docs/benchmarks.md, too")
    arguments = parser.parse_args()
    failure = ""
    if arguments.command == "run":
        # Started in the background of a script, a process inherits an ignored Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        wanted = [Cell(t, x, p) for t in arguments.task for x in arguments.limit for p in arguments.peer]
        try:
            run(wanted, arguments.timeout, again=arguments.again)
        except (PeerError, AssetError) as error:
            failure = f"error: {error}"
        except KeyboardInterrupt:
            print("stopped; every finished cell is kept, the same command goes on from there", file=sys.stderr)
            return 130
    if failure:
        print(failure, file=sys.stderr)
    results = load_all()
    print(markdown(results))
    if arguments.command == "run" or arguments.write:
        print(write_section(results), file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
