#!/usr/bin/env bash
# Instructions of one step of W1 and of one client of W4, counted by callgrind: the same on a noisy machine. What a round
# costs is the difference between runs of different length. (valgrind shows a processor without AVX-512, so these are the
# instructions of the AVX2 path.)
#
#   benches/instructions.sh FOLDER_WITH_FASHION_MNIST [BINARY]
set -euo pipefail
data=${1:?folder with Fashion-MNIST}
binary=${2:-target/release/lyceum}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# instructions WORKLOAD ROUNDS CLIENTS_PER_ROUND: of the whole process, on one thread.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" run "scenarios/catalogue/$1.toml" --quiet --threads 1 \
    --data "$data" --set "run.rounds=$2" --set "selection.uniform.per_round=$3" --set evaluation.every=1000 --out "$scratch/$1-$2" 2>&1 >/dev/null |
    sed -n 's/.*Collected *: *//p'
}

# report NAME WORKLOAD CLIENTS_PER_ROUND COUNTED_PER_ROUND
report() {
  local short long
  short=$(instructions "$2" 1 "$3")
  long=$(instructions "$2" 3 "$3")
  echo "$1: $(((long - short) / (2 * $4))) instructions"
}

report "a client of W4 (6 images)" w4 100 100
report "a step of W1 (32 images; a client is 19 steps)" w1 1 19
