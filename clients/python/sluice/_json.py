"""JSON as the engine takes it: UTF-8, without NaN and halves of surrogate pairs."""
from __future__ import annotations

import json
from typing import Any

from .errors import Final

RESULT_BYTES = 1 << 20  # of a job's result, a limit of the engine


def encode(value: Any) -> bytes:
    """VALUE as JSON. Raises TypeError or ValueError where there is none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode_result(value: Any) -> bytes:
    """What a task returned, as JSON. Raises Final: it would be no better the next time."""
    try:
        text = encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Final(f"its result is no JSON: {error}", "bad_result") from error
    if len(text) > RESULT_BYTES:
        raise Final(f"its result has {len(text)} bytes; {RESULT_BYTES} is the limit", "bad_result")
    return text


def clean(text: Any, chars: int) -> str:
    """TEXT for people: at most so many characters, and what is no character replaced."""
    return str(text)[:chars].encode("utf-8", "replace").decode()
