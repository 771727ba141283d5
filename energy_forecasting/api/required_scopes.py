"""Which scope each route needs: the one table, which the doorkeeper and the documentation read.

What stands here is not decided anywhere else. A route that is missing needs ``admin``, and a test
fails until it is written down.
"""

from collections.abc import Mapping

from starlette.routing import compile_path

from energy_forecasting.access.scope import Scope

#: Method and path, as the OpenAPI document writes it, to the scope that is needed.
REQUIRED_SCOPES: Mapping[tuple[str, str], Scope] = {
    ("GET", "/"): Scope.READ,
    ("GET", "/docs"): Scope.READ,
    ("GET", "/docs/oauth2-redirect"): Scope.READ,
    ("GET", "/redoc"): Scope.READ,
    ("GET", "/openapi.json"): Scope.READ,
    ("GET", "/static-offline-docs/{path:path}"): Scope.READ,
    ("GET", "/health/"): Scope.READ,
    ("GET", "/health/worker"): Scope.READ,
    ("POST", "/trainmodel/"): Scope.TRAIN,
    ("GET", "/trainmodel/"): Scope.READ,
    ("GET", "/trainmodel/status/{task_id}"): Scope.READ,
    ("GET", "/trainmodel/events/{task_id}"): Scope.READ,
    ("DELETE", "/trainmodel/{task_id}"): Scope.TRAIN,
    ("POST", "/trainmodel/base"): Scope.ADMIN,
    ("POST", "/trainmodel/batch"): Scope.TRAIN,
    ("GET", "/trainmodel/batch/{batch_id}"): Scope.READ,
    ("GET", "/trainmodel/batch/{batch_id}/tasks"): Scope.READ,
    ("DELETE", "/trainmodel/batch/{batch_id}"): Scope.TRAIN,
    ("GET", "/trainmodel/dead-letters"): Scope.READ,
    ("POST", "/trainmodel/dead-letters/replay"): Scope.ADMIN,
    ("POST", "/trainmodel/dead-letters/{task_id}/replay"): Scope.TRAIN,
    ("POST", "/forecast/"): Scope.READ,
    ("GET", "/models/"): Scope.READ,
    ("GET", "/models/base/{meter_type}"): Scope.READ,
    ("GET", "/models/{meter_type}/{meter_id}"): Scope.READ,
    ("GET", "/models/{meter_type}/{meter_id}/monitoring"): Scope.READ,
    ("POST", "/models/{meter_type}/{meter_id}/rollback"): Scope.ADMIN,
    ("DELETE", "/models/{meter_type}/{meter_id}"): Scope.ADMIN,
    ("GET", "/meters/"): Scope.READ,
    ("GET", "/meters/{meter_type}/{meter_id}"): Scope.READ,
    ("GET", "/meters/{meter_type}/{meter_id}/quality"): Scope.READ,
    ("POST", "/meters/{meter_type}/{meter_id}/readings"): Scope.TRAIN,
}

_PATTERNS = [
    (method, compile_path(path)[0], scope) for (method, path), scope in REQUIRED_SCOPES.items()
]


def required_scope(method: str, path: str) -> Scope | None:
    """Return what a request needs; None when its path is not in the table.

    Where several entries fit, the furthest scope counts, whichever route will answer.

    >>> required_scope("POST", "/trainmodel/base")
    <Scope.ADMIN: 'admin'>
    """
    asked = "GET" if method == "HEAD" else method
    fitting = [
        scope for known, pattern, scope in _PATTERNS if known == asked and pattern.match(path)
    ]
    return max(fitting, key=list(Scope).index, default=None)
