#!/usr/bin/env bash
# Promise: the batch script that `lyceum cluster --for slurm` prints runs a scenario as a job of Slurm, with the fingerprint of
# the run in one process, also where a task is killed and the job is requeued.
#
#   tests/slurm.sh [FOLDER OF BINARIES] [SCENARIO]
#
# A controller and one host on loopback: the coordinator and three nodes. Prints `skipped: REASON` and ends well where a part is
# not to be had. Needs root and Debian's slurm-wlm; leaves nothing behind.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binaries=$(realpath "${1:-$root/target/release}")
scenario=$(realpath "${2:-$root/scenarios/catalogue/quickstart.toml}")
rounds=${LYCEUM_ROUNDS:-800}
limit=${LYCEUM_LIMIT:-300}
work=$(mktemp -d)
started=()
changes=(--set "run.rounds=$rounds" --set evaluation.every=50)

skip() {
    echo "skipped: $*"
    exit 0
}

fail() {
    echo "failed: $*" >&2
    for log in "$work"/*.log "$work"/share/*.log; do
        [ -s "$log" ] && { echo "--- ${log##*/}" && tail -n 20 "$log"; } >&2
    done
    exit 1
}

clean() {
    local status=$?
    trap - EXIT
    [ -z "${job:-}" ] || scancel --full "$job" 2>/dev/null || true
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}

# await SECONDS WHAT COMMAND...: until the command says yes.
await() {
    local seconds=$1 what=$2
    shift 2
    for _ in $(seq "$((seconds * 10))"); do
        "$@" 2>/dev/null && return
        sleep 0.1
    done
    fail "no $what within $seconds s"
}

probe() {
    local part
    for part in slurmctld slurmd sbatch; do
        command -v "$part" >/dev/null || skip "slurm-wlm is not installed: there is no $part"
    done
    [ "$(id -u)" = 0 ] || skip "the daemons of Slurm need root"
    [ -x "$binaries/lyceum" ] || skip "no lyceum in $binaries"
}

# A cluster of one host, without accounts, that trusts whoever is root here.
configure() {
    local host
    host=$(hostname -s)
    mkdir -p "$work/ctld" "$work/slurmd" "$work/share"
    export SLURM_CONF=$work/slurm.conf
    cat >"$SLURM_CONF" <<CONF
ClusterName=$(basename "$work" | tr -dc a-z0-9)
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((30000 + $$ % 10000))
SlurmdPort=$((40000 + $$ % 10000))
AuthType=auth/none
CredType=cred/none
SlurmUser=root
StateSaveLocation=$work/ctld
SlurmdSpoolDir=$work/slurmd
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
JobRequeue=1
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=30
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    slurmctld -D >"$work/slurmctld.log" 2>&1 &
    started+=("$!")
    slurmd -D >"$work/slurmd.log" 2>&1 &
    started+=("$!")
    for _ in $(seq 100); do
        sinfo --noheader --format %T 2>/dev/null | grep -q idle && return
        sleep 0.2
    done
    skip "no daemons of Slurm: $(tail -n 1 "$work/slurmctld.log") $(tail -n 1 "$work/slurmd.log")"
}

submit() {
    "$binaries/lyceum" cluster "$scenario" "${changes[@]}" --nodes 3 --threads 1 --for slurm >"$work/share/job.sh"
    # Memory is no resource of this cluster.
    sed -i '/^#SBATCH --mem-per-cpu/d' "$work/share/job.sh"
    port=$((20000 + $$ % 10000 * 2))
    export LYCEUM_PORT=$port LYCEUM=$binaries/lyceum LYCEUM_HEAD=127.0.0.1 LYCEUM_SHARE=$work/share LYCEUM_DATA=$work/share
    job=$(cd "$work/share" && sbatch --parsable job.sh) || fail "sbatch"
    folder=$work/share/lyceum-$job
    log=$work/share/lyceum-$job.log
}

# says PATTERN [TIMES]: whether so many lines of the job's log match.
says() {
    [ "$(grep -c "$1" "$log")" -ge "${2:-1}" ]
}

faults() {
    local node
    await 60 "three nodes" says "node joined" 3
    await 60 "rounds" says "^round "
    # A node of the job, by the port that nobody else has.
    node=$(pgrep -f "^$binaries/lyceum node --coordinator 127.0.0.1:$port " | head -n 1)
    [ -n "$node" ] || fail "no process of a node"
    kill -KILL "$node"
    await 60 "return of the node" says "node joined" 4
    [ ! -e "$folder/run/finished.json" ] || fail "the run is over before the job is requeued; set LYCEUM_ROUNDS above $rounds"
    scontrol requeue "$job" || fail "requeue"
    echo "one node was killed, and the job requeued"
    await 120 "start of the job that was requeued" says "going on from round"
}

is_over() {
    [ -z "$(squeue --noheader --job "$job" --format %T 2>/dev/null | grep -v COMPLETED)" ]
}

fingerprint() {
    sed -n 's/^fingerprint //p' "$1" | tail -n 1
}

compare() {
    local alone together
    "$binaries/lyceum" run "$scenario" "${changes[@]}" --quiet --out "$work/alone" >"$work/alone.log" 2>&1 || fail "the plain run"
    await "$limit" "end of the job" is_over
    alone=$(fingerprint "$work/alone.log")
    together=$(fingerprint "$log")
    [ -n "$alone" ] && [ "$alone" = "$together" ] || fail "fingerprints '$alone' alone, '$together' together"
    echo "fingerprint $together"
}

trap clean EXIT
trap 'exit 130' INT TERM
probe
configure
submit
faults
compare
