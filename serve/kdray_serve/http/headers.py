"""Headers of every answer: for browsers, and for pages of other origins (CORS)."""

from __future__ import annotations

from collections.abc import Collection

Header = tuple[bytes, bytes]

#: For answers that are no page: nothing in them is ever run or shown as one.
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
#: For the page: its own scripts and styles, images that it made itself, requests to its service.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: Where the answer itself says nothing else.
_DEFAULT: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", API_POLICY.encode()),
)
_EXPOSED = b"X-Request-ID, Retry-After, X-Kdray-Model, X-Kdray-Class, X-Kdray-Method"
_PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Accept, Authorization, Content-Type, X-API-Key, X-Request-ID",
    ),
    (b"access-control-max-age", b"600"),
)


def complete(headers: list[Header], request_id: str, origin: bytes | None) -> list[Header]:
    """Return an answer's headers with those that every answer has.

    Args:
        headers: What the answer says itself.
        request_id: Names the request.
        origin: The allowed origin that asks; None: no other origin does.
    """
    own = {name.lower() for name, _ in headers}
    added = [(b"x-request-id", request_id.encode()), *_ALWAYS]
    added += [header for header in _DEFAULT if header[0] not in own]
    if origin is not None:
        added += [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]
    return [*headers, *added]


def preflight(allowed: bool) -> tuple[int, list[Header]]:
    """Return status and headers of the answer to a browser that asks before it asks."""
    return (204, list(_PREFLIGHT)) if allowed else (403, [])


def allowed_origin(origin: bytes | None, origins: Collection[str]) -> bytes | None:
    """Return the origin of a request if its pages may call the service."""
    if origin is not None and origin.decode("latin-1") in origins:
        return origin
    return None
