#!/bin/sh
# Recomputes what a build of the command gives, family by family: tests/independent/run.sh target/release/lyceum
#
# PYTHON names the interpreter (python3 by default). Without one, or without numpy, it says so and checks nothing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 PATH-OF-LYCEUM (an executable; build it with: cargo build --release)" >&2
    exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    echo "skipped: \`$python\` is no Python 3.8 or later (PYTHON may name another)"
    exit 0
fi
if ! "$python" -c 'import numpy' 2>/dev/null; then
    echo "skipped: \`$python\` has no numpy; it comes with: $python -m pip install -r $here/requirements.txt"
    exit 0
fi
export PYTHONDONTWRITEBYTECODE=1
failed=0
for family in training strategies robust transforms personal knowledge calibration methods orderings selection batch_norm convolution; do
    echo "== $family"
    "$python" "$here/$family.py" "$1" || failed=$((failed + 1))
done
[ "$failed" -eq 0 ] || echo "$failed of the families disagree"
[ "$failed" -eq 0 ]
