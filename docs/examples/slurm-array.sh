#!/bin/sh
# The suite on a Slurm cluster, a shard a task of an array. Kernels and snapshots of guests are in the home folder, which
# the nodes share, so they are fetched once; a job that waits for all tasks joins the reports:
#
#     kconform image fetch x86_64 riscv64
#     run=$(sbatch --parsable slurm-array.sh)
#     sbatch --dependency=afterany:"$run" --wrap 'kconform merge reports/shard-*.json --report html=all.html'
#
#SBATCH --job-name=kconform
#SBATCH --array=1-8
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=01:00:00
set -eu
mkdir -p reports
status=0
kconform run --quiet --target x86_64,riscv64 --shard auto \
    --report json="reports/shard-$SLURM_ARRAY_TASK_ID.json" || status=$?
# A task whose cases fail has done its work: what failed is in the report.
[ "$status" -le 1 ] || exit "$status"
