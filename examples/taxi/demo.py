"""`make demo`: the taxi example, run and explained.

It works in this folder. The lake `.headwater` is removed first, so that every demo starts from
nothing, and stays afterwards, so that you can look around in it. TAXI_DATA names another
folder of monthly files.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import headwater as hw

FOLDER = Path(__file__).resolve().parent
HEADWATER = Path(sys.executable).with_name("headwater")


def say(text: str = "") -> None:
    """Print a line of explanation, set apart from what the commands print."""
    style = ("\033[1;36m", "\033[0m") if sys.stdout.isatty() and text else ("", "")
    print(f"{style[0]}{text}{style[1]}", flush=True)


def headwater(*arguments: str) -> None:
    """Run a command as a user would, and show it."""
    shown = " ".join(f'"{a}"' if " " in a or "*" in a else a for a in arguments)
    print(f"\n$ headwater {shown}", flush=True)
    errors = None if sys.stdout.isatty() else subprocess.STDOUT  # in order with the rest
    done = subprocess.run([str(HEADWATER), *arguments], cwd=FOLDER, stderr=errors, check=False)
    if done.returncode:
        sys.exit(f"the demo ends here: `headwater {shown}` ended with {done.returncode}")


def traced() -> None:
    """Follow one quarantined row back to the file that it came from."""
    project = hw.open_project(FOLDER)
    found = project.query(
        "SELECT id, path, line, content FROM headwater.quarantine "
        "WHERE dataset = 'tlc.trips' ORDER BY len(reasons) = 1 AND reasons[1] = 'fare.max' DESC, "
        "file_id, record LIMIT 1"
    ).rows()
    if not found:
        return
    row, path, line, content = found[0]
    headwater("quarantine", "show", row)
    with gzip.open(FOLDER / path, "rt", encoding="utf-8", newline="") as file:
        raw = next(text for number, text in enumerate(file, start=1) if number == line)
    same = "the same text" if raw.rstrip("\r\n") == content else "ANOTHER TEXT"
    say(f"\nLine {line} of {Path(path).name}, read again from the file: {same}.")


def main() -> None:
    started = time.monotonic()
    if data := os.environ.get("TAXI_DATA"):
        os.environ["TAXI_DATA"] = str(Path(data).expanduser().resolve())
    files = sorted((FOLDER / os.environ.get("TAXI_DATA", "data")).glob("yellow_*.csv.gz"))
    if not files:
        sys.exit("no yellow_*.csv.gz in the folder that TAXI_DATA names")
    say(f"New York taxi trips: {len(files)} monthly files in {files[0].parent}")
    lake = FOLDER / ".headwater"
    if lake.exists():
        say("The lake of an earlier demo is removed; this one starts from nothing.")
        shutil.rmtree(lake)

    say("\n1. Is the project sound? Its YAML, its SQL and its contracts, before any data is read.")
    headwater("check")
    say("\n2. Land the files, build the models, check them, release them. One command.")
    headwater("run")
    say("\n3. What became of every row: received = landed + quarantined, and so on, step by step.")
    headwater("ledger")
    say("\n4. What is in quarantine, and why. Only rows that break a rule; the others landed.")
    headwater("quarantine", "list", "tlc.trips", "--limit", "5")
    say("\n5. One of them, as it came, with the place where it stands.")
    traced()
    say("\n6. A result: the vendors of the taxi meters, by what they get wrong.")
    headwater(
        "query",
        "SELECT vendor, trips, no_passengers_percent AS no_passengers, "
        "surcharge_twice_percent AS surcharge_twice, half_day_trips FROM marts.vendors "
        "ORDER BY trips DESC",
    )
    say("\nSince the congestion surcharge began, vendor 1 reports it twice: in its own field and")
    say("in `extra`. Whoever adds up the parts of a fare is 2.50 off per trip; staging.trips sets")
    say("it right. Vendor 2 has no such trips, but some that last half a day: a clock was wrong.")
    say("\n7. The same again: every file is landed once, and what is up to date is left alone.")
    headwater("run")
    say(f"\nThat was {time.monotonic() - started:.1f} s. Look around: cd examples/taxi, then")
    say(f"  {HEADWATER} show marts.anomalies")
    say(f'  {HEADWATER} query "SELECT * FROM marts.busiest_routes LIMIT 10"')


if __name__ == "__main__":
    main()
