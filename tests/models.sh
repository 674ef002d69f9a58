#!/usr/bin/env bash
# Lists what every file of the catalogue ends with: the hash of its last models and its fingerprints, each on one thread, on
# two, and on two nodes. Two builds whose lists are equal train the same, byte for byte.
#
#   tests/models.sh [BINARY] [FOLDER OF DATA SETS] > list
#
# Files that take long run for two rounds. One whose data are not there is listed as skipped, as is a sweep on nodes.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binary=$(realpath "${1:-$root/target/release/lyceum}")
data=${2:+$(realpath "$2")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The last models below a folder, as one hash, and the fingerprints of its runs.
ends() {
    local models
    models=$(find "$1" -name global.safetensors -printf '%h %p\n' | sort | awk '{ sub(/\/[0-9]+$/, "", $1); last[$1] = $2 } END { for (run in last) print last[run] }' | sort)
    printf '%s' "$(cat $models | sha256sum | cut -c1-16)"
    find "$1" -name events.jsonl | sort | while read -r log; do
        printf ' %s' "$(sed -n '/"run_finished"/s/.*"fingerprint":"\(.\{16\}\).*/\1/p' "$log")"
    done
    printf '\n'
}

# list NAME FILE HOW...: runs a file in one way.
list() {
    local name=$1 file=$2 way=$3 out=$work/run
    shift 3
    rm -rf "$out"
    if "$binary" run "$file" ${data:+--data "$data"} --quiet --out "$out" "$@" >/dev/null 2>"$work/err"; then
        echo "$name $way: $(ends "$out")"
    else
        echo "$name $way: skipped ($(grep -m 1 -v '^warning' "$work/err" || true))"
    fi
}

find "$root/scenarios/catalogue" -name '*.toml' | sort | while read -r file; do
    name=${file#"$root/scenarios/catalogue/"}
    short=()
    case $name in
    cifar-* | fashion-* | task-orders-*) short=(--set run.rounds=2) ;;
    esac
    list "$name" "$file" "1 thread" --threads 1 "${short[@]}"
    list "$name" "$file" "2 threads" --threads 2 "${short[@]}"
    list "$name" "$file" "2 nodes" --nodes 2 "${short[@]}"
done
