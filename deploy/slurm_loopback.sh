#!/usr/bin/env bash
# Try deploy/slurm.sbatch on a Slurm of this machine alone (Debian's slurmctld, slurmd,
# slurm-client and munge; as root):
#   deploy/slurm_loopback.sh train experiments/schedules/joint.yaml --out runs/joint
# All daemons listen on loopback or a socket, and end with the script.
set -euo pipefail
place=$(mktemp -d) host=$(hostname -s) recipe=$(dirname "$(realpath "$0")")/slurm.sbatch
cpus=$(nproc)
chmod 711 "$place" && mkdir -m 755 "$place/munge" "$place/state" "$place/spool"
stop() {
    for name in slurmd slurmctld munged; do
        if [ -f "$place/$name.pid" ]; then kill "$(cat "$place/$name.pid")" || true; fi
    done
    sleep 1 && rm -rf "$place"
}
trap stop EXIT
(umask 077 && head -c 1024 /dev/urandom >"$place/key")
munged --force --key-file="$place/key" --socket="$place/munge/socket" \
    --pid-file="$place/munged.pid" --log-file="$place/munged.log" \
    --seed-file="$place/seed"
cat >"$place/slurm.conf" <<END
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge/socket
CryptoType=crypto/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$place/slurm.conf
slurmctld && slurmd
until sinfo --noheader --format=%t | grep -q idle; do sleep 1; done
sbatch --wait --nodes=1 --cpus-per-task="$cpus" --output="$place/job.log" "$recipe" "$@" ||
    { cat "$place/job.log" >&2 && exit 1; }
cat "$place/job.log"
