"""How JSON files of results are laid out, so that people can read them too."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any, indent: str = "") -> str:
    """JSON of plain values: mappings a key a line, lists of lists a row a line, everything else on one line.

    Raises:
        ValueError: a number is nan or inf.
    """
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        items = [f"{deeper}{json.dumps(k, ensure_ascii=False)}: {json_text(v, deeper)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + indent + "}"
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        return "[\n" + ",\n".join(deeper + json_text(item, deeper) for item in value) + "\n" + indent + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
