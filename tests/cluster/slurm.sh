#!/usr/bin/env bash
# A Slurm of two nodes on this machine, for the tests; root only:
#
#   tests/cluster/slurm.sh install        installs slurm-wlm and munge (Debian, Ubuntu)
#   tests/cluster/slurm.sh start FOLDER   starts the daemons and waits until jobs can run; FOLDER, an absolute path, gets their files
#   tests/cluster/slurm.sh stop FOLDER    ends them
#
# Commands find it by SLURM_CONF=FOLDER/slurm.conf. There is no accounting, and nothing outside FOLDER is changed. Partitions: main (the default,
# without a time limit) and short (a minute), each of the nodes one and two, of as many cores as the machine, which they share.

set -euo pipefail

main() {
    [ "$(id -u)" -eq 0 ] || fail "run it as root"
    case ${1:-} in
        install) apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y slurm-wlm munge ;;
        start) [[ ${2:-} == /* ]] || fail "give an absolute FOLDER" && start "$2" ;;
        stop) stop "${2:?FOLDER}" ;;
        *) fail "give install, start FOLDER or stop FOLDER" ;;
    esac
}

start() {
    local folder=$1 program
    for program in munged slurmctld slurmd; do
        command -v "$program" >/dev/null || fail "$program is missing: run tests/cluster/slurm.sh install"
    done
    mkdir -p "$folder"/{state,one,two}
    chmod 755 "$folder"
    export SLURM_CONF=$folder/slurm.conf
    configure "$folder" >"$SLURM_CONF"
    echo "CgroupPlugin=cgroup/v1" >"$folder/cgroup.conf" # unused, but read
    head -c 1024 /dev/urandom >"$folder/munge.key"
    chmod 400 "$folder/munge.key"
    munged --force --socket "$folder/munge.socket" --key-file "$folder/munge.key" --pid-file "$folder/munged.pid" --log-file "$folder/munged.log" \
        --seed-file "$folder/munge.seed" 2>"$folder/munged.out"
    slurmctld -c
    slurmd -N one
    slurmd -N two
    for _ in {1..60}; do
        [ "$(sinfo -h -N -p main -o %t 2>/dev/null | sort | uniq -c | xargs)" != "2 idle" ] || return 0
        sleep 0.5
    done
    tail -n 5 "$folder"/*.log >&2
    fail "the nodes are not ready after 30 s"
}

configure() {
    local folder=$1 host port
    host=$(hostname -s)
    port=$(python3 -c 'import socket; s = [socket.socket() for _ in range(3)]; [x.bind(("", 0)) for x in s]; print(*(x.getsockname()[1] for x in s))')
    read -r -a port <<<"$port"
    cat <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${port[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=2
OverTimeLimit=0
InactiveLimit=0
ReturnToService=2
MpiDefault=none
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=${port[1]} CPUs=$(nproc)
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=${port[2]} CPUs=$(nproc)
PartitionName=main Nodes=one,two Default=YES MaxTime=INFINITE
PartitionName=short Nodes=one,two MaxTime=1
CONF
}

stop() {
    local file pids=()
    for file in "$1"/slurmd.*.pid "$1"/slurmctld.pid "$1"/munged.pid; do
        [ ! -s "$file" ] || pids+=("$(<"$file")")
    done
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    for _ in {1..50}; do # they write their state
        kill -0 "${pids[@]}" 2>/dev/null || return 0
        sleep 0.2
    done
}

fail() {
    echo "tests/cluster/slurm.sh: $*" >&2
    exit 1
}

main "$@"
