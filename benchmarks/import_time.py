"""Time of `import transferkit`, and whether it imports TensorFlow.

Each command runs in fresh processes, in turn, after one run that is not timed. "Whole process" is from starting
Python to its end, nothing subtracted; a process that imports nothing is there to compare. "Import" is timed inside
the process, around the statement.

    python benchmarks/import_time.py
"""

from _common import make_parser, markdown_table, median, publish, run_fresh

TARGET = 0.3
COMMANDS = {
    "nothing": "print('{}')",
    "import transferkit": (
        "import time; start = time.perf_counter(); import transferkit; seconds = time.perf_counter() - start\n"
        "import json, sys; print(json.dumps({'import': seconds, 'tensorflow': 'tensorflow' in sys.modules}))"
    ),
}


def measure_in_turn(repeats):
    """Runs the commands in turn. Returns one record a command and repeat."""
    records = {name: [] for name in COMMANDS}
    for repeat in range(repeats + 1):
        for name, command in COMMANDS.items():
            record, seconds = run_fresh("-c", command)
            if repeat:  # the first run fills caches
                records[name].append({**record, "process": seconds})
    return records


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    records = measure_in_turn(args.repeats)
    imported = records["import transferkit"]
    seconds = median(imported, "process")
    rows = [
        ["nothing", f"{median(records['nothing'], 'process'):.3f}", "", ""],
        [
            "`import transferkit`",
            f"{seconds:.3f}",
            f"{median(imported, 'import'):.3f}",
            "yes" if any(record["tensorflow"] for record in imported) else "no",
        ],
    ]
    table = markdown_table(["command", "whole process, s", "import, s", "TensorFlow imported"], rows)
    text = f"Under {TARGET} s: {'met' if seconds < TARGET else 'missed'}. Medians of {args.repeats}."
    publish(__file__, __doc__, args, [table, text], records)


if __name__ == "__main__":
    main()
