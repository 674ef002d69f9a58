#!/usr/bin/env bash
# Promise: a run over real hosts with a bad network between them ends with the fingerprint of the run in one process.
#
#   tests/netns.sh [FOLDER OF BINARIES] [SCENARIO]
#
# The hosts are network namespaces at a bridge. `lyceum-impair` stands before the coordinator: 50 ms each way, 2 % loss,
# 10 Mbit/s, and nothing passes for 20 s in the middle. First an echo shows that the network is as bad as it says.
# Prints `skipped: REASON` and ends well where a part is not to be had. Needs root; leaves nothing behind.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
binaries=$(realpath "${1:-$root/target/release}")
scenario=$(realpath "${2:-$root/scenarios/catalogue/quickstart.toml}")
partition_from=${LYCEUM_PARTITION_FROM:-5}
limit=${LYCEUM_LIMIT:-300}

tag=lyc$$
wire=$tag-wire coordinator=$tag-c node_1=$tag-n1 node_2=$tag-n2
coordinator_ip=10.77.0.1
work=$(mktemp -d)
started=()

skip() {
    echo "skipped: $*"
    exit 0
}

fail() {
    echo "failed: $*" >&2
    for log in "$work"/*.log; do
        [ -s "$log" ] && { echo "--- ${log##*/}" && tail -n 20 "$log"; } >&2
    done
    exit 1
}

clean() {
    local status=$?
    trap - EXIT
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for name in "$node_1" "$node_2" "$coordinator" "$wire"; do
        ip netns delete "$name" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}

# in_host NAMESPACE COMMAND...
in_host() {
    ip netns exec "$@"
}

# start LOG NAMESPACE COMMAND...: in the background; its process id is $last.
start() {
    local log=$work/$1.log
    shift
    # `exec` makes the process id that of the command itself, which must get the signals.
    (exec ip netns exec "$@") >"$log" 2>&1 &
    last=$!
    started+=("$last")
}

# await SECONDS PATTERN LOG: until a line of the log matches.
await() {
    for _ in $(seq "$(($1 * 20))"); do
        grep -q "$2" "$work/$3.log" 2>/dev/null && return
        sleep 0.05
    done
    fail "no line '$2' of $3 within $1 s"
}

probe() {
    command -v ip >/dev/null || skip "iproute2 is not installed"
    command -v python3 >/dev/null || skip "python3 is not installed"
    [ "$(id -u)" = 0 ] || skip "network namespaces need root"
    [ -x "$binaries/lyceum-impair" ] || skip "no lyceum-impair in $binaries"
    ip netns add "$wire" 2>/dev/null || skip "network namespaces are not permitted"
    ip -n "$wire" link add bridge type bridge 2>/dev/null || skip "the kernel has no bridges"
    ip -n "$wire" link set bridge up
}

# host NAMESPACE ADDRESS: a namespace whose eth0 hangs at the bridge.
host() {
    ip netns add "$1"
    ip -n "$1" link set lo up
    ip -n "$wire" link add "$1" type veth peer name eth0 netns "$1" 2>/dev/null || skip "the kernel has no veth"
    ip -n "$wire" link set "$1" master bridge up
    ip -n "$1" address add "$2/24" dev eth0
    ip -n "$1" link set eth0 up
}

# impair LOG LISTEN-PORT TO-PORT OPTION...: the bad network before a port of the coordinator's host.
impair() {
    local log=$1 listen=$2 to=$3
    shift 3
    start "$log" "$coordinator" "$binaries/lyceum-impair" \
        --listen "$coordinator_ip:$listen" --to "$coordinator_ip:$to" \
        --delay-ms 50 --loss 0.02 --rate-mbit 10 --seed 7 "$@"
    await 5 "^listening on" "$log"
}

# end PROCESS: asks it to end, and waits.
end() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

echo_through_the_proxy() {
    local server proxy
    start echo "$coordinator" python3 -uc "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('$coordinator_ip', 7000))
print('ready')
while True:
    data, source = s.recvfrom(2048)
    s.sendto(data, source)"
    server=$last
    await 5 ready echo
    impair echo-proxy 7001 7000
    proxy=$last
    in_host "$node_1" python3 - "$coordinator_ip" <<'PYTHON' || fail "the echo is not as slow as it should be"
import socket, struct, sys, threading, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7001))
s.settimeout(1.5)
PACKETS, BYTES = 300, 1250
trips, last = [], 0.0

def send():
    for n in range(PACKETS):
        s.send(struct.pack("d", time.monotonic()).ljust(BYTES, b"."))
        time.sleep(0.0002)

begun = time.monotonic()
threading.Thread(target=send).start()
try:
    while True:
        data = s.recv(2048)
        last = time.monotonic() - begun
        trips.append(time.monotonic() - struct.unpack("d", data[:8])[0])
except TimeoutError:
    pass
print(f"echo: {len(trips)} of {PACKETS}, first after {trips[0] * 1e3:.0f} ms, all after {last * 1e3:.0f} ms")
assert 0.1 <= min(trips) < 0.15, "100 ms there and back"
assert 0.7 * PACKETS < len(trips) < PACKETS, "a few are lost"
assert last >= 0.1 + len(trips) * BYTES * 8 / 10e6, "no faster than the rate"
PYTHON
    end "$proxy"
    end "$server"
    tail -n 1 "$work/echo-proxy.log"
}

# The credentials of one coordinator and two nodes under one authority.
credentials() {
    local lyceum=$binaries/lyceum authority=$work/authority
    "$lyceum" identity init "$authority" >/dev/null
    "$lyceum" identity coordinator "$coordinator_ip" --authority "$authority" --out "$work/coordinator" >/dev/null
    for name in node-1 node-2; do
        "$lyceum" identity node "$name" --authority "$authority" --out "$work/$name" >/dev/null
    done
}

fingerprint() {
    sed -n 's/^fingerprint //p' "$1" | tail -n 1
}

run_over_the_proxy() {
    local lyceum=$binaries/lyceum run proxy nodes=() stopped
    credentials || fail "no credentials"
    "$lyceum" run "$scenario" --quiet --out "$work/alone" >"$work/alone.log" 2>&1 || fail "the plain run"
    impair proxy 4433 4434 --partition "$partition_from:$((partition_from + 20))"
    proxy=$last
    start coordinator "$coordinator" timeout "$limit" "$lyceum" coordinator "$scenario" \
        --listen "$coordinator_ip:4434" --identity "$work/coordinator" --out "$work/together"
    run=$last
    start node-1 "$node_1" "$lyceum" node --coordinator "$coordinator_ip:4433" --identity "$work/node-1"
    nodes+=("$last")
    start node-2 "$node_2" "$lyceum" node --coordinator "$coordinator_ip:4433" --identity "$work/node-2"
    nodes+=("$last")
    wait "$run" || fail "the coordinator ended with status $?"
    for node in "${nodes[@]}"; do end "$node"; done
    end "$proxy"
    tail -n 1 "$work/proxy.log"
    stopped=$(tail -n 1 "$work/proxy.log" | grep -o 'up: .*partitioned [1-9]' || true)
    [ -n "$stopped" ] || fail "the run was over before the partition: set LYCEUM_PARTITION_FROM"
}

compare() {
    local alone together
    alone=$(fingerprint "$work/alone.log")
    together=$(fingerprint "$work/coordinator.log")
    [ -n "$alone" ] && [ "$alone" = "$together" ] || fail "fingerprints '$alone' alone, '$together' together"
    echo "fingerprint $together"
}

trap clean EXIT
trap 'exit 130' INT TERM
probe
host "$coordinator" "$coordinator_ip"
host "$node_1" 10.77.0.11
host "$node_2" 10.77.0.12
echo_through_the_proxy
"$binaries/lyceum" help coordinator >/dev/null 2>&1 || skip "no command 'lyceum coordinator' in $binaries"
run_over_the_proxy
compare
