#!/usr/bin/env bash
# A run on one machine with several GPUs, one worker each. Ray gives every worker its
# GPU; the process that judges takes memory of the first one only as it needs it.
#   deploy/gpus.sh run experiments/gates.yaml --out runs/gates --train.num-seeds 100
set -euo pipefail
gpus=$(nvidia-smi --list-gpus | wc -l)
exec shardsim "$@" --executor ray --worker-gpus 1 --workers "$gpus"
