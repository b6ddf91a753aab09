"""stub"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from hubkit.localhub.call import Call

ROUTES: list[tuple[str, str, Callable[[Call], Response]]] = []
