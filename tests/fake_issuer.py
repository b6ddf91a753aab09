"""An issuer of identity tokens, as GitHub Actions is one to its jobs: keys, and a token for who may ask.

with FakeIssuer({"repository": "alice/training"}) as issuer:
    subprocess.run(..., env={**os.environ, **issuer.environment()})
"""

from __future__ import annotations

import functools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

REQUEST_TOKEN = "what-the-runner-was-given"


@functools.cache
def key(name: str) -> rsa.RSAPrivateKey:
    """A key; the same one for the same name, as making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeIssuer:
    """Answers until it is closed; `claims` go into every token, `lifetime` is how many seconds one lasts."""

    def __init__(self, claims: dict[str, object] | None = None, lifetime: int = 300) -> None:
        self.claims = {"repository": "alice/training", "ref": "refs/heads/main", **(claims or {})}
        self.lifetime = lifetime
        self.audience: str | None = None  # instead of the one that was asked for
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"issuer": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """What a job sees of it."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.address}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }

    def token(self, audience: str, *, signed_by: str = "first", **claims: object) -> str:
        """A signed identity token."""
        now = int(time.time())
        subject = f"repo:{self.claims['repository']}:ref:{self.claims['ref']}"
        told = {"iss": self.address, "sub": subject, "aud": self.audience or audience, "iat": now, "nbf": now}
        told |= {"exp": now + self.lifetime, **self.claims, **claims}
        return jwt.encode(told, key(signed_by), "RS256", headers={"kid": "k1"})

    def keys(self) -> dict[str, object]:
        """The public keys, as a JWKS."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key("first").public_key()))
        return {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]}

    def __enter__(self) -> FakeIssuer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    issuer: FakeIssuer

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/.well-known/openid-configuration":
            self._answer({"issuer": self.issuer.address, "jwks_uri": f"{self.issuer.address}/jwks"})
        elif address.path == "/jwks":
            self._answer(self.issuer.keys())
        elif address.path == "/token" and self.headers["Authorization"] == f"Bearer {REQUEST_TOKEN}":
            (audience,) = parse_qs(address.query)["audience"]
            self._answer({"value": self.issuer.token(audience)})
        else:
            self.send_error(401)

    def _answer(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
