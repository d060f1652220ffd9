"""Train the parts of a run on the hosts of a TPU pod slice, each host its own seeds.

A slice starts only when every host runs a program. Each host takes parts that no other
is at work on, until all are finished. One machine begins the run, and one joins it:

  shardsim run experiments/gates.yaml --out runs/gates --block-seeds 8 --begin
  gcloud compute tpus tpu-vm ssh NAME --worker=all \\
    --command "cd shardsim && .venv/bin/python deploy/tpu_pod.py runs/gates"
  shardsim resume runs/gates

All hosts see the run folder, on a file system with locks. Elsewhere than on TPUs add
the address of the first host, the number of hosts and that of this one:

  python deploy/tpu_pod.py runs/gates 10.0.0.1:1234 4 0
"""

import sys

import jax

from shardsim import cli


def main(
    run: str, address: str | None = None, hosts: str = "1", host: str = "0"
) -> int:
    """Join the slice, and train parts until all are finished."""
    if address is None:
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(address, int(hosts), int(host))
    return cli.main(["work", run])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
