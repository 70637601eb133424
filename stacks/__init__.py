"""The stacks that `app.py` makes; importing `render_farm` first chooses the Node.js that the CDK runs on."""

import render_farm as render_farm
