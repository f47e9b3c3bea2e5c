#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests and for trying things out.
#
#   eval "$(tests/cluster/slurm.sh start [FOLDER])"   starts it, and sets SLURM_CONF for this shell
#   tests/cluster/slurm.sh stop                       ends the one that SLURM_CONF names
#
# It needs Debian's packages slurm-wlm and munge, and root, because Slurm runs jobs as their users.
# Everything that it writes is in FOLDER. Partition `debug` is the default; jobs of `high` preempt
# those of `debug`, which are queued again. There is no accounting, and there are no cgroups.
# The exit status is 77 where something is missing.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

missing() {
    echo "$1" >&2
    exit 77
}

start() {
    for command in munged slurmctld slurmd sbatch; do
        command -v "$command" >/dev/null ||
            missing "there is no $command; install Debian's packages slurm-wlm and munge"
    done
    [ "$(id -u)" = 0 ] || missing "Slurm is started by root only"
    local folder node ports cpus memory
    folder=${1:-$(mktemp -d /tmp/slurm.XXXXXX)}
    mkdir -p "$folder"/{munge,controller,node}
    chmod 755 "$folder" "$folder"/munge
    node=$(hostname -s)
    cpus=${CPUS:-$(nproc)}
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    ports=$(python3 -c 'import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))')
    (umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
        --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" \
        --seed-file="$folder/munge/seed" >&2
    cat >"$folder/slurm.conf" <<EOF
ClusterName=initlab
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }
StateSaveLocation=$folder/controller
SlurmdSpoolDir=$folder/node
SlurmctldPidFile=$folder/controller.pid
SlurmdPidFile=$folder/node.pid
SlurmctldLogFile=$folder/controller.log
SlurmdLogFile=$folder/node.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=debug Nodes=$node Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=$node MaxTime=INFINITE State=UP PriorityTier=10
EOF
    export SLURM_CONF="$folder/slurm.conf"
    slurmctld -c >&2
    slurmd -c >&2
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --format=%T 2>/dev/null | head -n 1)" = idle ]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.1
    done
    tail -n 5 "$folder/controller.log" "$folder/node.log" >&2
    stop
    missing "Slurm does not start"
}

stop() {
    local folder
    folder=$(dirname "${SLURM_CONF:?names no Slurm that was started here}")
    [ -e "$folder/munge/key" ] || missing "$folder: there is no Slurm that was started here"
    scancel --user=root >/dev/null 2>&1 || true
    for file in "$folder"/{node.pid,controller.pid,munge/pid}; do
        if [ -e "$file" ]; then
            kill "$(cat "$file")" 2>/dev/null || true
        fi
    done
}

case "${1:-}" in
start) start "${2:-}" ;;
stop) stop ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
