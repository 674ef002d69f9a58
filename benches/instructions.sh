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

# instructions WORKLOAD ROUNDS: of the whole process, on one thread.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" run "scenarios/catalogue/$1.toml" --quiet --threads 1 \
    --data "$data" --set "run.rounds=$2" --set evaluation.every=1000 --out "$scratch/$1-$2" 2>&1 >/dev/null |
    sed -n 's/.*Collected *: *//p'
}

# report NAME WORKLOAD PER_ROUND
report() {
  local short long
  short=$(instructions "$2" 1)
  long=$(instructions "$2" 3)
  echo "$1: $(((long - short) / (2 * $3))) instructions"
}

report "a step of W1 (32 images, rounding up the last batch)" w1 190
report "a client of W4 (6 images)" w4 1000
