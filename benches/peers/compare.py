#!/usr/bin/env python3
"""Runs this simulator and its peers in turn on the speed workloads and prints ratios with their spread.

    python3 compare.py --data FOLDER [--runs 3] [--peers torch_workers,fedjax] [W1 W2 ...]

Uses the standard library only. Each run of each programme is one process; ratios are taken within one
alternation, so that a slow minute of the machine falls on both sides.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = "lyceum"

# Peer: script, environment, workloads.
FEDERATED = ("W1", "W2", "W3", "W4")
LATER = ("W8", "W9")
PEERS = {
    "torch_workers": ("torch_workers.py", "torch", FEDERATED),
    "torch_vmap": ("torch_vmap.py", "torch", FEDERATED),
    "fedjax": ("fedjax_bench.py", "fedjax", FEDERATED),
    "torch_loop": ("torch_loop.py", "torch", FEDERATED + LATER),
    "pfl": ("pfl_bench.py", "pfl", FEDERATED + LATER),
    "flower": ("flower_bench.py", "flower", FEDERATED),
    "torch_continual": ("torch_continual.py", "torch", ("W5",)),
    "avalanche": ("avalanche_bench.py", "avalanche", ("W5",)),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="W1..W5, W8, W9", help="default: all seven")
    parser.add_argument("--data", help="folder of the data sets: fashion-mnist, cifar10-subset, mnist")
    parser.add_argument("--runs", type=int, default=3, help="alternations (default 3)")
    parser.add_argument("--lyceum", help="our binary (default: target/release, then the path)")
    parser.add_argument("--venvs", type=Path, default=HERE / ".venv", help="where setup.sh put the environments")
    parser.add_argument("--peers", help=f"comma-separated, of {', '.join(PEERS)}")
    parser.add_argument("--rounds", default="", help="fewer rounds for a peer: flower=3, or flower:W1=10,...")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run (default 600)")
    parser.add_argument("--save", type=Path, help="write all measurements as JSON, after every run")
    parser.add_argument("--from", dest="source", type=Path, help="print tables of saved measurements, run nothing")
    chosen = parser.parse_args()
    chosen.workloads = [w.upper() for w in chosen.workloads] or [*FEDERATED, "W5", *LATER]
    chosen.peers = chosen.peers.split(",") if chosen.peers else list(PEERS)
    known = (*FEDERATED, "W5", *LATER, *PEERS)
    if unknown := [name for name in chosen.workloads + chosen.peers if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}")
    if chosen.source is None and chosen.data is None:
        parser.error("--data is needed")
    try:
        chosen.rounds = {key: int(n) for key, n in (part.split("=") for part in chosen.rounds.split(",") if part)}
    except ValueError:
        parser.error("--rounds is PEER=N or PEER:WORKLOAD=N, comma-separated")
    return chosen


def our_binary(named):
    built = HERE.parents[1] / "target" / "release" / OURS
    return named or (str(built) if built.exists() else shutil.which(OURS) or str(built))


def command(name, workload, chosen):
    """What to run; raises FileNotFoundError if it is not there."""
    if name == OURS:
        binary = our_binary(chosen.lyceum)
        if not Path(binary).exists():
            raise FileNotFoundError(f"no binary {binary}")
        line = [binary, "bench", workload, "--json", "--runs", "1", "--data", chosen.data]
    else:
        script, environment, _ = PEERS[name]
        python = chosen.venvs / environment / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError(f"no environment {environment}: run setup.sh")
        line = [str(python), "-B", str(HERE / script), workload, "--data", chosen.data]
        rounds = chosen.rounds.get(f"{name}:{workload}", chosen.rounds.get(name))
        if rounds:
            line += ["--rounds", str(rounds)]
    return line


def run(line, timeout):
    """Exit code, standard output and standard error; a run that takes too long is ended with its children."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        # A group of its own, since Ray and torchrun leave processes behind when only the script is ended.
        process = subprocess.Popen(line, stdout=out, stderr=err, start_new_session=True)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = f"took more than {timeout:g} s"
        finally:
            end(process)
        for file in (out, err):
            file.seek(0)
        return code, out.read(), err.read()


def end(process):
    for what in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, what)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def measurements(text):
    """The JSON objects among the lines that a programme printed."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return [m for m in found if "workload" in m]


def measure(name, workload, chosen):
    """One run: its measurements, or why there are none."""
    try:
        line = command(name, workload, chosen)
    except FileNotFoundError as missing:
        return {"error": str(missing)}
    code, out, err = run(line, chosen.timeout)
    found = measurements(out)
    if code == 0 and found:
        return {"lines": found}
    if isinstance(code, str):
        return {"error": code}
    return {"error": reason(err.strip() or out.strip()) or f"exit code {code}, nothing printed"}


def reason(text):
    """The last line that names an error, else the last with a word in it; torchrun's own say nothing."""
    lines = [line.strip() for line in text.splitlines() if any(map(str.isalnum, line)) and "elastic" not in line]
    named = [line for line in lines if "error:" in line.lower()]
    return (named or lines or [""])[-1][:200]


def alternate(chosen):
    saved = {"machine": machine(), "runs": []}
    for workload in chosen.workloads:
        names = [OURS] + [p for p in chosen.peers if workload in PEERS[p][2]]
        for number in range(chosen.runs):
            for name in names:
                entry = {"workload": workload, "run": number, "name": name, **measure(name, workload, chosen)}
                saved["runs"].append(entry)
                print(f"{workload} run {number + 1}/{chosen.runs} {name}: {brief(entry)}", file=sys.stderr)
                if chosen.save:
                    chosen.save.write_text(json.dumps(saved, indent=1) + "\n")
    return saved


def brief(entry):
    if "error" in entry:
        return entry["error"]
    return ", ".join(f"{figure(speed(m))} s" for m in entry["lines"])


def machine():
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(": ")[1] for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0] if models else cpu
    return f"{cpu}, {os.cpu_count()} cores"


def label(name, line):
    """Several lines of one programme are told apart by method, or by engine."""
    return f"{name} ({line['engine']})" if name == OURS and line.get("engine") else name


def speed(line):
    return line["seconds_per_task"] if "seconds_per_task" in line else line["seconds_per_round"]


def collect(saved):
    """Table title -> label -> run number -> measurement, and the errors: workload -> name -> text."""
    tables, errors = {}, {}
    for entry in saved["runs"]:
        workload, name = entry["workload"], entry["name"]
        if "error" in entry:
            errors.setdefault(workload, {})[name] = entry["error"]
        for line in entry.get("lines", []):
            title = f"{workload} {line['method']}" if line.get("method") else workload
            tables.setdefault(title, {}).setdefault(label(name, line), {})[entry["run"]] = line
    for workload in errors:
        if not any(title.split()[0] == workload for title in tables):
            tables[workload] = {}
    return tables, errors


def is_ours(name):
    return name.split(" ")[0] == OURS


def reference(rows):
    """Ours, to which ratios are taken; with several engines, the fastest."""
    ours = [name for name in rows if is_ours(name)]
    return min(ours, key=lambda name: median(rows[name], speed), default=None)


def median(runs, of):
    return statistics.median(of(line) for line in runs.values())


def ratio(runs, to):
    """Median and range of the ratios within one alternation, as text."""
    shared = [speed(line) / speed(to[number]) for number, line in runs.items() if number in to]
    if not shared:
        return "-"
    return f"{statistics.median(shared):.2f} [{min(shared):.2f}, {max(shared):.2f}]"


def figure(value):
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def optional(runs, key, form):
    values = [line[key] for line in runs.values() if line.get(key) is not None]
    return form.format(statistics.median(values)) if values else "-"


def table(title, rows, errors):
    per, start = ("task", "step") if title.startswith("W5") else ("round", "round")
    lines = [
        f"### {title}", "",
        f"| | s per {per} | s to end of first {start} | peak MiB | accuracy | runs | ratio to ours |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ours = reference(rows)
    for name in sorted(rows, key=lambda name: median(rows[name], speed)):
        runs = rows[name]
        shown = f"**{name}**" if is_ours(name) else name
        against = "1" if name == ours else ratio(runs, rows[ours]) if ours else "-"
        lines.append(
            f"| {shown} | {figure(median(runs, speed))} | {optional(runs, f'first_{start}_seconds', '{:.1f}')} "
            f"| {optional(runs, 'peak_mib', '{:.0f}')} | {optional(runs, 'accuracy', '{:.1%}')} "
            f"| {len(runs)} | {against} |")
    present = {name.split(" ")[0] for name in rows}
    for name, error in errors.items():
        if name not in present:
            lines.append(f"| {name} | failed: {error.replace('|', '/')} | | | | 0 | - |")
    lines += ["", fastest(rows, ours), *partial(errors, present)]
    return "\n".join(lines)


def fastest(rows, ours):
    peers = [name for name in rows if not is_ours(name)]
    if not peers or ours is None:
        return "No ratio to the fastest peer: " + ("ours was not measured." if peers else "no peer was measured.")
    best = min(peers, key=lambda name: median(rows[name], speed))
    return f"Fastest peer: {best}, {ratio(rows[best], rows[ours])} times as long as ours."


def partial(errors, present):
    return [f"Some runs of {name} failed: {error}" for name, error in errors.items() if name in present]


def versions(saved):
    found = {}
    for entry in saved["runs"]:
        for line in entry.get("lines", []):
            found.update(line.get("versions", {}))
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def render(saved):
    tables, errors = collect(saved)
    parts = [table(title, rows, errors.get(title.split()[0], {})) for title, rows in tables.items()]
    parts.append(
        "Medians over runs; ratios are median [min, max] over alternations. "
        f"{saved['machine']}. {versions(saved)}".rstrip())
    return "\n\n".join(parts)


def main():
    chosen = arguments()
    saved = json.loads(chosen.source.read_text()) if chosen.source else alternate(chosen)
    print(render(saved))


if __name__ == "__main__":
    main()
