"""How a benchmark tells what it measured: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
import sys


def tell(title: str, measures: dict[str, float]) -> None:
    """Print the measures: with --json on the command line as `{"measures": {...}}`, else as a table."""
    if "--json" in sys.argv:
        print(json.dumps({"measures": measures}))
        return
    print(title)
    width = max(map(len, measures))
    for name, value in measures.items():
        print(f"  {name:<{width}}  {value:10.3f}")
