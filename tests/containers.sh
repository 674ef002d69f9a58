#!/usr/bin/env bash
# Promise: a run over containers of the image, with addresses of their own, ends with the fingerprint of the run in one process,
# whatever becomes of them: one node is killed, one stands still for 20 s, one is cut off and joined again, and the
# coordinator is killed and comes back under another address.
#
#   tests/containers.sh [FOLDER OF BINARIES] [SCENARIO]
#
# Nothing is pulled: the base holds what the binary is linked with, and the image is the last stage of the Containerfile. Prints
# `skipped: REASON` and ends well where a part is not to be had. Needs root, podman and runc; leaves nothing behind.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binaries=$(realpath "${1:-$root/target/release}")
scenario=$(realpath "${2:-$root/scenarios/catalogue/quickstart.toml}")
# So many rounds as would take this long in one process: long enough for what is done to the containers.
seconds=${LYCEUM_SECONDS:-45}
limit=${LYCEUM_LIMIT:-900}
pause_s=${LYCEUM_PAUSE_S:-20}

tag=lyc$$
subnet=10.89.$(($$ % 200 + 20))
image=localhost/lyceum:$tag
work=$(mktemp -d)
changes=(--set training.epochs=20 --set evaluation.every=50)

skip() {
    echo "skipped: $*"
    exit 0
}

fail() {
    echo "failed: $*" >&2
    for name in coordinator node-1 node-2 node-3; do
        { echo "--- $name" && in_podman logs --tail 15 "$tag-$name"; } >&2 2>&1 || true
    done
    exit 1
}

in_podman() {
    CONTAINERS_CONF=$work/containers.conf podman --root "$work/storage" --runroot "$work/state" --storage-driver vfs \
        --network-config-dir "$work/networks" --cgroup-manager cgroupfs --events-backend none "$@"
}

clean() {
    local status=$?
    trap - EXIT
    in_podman rm --all --force --time 1 >/dev/null 2>&1 || true
    in_podman network rm --force "$tag" >/dev/null 2>&1 || true
    { grep -o " $work/[^ ]*" /proc/mounts || true; } | sort -r | while read -r mounted; do umount "$mounted" 2>/dev/null || true; done || true
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

# says NAME PATTERN [TIMES]: whether so many lines of a container's log match.
says() {
    [ "$(in_podman logs "$tag-$1" 2>&1 | grep -c "$2")" -ge "${3:-1}" ]
}

probe() {
    command -v podman >/dev/null || skip "podman is not installed"
    command -v runc >/dev/null || skip "runc is not installed"
    [ "$(id -u)" = 0 ] || skip "containers with addresses of their own need root"
    [ -x "$binaries/lyceum" ] || skip "no lyceum in $binaries"
    mkdir -p "$work/networks"
    cat >"$work/containers.conf" <<'CONF'
[engine]
runtime = "runc"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
CONF
    in_podman network create --subnet "$subnet.0/24" "$tag" >/dev/null 2>"$work/why" || skip "no network: $(tail -n 1 "$work/why")"
}

# The base: the libraries that the binary is linked with, and nothing else.
base() {
    local file
    mkdir -p "$work/base/tmp" "$work/base/etc" "$work/base/state"
    chown 65532:65532 "$work/base/state"
    ldd "$binaries/lyceum" | grep -o '/[^ ]*' | while read -r file; do
        mkdir -p "$work/base$(dirname "$file")"
        cp -L "$file" "$work/base$file"
    done
    echo 'nonroot:x:65532:65532::/:/none' >"$work/base/etc/passwd"
    tar -C "$work/base" -c . | in_podman import - localhost/base:1 >/dev/null 2>"$work/why" ||
        skip "no image can be made: $(tail -n 1 "$work/why")"
}

build() {
    base
    mkdir "$work/context"
    cp "$binaries/lyceum" "$work/context/lyceum"
    strip "$work/context/lyceum" 2>/dev/null || true
    # The last stage as it stands, with the base and the binary that are here.
    {
        echo 'ARG BASE'
        sed -n '/ AS final$/,$p' "$root/Containerfile" | sed 's/^COPY --from=binary \/lyceum/COPY lyceum/'
    } >"$work/context/Containerfile"
    in_podman build --quiet --pull-never --format docker --build-arg BASE=localhost/base:1 --tag "$image" "$work/context" \
        >/dev/null 2>"$work/why" || skip "the image cannot be built: $(tail -n 1 "$work/why")"
    in_podman run --rm --network none "$image" --version >"$work/version" 2>"$work/why" ||
        skip "containers cannot run: $(tail -n 1 "$work/why")"
    echo "image: $(cat "$work/version"), $(in_podman save "$image" | gzip -1 | wc -c | awk '{printf "%.1f MiB compressed", $1 / 1048576}')"
}

# How many rounds the run has.
pace() {
    local begun took
    begun=$(date +%s%N)
    "$binaries/lyceum" run "$scenario" "${changes[@]}" --set run.rounds=40 --threads 3 --quiet --out "$work/pace" >/dev/null ||
        fail "the plain run"
    took=$((($(date +%s%N) - begun) / 1000000))
    rounds=$((40 * seconds * 1000 / (took + 1) + 40))
    changes+=(--set "run.rounds=$rounds")
}

# What the image promises of itself.
inspect() {
    local found
    found=$(in_podman image inspect "$image" --format '{{.Config.User}} {{.Config.Entrypoint}} {{.Labels}} {{.HealthCheck}}')
    for part in 65532 /usr/local/bin/lyceum org.opencontainers.image.version probe; do
        [[ $found == *$part* ]] || fail "the image lacks $part: $found"
    done
}

credentials() {
    local name
    "$binaries/lyceum" identity init "$work/authority" >/dev/null
    "$binaries/lyceum" identity coordinator hub --authority "$work/authority" --out "$work/coordinator" >/dev/null
    for name in node-1 node-2 node-3; do
        "$binaries/lyceum" identity node "$name" --authority "$work/authority" --out "$work/$name" >/dev/null
    done
    mkdir "$work/run"
    chmod 755 "$work"
    cp "$scenario" "$work/scenario.toml"
    chmod 644 "$work/scenario.toml"
    chown -R 65532:65532 "$work/coordinator" "$work"/node-? "$work/run"
}

# start NAME OPTION... -- ARGUMENT...: a container as the manifests have it: no root, nothing to write, no rights.
start() {
    local name=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1") && shift; done
    shift
    in_podman run --detach --no-healthcheck --name "$tag-$name" --network "$tag" --read-only --cap-drop all --security-opt no-new-privileges \
        --env LYCEUM__TRANSPORT__IDLE_S=10 --env LYCEUM__TRANSPORT__KEEP_ALIVE_S=2 --env LYCEUM__HEARTBEAT_S=0.5 \
        --volume "$work/$name:/identity:ro" "${options[@]}" "$image" "$@" >/dev/null 2>"$work/why" ||
        fail "container $name: $(tail -n 1 "$work/why")"
}

start_coordinator() {
    start coordinator --ip "$subnet.$1" --network-alias hub --volume "$work/run:/run/lyceum" \
        --volume "$work/scenario.toml:/scenario.toml:ro" -- \
        coordinator /scenario.toml "${changes[@]}" --identity /identity --out /run/lyceum --listen 0.0.0.0:4433 \
        --metrics 0.0.0.0:9433 --checkpoint-every 1 --wait-for-nodes 3 --stay 60
    hub=$subnet.$1
}

start_node() {
    start "$1" -- node --coordinator hub:4433 --identity /identity --threads 1
}

rounds_done() {
    "$binaries/lyceum" status "$hub:9433" --json 2>/dev/null | grep -o '"rounds_done":[0-9]*' | grep -o '[0-9]*$'
}

# goes_on NUMBER: whether so many more rounds are done than when it was asked first.
has_done() {
    [ "$(rounds_done)" -ge "$1" ]
}

goes_on() {
    local from
    from=$(rounds_done) || fail "the run is over before $1; set LYCEUM_SECONDS above $seconds"
    await 60 "more rounds after $1" has_done "$((from + 3))"
    echo "after $1: round $(rounds_done)"
}

# stand_still NAME: for a while, by the freezer or, where a busy system does not let it freeze, by signals.
stand_still() {
    if in_podman pause "$tag-$1" >/dev/null 2>&1; then
        sleep "$pause_s"
        in_podman unpause "$tag-$1" >/dev/null
    else
        in_podman kill --signal STOP "$tag-$1" >/dev/null
        sleep "$pause_s"
        in_podman kill --signal CONT "$tag-$1" >/dev/null
    fi
}

is_well() {
    in_podman exec "$tag-coordinator" lyceum probe "$hub:4433" --identity /identity >/dev/null
}

faults() {
    goes_on "the start"
    await 10 "answer to a probe" is_well
    in_podman kill --signal KILL "$tag-node-1" >/dev/null
    in_podman rm --force "$tag-node-1" >/dev/null
    goes_on "node-1 was killed"
    start_node node-1
    stand_still node-2
    goes_on "node-2 stood still for $pause_s s"
    in_podman network disconnect "$tag" "$tag-node-3"
    await 60 "line that node-3 is lost" says coordinator "node lost.*node-3"
    in_podman network connect "$tag" "$tag-node-3"
    await 120 "return of node-3" says coordinator "node joined.*node-3" 2
    goes_on "node-3 was cut off"
    in_podman kill --signal KILL "$tag-coordinator" >/dev/null
    in_podman rm --force "$tag-coordinator" >/dev/null
    start_coordinator 20
    await 120 "return of all nodes" says coordinator "node joined" 3
    goes_on "the coordinator came back under another address"
}

fingerprint() {
    sed -n 's/^fingerprint //p' | tail -n 1
}

compare() {
    local alone together code
    timeout "$limit" "$binaries/lyceum" run "$scenario" "${changes[@]}" --quiet --out "$work/alone" >"$work/alone.log" 2>&1 ||
        fail "the plain run: $(tail -n 1 "$work/alone.log")"
    code=$(timeout "$limit" bash -c "$(declare -f in_podman); work=$work; in_podman wait $tag-coordinator") || fail "the run took more than $limit s"
    [ "$code" = 0 ] || fail "the coordinator ended with $code"
    for name in node-1 node-2 node-3; do
        code=$(in_podman wait "$tag-$name")
        [ "$code" = 0 ] || fail "$name ended with $code"
    done
    alone=$(fingerprint <"$work/alone.log")
    together=$(in_podman logs "$tag-coordinator" 2>&1 | fingerprint)
    [ -n "$alone" ] && [ "$alone" = "$together" ] || fail "fingerprints '$alone' alone, '$together' together"
    echo "fingerprint $together"
}

trap clean EXIT
trap 'exit 130' INT TERM
probe
build
inspect
pace
credentials
start_coordinator 10
for node in node-1 node-2 node-3; do start_node "$node"; done
await 60 "three nodes" says coordinator "node joined" 3
faults
compare
