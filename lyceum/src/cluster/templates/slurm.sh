#!/usr/bin/env bash
# Submit with `sbatch`, from a folder that all hosts share. Task 0 is the coordinator, the others are nodes. A job that is
# requeued, by hand, by preemption or by this script, goes on where it stopped.
#SBATCH --job-name=lyceum-{{ .Values.name }}
#SBATCH --ntasks={{ .Values.tasks }}
#SBATCH --cpus-per-task={{ .Values.nodeThreads }}
#SBATCH --mem-per-cpu={{ .Values.mibPerCpu }}M
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=lyceum-%j.log
set -euo pipefail

lyceum=${LYCEUM:-lyceum}
data=${LYCEUM_DATA:-data}
share=${LYCEUM_SHARE:-$PWD}/lyceum-$SLURM_JOB_ID
# Not the port of another job on the same hosts.
port=${LYCEUM_PORT:-$((20000 + SLURM_JOB_ID % 10000 * 2))}
head=${LYCEUM_HEAD:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
export lyceum data share port head

umask 077
mkdir -p "$share"
cat >"$share/scenario.toml" <<'SCENARIO'
{{- .Values.scenario | nindent 0 }}
SCENARIO

# The authority's key stays in the shared folder, its owner's alone; keys of nodes are made on their hosts.
"$lyceum" identity init "$share/authority" --keep
"$lyceum" identity token coordinator --hours 720 --authority "$share/authority" >"$share/join-coordinator"
"$lyceum" identity token node --uses 10000 --hours 720 --authority "$share/authority" >"$share/join-node"
"$lyceum" identity serve --authority "$share/authority" --listen "0.0.0.0:$((port + 1))" --log warn &
enrolment=$!
trap 'kill "$enrolment" 2>/dev/null || true' EXIT

# One task. Whatever kills a process but bad input (2), the task starts it again; the coordinator that was told to stop ends
# with 75, and so does its task.
task='
own=$(mktemp -d "${TMPDIR:-/tmp}/lyceum-XXXXXX")
trap "rm -rf \"$own\"" EXIT
role=node name=
if [ "$SLURM_PROCID" = 0 ]; then role=coordinator name=hub; fi
"$lyceum" identity join $role $name --join-file "$share/join-$role" --server "$head:$((port + 1))" \
    --out "$own/identity" --patience 120 >/dev/null || exit
if [ $role = coordinator ]; then
    set -- coordinator "$share/scenario.toml" --listen "0.0.0.0:$port" --metrics "0.0.0.0:$((port + 1))" \
        --out "$share/run" --wait-for-nodes {{ .Values.nodes }} --stay 60
else
    set -- node --coordinator "$head:$port" --threads {{ .Values.nodeThreads }} --log warn
fi
# Slurm signals every process of a task; this one only has to outlast the other.
trap : TERM
while :; do
    "$lyceum" "$@" --identity "$own/identity" --data "$data" &
    process=$!
    code=0
    wait "$process" || code=$?
    # Where a signal came, the process is asked how it ended once more.
    while kill -0 "$process" 2>/dev/null; do code=0; wait "$process" || code=$?; done
    case $code in 0|2|75) exit "$code" ;; esac
    echo "task $SLURM_PROCID: ended with $code; it is started again" >&2
    sleep 1
done
'
code=0
srun --kill-on-bad-exit=0 --wait=0 bash -c "$task" || code=$?
# A task that was lost has no say once the run is finished.
[ ! -e "$share/run/finished.json" ] || exit 0
case $code in
    0 | 2) exit "$code" ;;
    *) scontrol requeue "$SLURM_JOB_ID" ;;
esac
