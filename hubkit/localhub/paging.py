"""Lists that come in pages: the `Link` header has the address of the next one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from hubkit.localhub.call import Call, count, reply


def page_size(call: Call, default: int, most: int) -> int:
    """How many items a page of this request has: `limit`, never more than `most`."""
    return min(count(call.query("limit")) or default, most)


def page_of(call: Call, items: list[Any], size: int) -> Response:
    """One page of a list; `cursor` says where it starts, or `p` which one it is."""
    start = count(call.query("cursor")) or (count(call.query("p")) or 0) * size
    headers = {"X-Total-Count": str(len(items))}
    if start + size < len(items):
        query = [(k, v) for k, v in call.request.query_params.multi_items() if k not in ("cursor", "p")]
        address = f"{call.hub.endpoint}{call.request.scope['path']}"
        headers["Link"] = f'<{address}?{urlencode([*query, ("cursor", str(start + size))])}>; rel="next"'
    return reply(items[start : start + size], headers=headers)
