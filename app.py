"""The CDK app: reads the settings and makes one render farm's stack."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from render_farm.settings import Settings, SettingsError


def main() -> int:
    """Write the cloud assembly to `CDK_OUTDIR`, or else to cdk.out; give the exit code.

    The CDK's command line passes its whole context in `CDK_CONTEXT_JSON`; run without it, this reads cdk.json itself,
    so that the template is the same either way.
    """
    context = json.loads(Path(__file__).with_name("cdk.json").read_text(encoding="utf-8"))["context"]
    context |= json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    try:
        settings = Settings.from_context(context)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1

    # Only now: importing the CDK takes seconds and starts Node.js, which a wrong setting need not wait for.
    from aws_cdk import App  # noqa: PLC0415

    from stacks.render_farm import RenderFarm  # noqa: PLC0415

    app = App(context=context, outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    RenderFarm(app, settings=settings)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
