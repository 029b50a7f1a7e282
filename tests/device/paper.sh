#!/bin/sh
# On a machine with an NVIDIA GPU: the paper's sizes trained and measured by paper.py, whose options it takes.
#
#     WHEELS=folder sh tests/device/paper.sh        what is installed first: environment.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/device/environment.sh
exec "$PYTHON" tests/device/paper.py "$@"
