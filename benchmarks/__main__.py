"""All benchmarks of speed and memory in turn, each against its baseline; options go to all.

python -m benchmarks [--photos FOLDER] [--runs N]
"""

import subprocess
import sys

from benchmarks.measure import arguments, needed

NAMES = (
    "cold_query",
    "start_up",
    "index_speed",
    "unchanged_index",
    "decode_speed",
    "train_speed",
    "memory",
    "filtered_query",
    "pick",
)


def main() -> None:
    needed(arguments(__doc__, runs=3).parse_args().photos)
    conclusions = []
    for name in NAMES:
        print(f"## {name}\n", flush=True)
        lines = run(name)
        conclusions.append(f"{name}: {lines[-1] if lines else 'failed'}")
        print(flush=True)
    print("## together\n\n" + "\n".join(conclusions))
    if any(line.endswith(": failed") for line in conclusions):
        sys.exit(1)


def run(name: str) -> list[str]:
    """Run one benchmark, print its lines, and return them; none where it failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    return [line for line in lines if line] if process.returncode == 0 else []


if __name__ == "__main__":
    main()
