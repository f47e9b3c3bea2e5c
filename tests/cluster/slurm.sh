#!/usr/bin/env bash
# A Slurm cluster of one node, this machine, in a folder of its own.
#
#   eval "$(tests/cluster/slurm.sh start [FOLDER])"   start it, and export SLURM_CONF
#   tests/cluster/slurm.sh status [FOLDER]            the node, the jobs and the processes
#   eval "$(tests/cluster/slurm.sh stop [FOLDER])"    cancel all jobs, leave no process
#
# Without a folder, `start` makes one, which `stop` removes; `stop` and `status` take that of
# SLURM_CONF. Needs no systemd, no cgroups and no database. Uses free ports and a munge of its own,
# so that it is in the way of no other Slurm. Needs not be root: then it runs jobs of its user only.
#
# Partitions: `debug`, the default; and `low`, whose jobs are requeued when one in `high` needs the
# processors. A job that is stopped has five seconds between SIGTERM and SIGKILL.
#
# Exit status 77: something is not installed, and the message says what.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin" # where Debian has the daemons

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

fail() {
    echo "slurm.sh: $1" >&2
    exit "${2:-1}"
}

# Wait until a command succeeds: $1 tenths of a second at the most.
wait_for() {
    local left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        ((left-- > 0)) || return 1
        sleep 0.1
    done
}

refuse_if_missing() {
    local program absent=
    for program in munged slurmctld slurmd sbatch srun squeue; do
        command -v "$program" >/dev/null || absent+=" $program"
    done
    [ -z "$absent" ] || fail "not installed:$absent (Debian: apt-get install slurm-wlm munge)" 77
}

configure() {
    local ports memory cpus
    ports=$(python3 -c '
import socket
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in free))')
    # What is not this cluster's needs some memory as well.
    memory=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cpus=$(nproc)
    ((cpus >= 2)) || cpus=2 # a place is needed for a second job
    (umask 077 && head -c 128 /dev/urandom >munge.key)
    mkdir -p state spool
    # Nothing here uses cgroups; but unless a plug-in is named, slurmd asks systemd for one.
    case $(slurmd -V) in
    *\ 2[0-3].*) echo "CgroupPlugin=cgroup/v1" ;;
    *) echo "CgroupPlugin=disabled" ;;
    esac >cgroup.conf
    cat >slurm.conf <<END
ClusterName=local
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=${ports% *}
SlurmdPort=${ports#* }

AuthType=auth/munge
CredType=cred/munge
# A requeued job may start again when its first credential has expired: not after two minutes.
AuthInfo=socket=$folder/munge.socket,cred_expire=5

StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log

AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none

SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
InactiveLimit=0
ReturnToService=2
MaxArraySize=10001
MaxJobCount=20000

SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=DEFAULT Nodes=ALL State=UP MaxTime=INFINITE DefMemPerCPU=64
PartitionName=debug Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=low PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=high PriorityTier=20 PreemptMode=OFF
END
}

# The commands print what is no error, so it is shown only if they fail.
quietly() {
    "$@" >>"$folder/start.log" 2>&1 || failed "${1} did not start"
}

failed() {
    tail -n 20 start.log munged.log slurmctld.log slurmd.log >&2 2>/dev/null || true
    kill_all
    fail "$1"
}

node_is_idle() {
    [ "$(sinfo --noheader --format=%t --partition=debug)" = idle ]
}

start() {
    refuse_if_missing
    made=
    if [ -z "$folder" ]; then
        folder=$(mktemp -d "${TMPDIR:-/tmp}/slurm.XXXXXX")
        made=yes
    fi
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    [ ${#folder} -le 90 ] || fail "a socket's path has 107 letters at the most: $folder is too long"
    cd "$folder"
    [ ! -e slurm.conf ] || fail "$folder has a cluster: stop it first"
    [ -z "$made" ] || touch made
    configure
    export SLURM_CONF=$folder/slurm.conf
    # --force: root is as good a user as any, and nobody else needs to reach the socket.
    quietly munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
        --seed-file="$folder/munge.seed"
    quietly slurmctld -c
    quietly slurmd -c
    wait_for 300 node_is_idle || failed "the node does not become idle"
    echo "export SLURM_CONF=$SLURM_CONF"
}

# The processes of this cluster's jobs, known by their environment, and those that watch over them.
jobs_processes() {
    local process
    for process in /proc/[0-9]*; do
        if { tr '\0' '\n' <"$process/environ" | awk -v conf="SLURM_CONF=$folder/slurm.conf" '
            $0 == conf {ours = 1} /^SLURM_JOB_ID=/ {job = 1} END {exit !(ours && job)}'; } 2>/dev/null; then
            echo "${process#/proc/}"
        fi
    done
}

daemons() {
    local name pid
    for name in slurmd slurmctld munged; do
        pid=$(cat "$folder/$name.pid" 2>/dev/null) || continue
        # A process that has a dead one's number is somebody else's.
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$name" ] || echo "$pid"
    done
}

have_ended() {
    local pid
    for pid; do
        # A zombie has ended, and its parent does not care.
        [ ! -e "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 1
    done
}

no_job_is_left() {
    [ -z "$(squeue --noheader)" ]
}

kill_all() {
    local jobs servers
    mapfile -t jobs < <(jobs_processes)
    mapfile -t servers < <(daemons)
    kill -KILL "${jobs[@]}" 2>/dev/null || true
    kill -TERM "${servers[@]}" 2>/dev/null || true
    wait_for 100 have_ended "${jobs[@]}" "${servers[@]}" && return
    kill -KILL "${servers[@]}" 2>/dev/null || true
    wait_for 50 have_ended "${jobs[@]}" "${servers[@]}" || fail "cannot end ${jobs[*]} ${servers[*]}"
}

stop() {
    export SLURM_CONF=$folder/slurm.conf
    [ -e "$SLURM_CONF" ] || fail "no cluster in '$folder'"
    if timeout 5 scontrol ping >/dev/null 2>&1; then
        timeout 5 scancel --user="$(id -un)" >&2 || true
        wait_for 100 no_job_is_left || true
    fi
    kill_all
    if [ -e "$folder/made" ]; then
        rm -r "$folder"
    else
        mv "$SLURM_CONF" "$SLURM_CONF.stopped"
    fi
    echo "unset SLURM_CONF"
}

status() {
    export SLURM_CONF=$folder/slurm.conf
    [ -n "$(daemons)" ] || fail "no cluster runs in '$folder'"
    echo "SLURM_CONF=$SLURM_CONF"
    echo "daemons: $(daemons | paste -sd' ')"
    sinfo && squeue
}

folder=${2:-}
case ${1:-} in
start) start ;;
stop | status)
    [ -n "$folder" ] || [ -z "${SLURM_CONF:-}" ] || folder=$(dirname "$SLURM_CONF")
    "$1"
    ;;
*) usage ;;
esac
