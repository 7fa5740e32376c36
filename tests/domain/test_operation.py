"""The table of operations is whole in itself; that it is the API's is tested in test_permissions.py."""

from tollway.domain.operation import Operation, Who
from tollway.domain.org import Permission

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
READS_BY_POST = {
    Operation.CHAT,
    Operation.CHECK_ORG_NAME,
    Operation.DRAW_GRAPHS,
    Operation.LIST_APPS,
    Operation.LIST_LOGS,
    Operation.LIST_MEMBERS,
}
OF_THE_PERSON = {
    Operation.CREATE_ORG,
    Operation.CREATE_TOKEN,
    Operation.LEAVE_ORG,
    Operation.REVOKE_TOKEN,
    Operation.SIGN_OUT,
    Operation.SWITCH_ORG,
}
"""They change nothing in the organisation but who is in it."""


def test_no_two_operations_share_a_place() -> None:
    places = {(operation.value.method, operation.value.path) for operation in Operation}
    assert len(places) == len(Operation) == len(Operation.__members__)


def test_what_writes_into_an_organisation_needs_an_active_one() -> None:
    for operation in Operation:
        rule = operation.value
        writes = rule.method in WRITES and rule.need not in (Who.OPERATOR, Who.ANYONE)
        exempt = {*READS_BY_POST, *OF_THE_PERSON, Operation.DELETE_ORG}
        assert rule.needs_active == (writes and operation not in exempt), operation


def test_only_paying_probing_and_rating_go_on_while_seats_are_not_paid() -> None:
    goes_on = {each for each in Operation if each.value.needs_active and not each.value.needs_paid_seats}
    assert goes_on == {Operation.PUT_SPENDING_LIMITS, Operation.RATE_LOG, Operation.TEST_INTEGRATIONS}


def test_operations_are_named_for_people() -> None:
    assert Operation.CHECK_ORG_NAME.title == "check org name"


def test_integrations_are_changed_by_who_may_edit_the_organisation() -> None:
    assert Operation.PUT_INTEGRATIONS.value.need is Permission.EDITOR_ORG
