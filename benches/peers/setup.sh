#!/usr/bin/env bash
# Makes the peers' environments: setup.sh [--venvs DIR] [NAME...]
# NAMEs are torch, fedjax, pfl, flower, avalanche (default: all). Needs Python 3.11, or PYTHON=... set to one.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
venvs=$here/.venv
if [ "${1:-}" = --venvs ]; then
    venvs=$2
    shift 2
fi
names=("$@")
if [ ${#names[@]} = 0 ]; then
    names=(torch fedjax pfl flower avalanche)
fi
mkdir -p "$venvs"
venvs=$(cd "$venvs" && pwd)

install() {
    local name=$1 environment=$venvs/$1
    if [ -e "$environment/complete" ]; then
        return
    fi
    echo "environment $name"
    "${PYTHON:-python3.11}" -m venv --clear "$environment"
    # Every package is listed with its version, so nothing is left to resolve.
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        -r "$here/requirements/$name.txt"
    touch "$environment/complete"
}

# PyTorch takes gigabytes, so the others see the one copy through a path file, after their own packages.
borrow_torch() {
    install torch
    local packages
    packages=$(echo "$venvs/$1"/lib/python3*/site-packages)
    echo "$venvs"/torch/lib/python3*/site-packages > "$packages/torch_environment.pth"
}

for name in "${names[@]}"; do
    if [ ! -e "$here/requirements/$name.txt" ]; then
        echo "no such environment: $name" >&2
        exit 2
    fi
    install "$name"
    case $name in
        pfl | flower | avalanche) borrow_torch "$name" ;;
    esac
done
