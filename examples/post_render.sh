#!/usr/bin/env bash
# A hook that runs once after the frames of a chunk: leave something in RENDER_OUTPUT, and it comes back with them.
#
# It starts in the folder of the .blend, with the variables that pre_render.sh lists. All chunks of a run share one
# place for what they send back, so put the number of the chunk into the name of everything that you write.
set -euo pipefail

name="chunk-$(printf '%04d' "$RENDER_CHUNK")"

# 1. A note of which machine rendered which frames, and when it was done.
{
  echo "run     $RENDER_RUN"
  echo "frames  $RENDER_FRAMES"
  echo "done    $(date --utc +%Y-%m-%dT%H:%M:%SZ)"
  echo "kernel  $(uname -srm)"
  echo "cores   $(nproc)"
} >"$RENDER_OUTPUT/$name.txt"

# 2. The files that now lie beside the .blend with their sizes in bytes: what the scene came with, and what it wrote
#    there itself, such as a baked cache. Copy such a thing into RENDER_OUTPUT to have it back.
find . -type f -printf '%s\t%P\n' | sort --key 2 >"$RENDER_OUTPUT/$name-files.tsv"
