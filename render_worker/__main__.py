"""The container's entry point: renders the chunk that the environment names; with `check`, tells on what it would."""

import sys

from render_worker import check, worker

sys.exit(check.main() if sys.argv[1:] == ["check"] else worker.main())
