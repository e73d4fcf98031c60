#!/bin/sh
# The main job, shown: a workflow of real jobs runs on a real Slurm cluster of three nodes, made
# for the occasion on this machine and gone afterwards. Where Slurm cannot be had, the same
# workflow runs on this machine alone.
#   examples/demo.sh [BIN]         BIN holds torc; default .venv/bin
set -eu
cd "$(dirname "$0")/.."
PATH=$(cd "${1:-.venv/bin}" && pwd):$PATH
export PATH
spec=examples/ising_sweep.yaml
cluster=$(mktemp -d /tmp/torc-demo.XXXXXX)/slurm

finish() {
    torc sandbox down --dir "$cluster" >/dev/null 2>&1 || true
    rmdir "$(dirname "$cluster")" 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT TERM

number_in() { echo "$1" | sed -n 's/^Created workflow \([0-9]*\).*/\1/p'; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

install=""
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then install=--install; fi

rm -rf torc_output/ising
say "A Slurm cluster of three nodes, on this machine"
if torc sandbox up --dir "$cluster" --nodes 3 --cpus 4 --memory 4000 $install; then
    in_cluster() { torc sandbox exec --dir "$cluster" -- "$@"; }
    say "Plan and submit $spec"
    created=$(in_cluster torc submit-slurm --account sandbox "$spec")
    echo "$created"
    id=$(number_in "$created")
    say "Watch it to its end"
    in_cluster torc watch "$id" --poll-interval 2
elif [ -n "$install" ]; then
    exit 1 # as root nothing is missing: this cluster should have come up
else
    say "No Slurm here: the same workflow runs on this machine alone"
    created=$(torc create "$spec")
    echo "$created"
    id=$(number_in "$created")
    torc run "$id" --fail-on-error
fi

say "Which job ran where"
torc results list "$id"
say "The report"
cat torc_output/ising/report.md
echo
echo "Report: $PWD/torc_output/ising/report.md"
echo "Figure: $PWD/torc_output/ising/magnetization.svg"
