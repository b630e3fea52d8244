import json

import pytest
from every_error import all_errors, an
from starlette.exceptions import HTTPException

from core.errors import (
    ConfigurationError,
    DependencyError,
    IntegrityError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
)
from serving.errors import BrokenContractError, BusyError, LateError, NotFoundError
from serving.transport.problems import (
    MEDIA_TYPE,
    STATUS,
    http_problem,
    internal_problem,
    problem,
    status_of,
)


@pytest.mark.parametrize("error", all_errors())
def test_every_error_has_a_status_a_code_and_a_shape(error):
    response = problem(an(error))
    body = json.loads(bytes(response.body))
    assert response.media_type == MEDIA_TYPE
    assert response.status_code == body["status"] == status_of(an(error))
    assert 400 <= response.status_code < 600
    assert body["code"] == error.code
    assert body["type"] == f"urn:throughline:problem:{error.code}"
    assert body["title"]
    assert isinstance(body["retryable"], bool)


@pytest.mark.parametrize("error", all_errors())
def test_a_caller_s_fault_is_4xx_and_ours_is_5xx(error):
    is_callers = issubclass(error, InvalidInputError | OverloadedError | NotFoundError)
    is_callers = is_callers and not issubclass(error, BusyError | LateError)
    assert (status_of(an(error)) < 500) == is_callers


@pytest.mark.parametrize("error", [OverloadedError, NotReadyError, DependencyError])
def test_who_may_come_back_is_told_when(error):
    assert problem(an(error)).headers["retry-after"] == "1"


@pytest.mark.parametrize("error", [IntegrityError, ConfigurationError, InvalidInputError])
def test_who_need_not_come_back_is_not_told_when(error):
    assert "retry-after" not in problem(an(error)).headers


def test_an_error_nobody_listed_takes_the_status_of_its_family():
    class StrangeError(DependencyError):
        code = "strange"

    assert status_of(StrangeError("x")) == STATUS[DependencyError]


def test_faults_of_fields_are_listed():
    body = json.loads(bytes(problem(an(BrokenContractError)).body))
    assert body["errors"] == [
        {"pointer": "/entities/card_id", "code": "missing_field", "message": "must be there"}
    ]


def test_a_method_that_is_not_there_keeps_its_headers():
    response = http_problem(HTTPException(405, headers={"Allow": "POST"}))
    assert response.headers["allow"] == "POST"
    assert json.loads(bytes(response.body))["code"] == "method_not_allowed"


def test_what_nobody_foresaw_says_nothing_of_itself():
    assert json.loads(bytes(internal_problem().body)) == {
        "type": "urn:throughline:problem:internal",
        "status": 500,
        "code": "internal",
        "title": "an internal error",
        "retryable": True,
    }
