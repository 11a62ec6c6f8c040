"""Who may ask: keys by their hashes, roles, wrong keys, and anybody on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from kdray.errors import JobError
from kdray.spec.keys import ApiKey, change_keys, make_key, parse_keys, read_keys
from kdray.spec.service import Keys, ServedModel, Service
from kdray_serve.http.keys import Anybody, KeyHolders, Keyring, guard_of
from kdray_serve.refusal import Refusal


def bearer(secret: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + secret.encode()}


def service(**fields: Any) -> Service:
    given = {"models": (ServedModel(name="brain"),), **fields}
    return Service(apiVersion="kdray/v1", kind="Service", name="test", **given)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def added(file: Path, name: str, role: str, expires: date | None = None) -> str:
    secret, key = make_key(name, [role], expires)  # type: ignore[list-item]
    change_keys(file, lambda keys: (*keys, key))
    return secret


def test_a_key_has_256_random_bits_and_only_its_sha256_is_kept(file: Path) -> None:
    secret, other = added(file, "a", "predict"), added(file, "b", "predict")
    assert len(secret.removeprefix("kdray_")) == 43  # 256 bits, 6 to a letter
    assert secret != other
    assert secret not in file.read_text()
    assert read_keys(file)[0].sha256 == sha256(secret.encode()).hexdigest()


def test_the_file_can_be_read_by_its_owner_alone(file: Path) -> None:
    file.write_text("[]")
    file.chmod(0o644)
    added(file, "a", "predict")
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_name_that_looks_like_a_number_stays_a_name(file: Path) -> None:
    for name in ("1e3", "007", "true"):
        added(file, name, "predict")
    assert [key.name for key in read_keys(file)] == ["1e3", "007", "true"]


def test_a_key_admits_its_owner_by_either_header(file: Path) -> None:
    secret = added(file, "page", "explain")
    guard = guard_of(service(auth=Keys(file=str(file))))
    for headers in (bearer(secret), {b"x-api-key": secret.encode()}):
        assert guard.admit(headers, "") == ("page", frozenset({"predict", "explain"}))


def test_each_role_holds_those_below_it() -> None:
    granted = {role: make_key("a", [role])[1].granted for role in ("predict", "explain", "admin")}  # type: ignore[list-item]
    assert granted == {
        "predict": {"predict"},
        "explain": {"predict", "explain"},
        "admin": {"predict", "explain", "admin"},
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Basic YTpi"},
        {b"authorization": b"Bearer wrong"},
        {b"authorization": b"Bearer \xff\xfe"},
        {b"x-api-key": b"wrong"},
        {b"x-api-key": b"k" * 100_000},
    ],
)
def test_nobody_else_is_admitted(file: Path, headers: dict[bytes, bytes]) -> None:
    added(file, "page", "admin")
    with pytest.raises(Refusal) as refused:
        guard_of(service(auth=Keys(file=str(file)))).admit(headers, "")
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_hash_of_a_key_is_no_key(file: Path) -> None:
    secret = added(file, "page", "admin")
    with pytest.raises(Refusal):
        guard_of(service(auth=Keys(file=str(file)))).admit(
            bearer(sha256(secret.encode()).hexdigest()), ""
        )


def test_a_key_is_taken_on_its_last_day_and_not_after_it(file: Path) -> None:
    today = datetime.now(UTC).date()
    last = added(file, "last", "predict", today)
    over = added(file, "over", "predict", today - timedelta(days=1))
    guard = guard_of(service(auth=Keys(file=str(file))))
    assert guard.admit(bearer(last), "")[0] == "last"
    with pytest.raises(Refusal, match="expired on"):
        guard.admit(bearer(over), "")


def test_a_key_is_taken_and_revoked_without_a_restart(file: Path) -> None:
    first = added(file, "first", "predict")
    guard = guard_of(service(auth=Keys(file=str(file))))
    second = added(file, "second", "predict")
    assert guard.admit(bearer(second), "")[0] == "second"
    change_keys(file, lambda keys: [key for key in keys if key.name != "first"])
    with pytest.raises(Refusal):
        guard.admit(bearer(first), "")


def test_without_its_file_no_key_is_taken(file: Path) -> None:
    secret = added(file, "a", "predict")
    guard = guard_of(service(auth=Keys(file=str(file))))
    file.unlink()
    with pytest.raises(Refusal):
        guard.admit(bearer(secret), "")


def test_a_damaged_file_changes_nothing_and_is_logged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = added(file, "a", "predict")
    guard = guard_of(service(auth=Keys(file=str(file))))
    file.write_text("- name: [half")
    with caplog.at_level(logging.ERROR):
        assert guard.admit(bearer(secret), "")[0] == "a"
    assert "keys.yaml" in caplog.text


def test_the_keys_may_stand_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, key = make_key("a", ["predict"])
    monkeypatch.setenv("KDRAY_KEYS", yaml.safe_dump([key.model_dump(mode="json")]))
    guard = guard_of(service(auth=Keys(environment="KDRAY_KEYS")))
    assert guard.admit(bearer(secret), "")[0] == "a"


def test_without_auth_the_key_of_the_start_is_the_only_one() -> None:
    secret, key = make_key("start", ["admin"])
    assert guard_of(service(), [key]).admit(bearer(secret), "")[0] == "start"


def test_a_service_without_any_key_does_not_start(file: Path) -> None:
    file.write_text("[]")
    for auth in (None, Keys(file=str(file))):
        with pytest.raises(JobError, match="no key"):
            guard_of(service(auth=auth))


AS, BS = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a", "no list of keys"),
        (f"[{{name: a, role: root, sha256: {AS}}}]", "'predict', 'explain' or 'admin'"),
        ("[{name: a, role: admin, sha256: short}]", "pattern"),
        (f"[{{name: a, roles: [], sha256: {AS}}}]", "at least 1"),
        (f"[{{name: a, role: admin, sha256: {AS}, secret: x}}]", "not permitted"),
        (
            f"[{{name: a, role: admin, sha256: {AS}}}, {{name: a, role: admin, sha256: {BS}}}]",
            "two keys have the name 'a'",
        ),
        (
            f"[{{name: a, role: admin, sha256: {AS}}}, {{name: b, role: admin, sha256: {AS}}}]",
            "two keys have the sha256",
        ),
    ],
)
def test_what_is_no_list_of_keys_is_said(text: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        parse_keys(text, "keys.yaml")


def test_a_list_may_name_one_role_and_be_json() -> None:
    text = f'[{{"name": "a", "role": "explain", "sha256": "{"0" * 64}"}}]'
    [key] = parse_keys(text, "keys.json")
    assert key == ApiKey(name="a", roles=("explain",), sha256="0" * 64)


def holders(clock: Callable[[], float]) -> tuple[KeyHolders, str]:
    secret, key = make_key("a", ["predict"])
    return KeyHolders(Keyring(lambda: [key], lambda: 0), clock), secret


def tried(guard: KeyHolders, address: str, times: int = 1) -> int:
    """Return the status after trying wrong keys."""
    for _ in range(times):
        with pytest.raises(Refusal) as refused:
            guard.admit(bearer("wrong"), address)
    return refused.value.status


def test_many_wrong_keys_of_an_address_are_429_until_a_minute_has_passed() -> None:
    now = [0.0]
    guard, _ = holders(lambda: now[0])
    assert tried(guard, "10.0.0.1", 20) == 401
    assert tried(guard, "10.0.0.1") == 429
    assert tried(guard, "10.0.0.2") == 401
    now[0] = 60.0
    assert tried(guard, "10.0.0.1") == 401


def test_a_right_key_is_taken_after_many_wrong_ones() -> None:
    guard, secret = holders(lambda: 0.0)
    tried(guard, "10.0.0.1", 30)
    assert guard.admit(bearer(secret), "10.0.0.1")[0] == "a"


def test_the_addresses_of_an_ipv6_network_count_as_one() -> None:
    guard, _ = holders(lambda: 0.0)
    for number in range(20):
        tried(guard, f"2001:db8::{number:x}")
    assert tried(guard, "2001:db8::ffff") == 429


def test_only_so_many_addresses_are_remembered() -> None:
    guard, _ = holders(lambda: 0.0)
    tried(guard, "first", 20)
    for number in range(5000):
        tried(guard, f"address {number}")
    assert len(guard._wrong._tries) == 4096
    assert tried(guard, "first") == 401


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000"])
def test_without_keys_anybody_on_this_machine_is_admitted(host: str) -> None:
    name, roles = Anybody(()).admit({b"host": host.encode()}, "")
    assert (name, roles) == ("anybody", {"predict", "explain", "admin"})


@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1", "", "[::1", "localhost.evil.example"]
)
def test_without_keys_no_other_name_of_this_machine_is_answered(host: str) -> None:
    with pytest.raises(Refusal) as refused:
        Anybody(()).admit({b"host": host.encode()}, "")
    assert refused.value.status == 403


def test_without_keys_pages_of_other_origins_are_refused() -> None:
    def admitted(origin: str) -> bool:
        headers = {b"host": b"127.0.0.1:8000", b"origin": origin.encode()}
        try:
            Anybody(["https://pacs.example.org"]).admit(headers, "")
        except Refusal:
            return False
        return True

    assert admitted("http://127.0.0.1:8000")
    assert admitted("https://pacs.example.org")
    assert not admitted("https://evil.example")
    assert not admitted("http://127.0.0.1:9000")
    assert not admitted("null")


def client_with(client_of: Callable[..., TestClient], desk: Any, role: str) -> TestClient:
    secret, key = make_key("a", [role])  # type: ignore[list-item]
    return client_of(desk, {"Authorization": f"Bearer {secret}"}, keys=[key])


OPENED = {
    "predict": {"predict", "explain", "admin"},
    "explain": {"explain", "admin"},
    "status": {"admin"},
    "refresh": {"admin"},
    "models": {"predict", "explain", "admin"},
    "whoami": {"predict", "explain", "admin"},
}


@pytest.mark.parametrize("role", ["predict", "explain", "admin"])
def test_a_role_opens_what_it_should(
    client_of: Callable[..., TestClient],
    desk_of: Callable[..., Any],
    scan: bytes,
    role: str,
) -> None:
    client = client_with(client_of, desk_of(auth=None), role)
    image = {"content": scan, "headers": {"Content-Type": "image/png"}}
    answers = {
        "predict": client.post("/v1/models/brain/predict", **image),
        "explain": client.post("/v1/models/brain/explain", **image),
        "status": client.get("/v1/status"),
        "refresh": client.post("/v1/refresh"),
        "models": client.get("/v1/models"),
        "whoami": client.get("/v1/whoami"),
    }
    for name, roles in OPENED.items():
        assert answers[name].status_code == (200 if role in roles else 403), name
    assert answers["whoami"].json()["name"] == "a"


def test_403_names_the_missing_role(
    client_of: Callable[..., TestClient], desk_of: Callable[..., Any]
) -> None:
    answer = client_with(client_of, desk_of(auth=None), "predict").get("/v1/status")
    assert "'admin'" in answer.json()["detail"]
    assert "predict" in answer.json()["detail"]


def test_a_request_to_an_address_that_does_not_exist_needs_a_key_too(
    client_of: Callable[..., TestClient], desk_of: Callable[..., Any]
) -> None:
    _, key = make_key("a", ["admin"])
    client = client_of(desk_of(auth=None), keys=[key])
    for path in ("/v1/nothing", "/nothing", "/page", "/pages", "/v1/models/brain"):
        assert client.get(path).status_code == 401, path
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/page/page.js"):
        assert client.get(path).status_code == 200, path
