"""Pictures made of frames on this machine: contact sheets and movies; `album` says when and of what."""
