#!/usr/bin/env bash
# Prints the Secret with the join strings of coordinator and nodes, fresh from the enrolment server of a namespace.
#
#   k8s/join-strings.sh [NAMESPACE] | kubectl -n NAMESPACE apply -f -
set -euo pipefail
namespace=${1:-default}

token() {
    kubectl -n "$namespace" exec lyceum-enrolment-0 -- lyceum identity token "$@" --hours 720 --authority /state/authority
}

coordinator=$(token coordinator lyceum-coordinator --uses 10)
node=$(token node --uses 100000)
kubectl -n "$namespace" create secret generic lyceum-join --dry-run=client --output yaml \
    --from-literal=coordinator="$coordinator" --from-literal=node="$node"
