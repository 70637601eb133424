#!/usr/bin/env bash
# A hook that runs once before the frames of a chunk: check what the scene needs, and stop early if it is missing.
#
# It starts in the folder of the .blend, and may read
#   RENDER_RUN      the id of the run
#   RENDER_CHUNK    the number of this chunk, from 0
#   RENDER_FRAMES   the frames of this chunk, separated by commas: 1,2,3
#   RENDER_OUTPUT   a folder whose content comes back with the frames
#
# A hook that fails (any exit status but 0) fails the chunk before a second of rendering is paid for.
set -euo pipefail

echo "run $RENDER_RUN, chunk $RENDER_CHUNK: frames $RENDER_FRAMES in $PWD"

# 1. Every file that the scene cannot do without must be beside the .blend and not empty. Add your own here: textures,
#    caches, fonts.
required=(*.blend)
for file in "${required[@]}"; do
  if [[ ! -s "$file" ]]; then
    echo "the scene needs $file, and it is not beside the .blend" >&2
    exit 1
  fi
done

# 2. Make what is cheaper to make here than to upload: unpack caches that were packed for the journey.
for archive in *.tar.gz; do
  [[ -e "$archive" ]] || continue # no archive: the pattern stands for itself
  echo "unpacking $archive"
  tar --extract --gzip --file "$archive"
done
