#!/usr/bin/env bash
# Workers of Stagger as a SLURM array: docs/guide/container-pools.md
#
#   sbatch --array=0-7 --export=ALL,STAGGER_QUEUE=https://sqs.… examples/slurm/workers.sh
#
# For GPUs: --gres=gpu:1 and STAGGER_DEVICE=cuda. AWS credentials are those of the submitting shell, or of ~/.aws.
#SBATCH --job-name=stagger-workers
#SBATCH --array=0-3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=06:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=stagger-worker-%A_%a.log
# A minute before the end: the worker hands its task back. B: the signal goes to this script alone.
#SBATCH --signal=B:TERM@60
set -euo pipefail

: "${STAGGER_QUEUE:?the address of the queue: output Queue of the stack stagger-jobs}"
: "${AWS_REGION:?the region of the queue}"
worker="${STAGGER_WORKER:-gpu-worker}"
device="${STAGGER_DEVICE:-cpu}"

arguments=(--queue "$STAGGER_QUEUE" --device "$device" --idle "${STAGGER_IDLE:-120}")
# SLURM kills what exceeds its memory; the worker keeps a tenth away from it.
if [[ -n "${SLURM_MEM_PER_NODE:-}" ]]; then
  arguments+=(--memory-limit "$((SLURM_MEM_PER_NODE * 9 / 10))MiB")
fi

# As a container, where the cluster has Apptainer and an image is named; else the program itself.
if [[ -n "${STAGGER_IMAGE:-}" ]]; then
  container=(apptainer run --containall --bind "${TMPDIR:-/tmp}:/tmp" --env "AWS_REGION=$AWS_REGION")
  if [[ "$device" == cuda ]]; then container+=(--nv); fi
  for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN; do
    # By the environment: the command line of a process can be read by everyone on its machine.
    if [[ -n "${!name:-}" ]]; then export "APPTAINERENV_$name=${!name}"; fi
  done
  command=("${container[@]}" "$STAGGER_IMAGE" "${arguments[@]}")
else
  command=("$worker" "${arguments[@]}")
fi

"${command[@]}" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
# A signal interrupts the first wait; the second one has the worker's status.
status=0
wait "$child" || status=$?
if kill -0 "$child" 2>/dev/null; then
  status=0
  wait "$child" || status=$?
fi
exit "$status"
