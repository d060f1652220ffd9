#!/usr/bin/env bash
# A run on all hosts of a TPU slice: one process a host, each with seeds of its own.
#   TPU=slice ZONE=us-central2-b RUN=/mnt/runs/gates deploy/tpu_slice.sh \
#     run experiments/gates.yaml --train.num-seeds 128 --block-seeds 16
# Every host sees this folder and RUN under the same path, on a disk with locks, and has
# shardsim on its PATH. Seeds need nothing of each other: so no host joins the others by
# jax.distributed. Each takes parts that are free, and saves them by itself. The variables
# tell libtpu that the chips of a host are all there are (2,2,1: four chips).
# After a stop: ... deploy/tpu_slice.sh resume RUN
set -euo pipefail
alone="TPU_SKIP_MDS_QUERY=1 TPU_PROCESS_BOUNDS=1,1,1 TPU_WORKER_ID=0"
alone+=" TPU_CHIPS_PER_PROCESS_BOUNDS=${CHIPS:-2,2,1} TPU_WORKER_HOSTNAMES=localhost"
on() {
    gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker="$1" \
        --command="cd $(printf %q "$PWD") && $alone shardsim $2"
}
run=$(printf %q "$RUN")
if [ "$1" != resume ]; then on 0 "$(printf "%q " "$@") --out $run --begin"; fi
on all "work $run"
on 0 "resume $run"
