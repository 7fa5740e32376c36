"""The description of the API, and the page that shows it."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.world.stage import Stage

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def inner(node: object) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from inner(value)
    elif isinstance(node, list):
        for value in node:
            yield from inner(value)


async def test_the_description_is_one_whole(stage: Stage) -> None:
    document = (await stage.request("GET", "/openapi.json")).json
    assert document["openapi"].startswith("3.1")
    assert set(document["info"]) >= {"title", "version"}
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for path, method, operation in operations(document):
        assert method in {"get", "post", "put", "delete", "patch"}
        assert operation["responses"]
        assert all(answer["description"] for answer in operation["responses"].values())
        assert all(code == "default" or 100 <= int(code) < 600 for code in operation["responses"])
        declared = [spot["name"] for spot in operation.get("parameters", []) if spot["in"] == "path"]
        assert re.findall(r"\{(\w+)\}", path) == declared
        for requirement in operation.get("security", []):
            assert set(requirement) <= set(document["components"]["securitySchemes"])
    for node in inner(document):
        if isinstance(node.get("$ref"), str):
            found: Any = document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            assert found


async def test_the_description_names_every_route(stage: Stage) -> None:
    for _ in range(2):
        document = (await stage.request("GET", "/openapi.json")).json
        assert {(method, path) for path, method, _ in operations(document)} == {
            ("post", "/v1/chat/completions"),
            ("get", "/v1/models"),
            ("get", "/v1/models/{model}"),
            ("post", "/v1/users"),
            ("post", "/v1/orgs"),
            ("get", "/v1/orgs/current"),
            ("get", "/v1/orgs/cycles"),
            ("put", "/v1/orgs/integrations"),
            ("get", "/v1/orgs/integrations/status"),
            ("post", "/v1/orgs/integrations/test"),
            ("post", "/v1/apps/create"),
            ("delete", "/v1/apps/{app_id}"),
            ("get", "/v1/apps/{app_id}/limits"),
            ("put", "/v1/apps/{app_id}/limits"),
            ("put", "/v1/apps/{app_id}/keys/{key_id}/limits"),
            ("get", "/v1/billing/limits"),
            ("put", "/v1/billing/limits"),
            ("patch", "/v1/operator/orgs/{org_id}"),
            ("put", "/v1/operator/orgs/{org_id}/rate_card"),
            ("get", "/v1/operator/orgs/{org_id}/rate_card"),
            ("post", "/v1/logs"),
            ("get", "/v1/logs/retention"),
            ("put", "/v1/logs/retention"),
            ("get", "/v1/logs/{log_id}"),
            ("post", "/v1/logs/{log_id}/rating"),
            ("post", "/v1/stats"),
            ("get", "/v1/audit/ledger"),
            ("get", "/healthz"),
            ("get", "/readyz"),
            ("get", "/metrics"),
        }


async def test_the_record_is_described_as_it_is_answered(stage: Stage) -> None:
    acme = await stage.tenant()
    document = (await stage.request("GET", "/openapi.json")).json
    described = document["components"]["schemas"]["OrgRecord"]["properties"]
    assert list(described) == list(await stage.record(acme))
    assert described["total_tokens_cost"]["type"] == "number"
    assert [kind["type"] for kind in described["free_balance"]["anyOf"]] == ["number", "null"]
    answer = document["paths"]["/v1/orgs/integrations"]["put"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/OrgRecord"}


async def test_payment_details_are_described_as_they_are_answered(stage: Stage) -> None:
    acme = await stage.tenant()
    schemas = (await stage.request("GET", "/openapi.json")).json["components"]["schemas"]
    details = (await stage.request("GET", "/v1/billing/limits", token=acme.user_token)).json
    limits = (await stage.request("GET", f"/v1/apps/{acme.app_id}/limits", token=acme.user_token)).json
    for name, shown in (
        ("PaymentDetails", details),
        ("Subscription", details["subscription"]),
        ("AppLimits", limits),
        ("KeyLimits", limits["keys"][0]),
    ):
        assert list(schemas[name]["properties"]) == list(shown)
    held = schemas["PaymentDetails"]["properties"]["subscription"]["anyOf"]
    assert held == [{"$ref": "#/components/schemas/Subscription"}, {"type": "null"}]
    assert schemas["AppLimits"]["properties"]["keys"]["items"] == {"$ref": "#/components/schemas/KeyLimits"}
    asked = schemas["SpendingLimitsPut"]["properties"]["spending_limit_hard"]["anyOf"]
    assert [kind["type"] for kind in asked] == ["number", "null"]


async def test_the_page_needs_no_other_host(stage: Stage) -> None:
    page = await stage.request("GET", "/docs")
    assert page.status == 200
    text = page.body.decode()
    assert not re.search(r"(?:https?:)?//[\w.-]+\.\w+", text)
    assets = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(assets) >= 2
    for asset in assets:
        served = await stage.request("GET", urljoin("/docs", asset))
        assert (served.status, bool(served.body)) == (200, True)
    assert (await stage.request("GET", "/redoc")).status == 404
