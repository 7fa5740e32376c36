"""The description of the API, and the page that shows it."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.world.stage import Stage
from tollway.domain.operation import Operation, Who
from tollway.domain.org import Permission
from tollway.web.examples import EXAMPLES

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
            (operation.value.method.lower(), operation.value.path) for operation in Operation
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


async def test_every_operation_says_whose_token_it_needs_what_it_refuses_and_what_to_send(
    stage: Stage,
) -> None:
    document = (await stage.request("GET", "/openapi.json")).json
    table = {(each.value.path, each.value.method.lower()): each for each in Operation}
    schemes: dict[Who, object] = {
        Who.ANYONE: [],
        Who.KEY: [{"AppKey": []}],
        Who.OPERATOR: [{"OperatorToken": []}],
    }
    for path, method, described in operations(document):
        operation = table[path, method]
        need = operation.value.need
        assert described["operationId"] == operation.name.lower()
        of_people: object = [{"UserToken": []}]
        assert described["security"] == (schemes.get(need, of_people) if isinstance(need, Who) else of_people)
        refusals = {code: told for code, told in described["responses"].items() if int(code) >= 400}
        if described["security"]:
            assert "401" in refusals
        if isinstance(need, Permission) or operation.value.needs_active:
            assert "403" in refusals
        if "requestBody" in described:
            body = described["requestBody"]["content"]["application/json"]
            assert operation in EXAMPLES, f"{operation.title}: add an example to tollway/web/examples.py"
            assert body["examples"] == {"usual": {"value": EXAMPLES[operation]}}
            assert {"413", "422" if need is not Who.KEY else "400"} <= set(refusals)
        for code, told in refusals.items():
            (schema,) = told["content"]["application/json"]["schema"].values()
            kind = "InferenceError" if need is Who.KEY else "Faults" if code == "422" else "Refusal"
            assert schema == f"#/components/schemas/{kind}"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/orgs/current", "DELETE, GET"),
        ("/v1/users/tokens", "GET, POST"),
        ("/v1/orgs/members/permissions", "PUT"),
        ("/v1/orgs/members/019cd789", "DELETE, GET"),
        ("/openapi.json", "GET"),
        ("/v1/chat/completions", "POST"),
        ("/v1/models", "GET"),
        ("/v1/models/demo/small", "GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(stage: Stage, path: str, allowed: str) -> None:
    refused = await stage.request("PATCH", path)
    assert (refused.status, refused.headers["allow"]) == (405, allowed)


async def test_a_moment_is_no_number(stage: Stage) -> None:
    acme = await stage.tenant()
    for before, status in (("0.5", 422), ("1773144000", 422), ("2026-01-01T00:00:00Z", 200)):
        answer = await stage.request("GET", f"/v1/orgs/cycles?before={before}", token=acme.user_token)
        assert answer.status == status
