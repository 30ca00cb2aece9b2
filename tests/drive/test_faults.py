"""What is a fault of which kind, and what may be tried again: our own table, not the server's hints."""

import json

import pytest

from harness.drive.faults import in_reply, refused_until, refuses_the_key, retry_wait_s, seconds
from harness.result import Exchange, Failure, Fault, Step, with_transcript
from tests.replies import answer, exchange

ALL = ("connect", "reset", "timeout", "429", "500", "502", "503", "504")
DEFAULT = ("connect", "429", "503")


def replied(
    body: str | dict[str, object], status: int = 200, content_type: str = "application/json"
) -> Exchange:
    text = body if isinstance(body, str) else json.dumps(body)
    return with_transcript(
        Exchange("t.1.1", "1", 1, {}, 0, http_status=status, content_type=content_type, text=text)
    )


def failure(of: Exchange, retry_after_s: float | None = None) -> Failure:
    found = in_reply(of, retry_after_s)
    assert found is not None
    return found


def broken(by: Failure, *, said: str = "", number: int = 1) -> Exchange:
    one = Exchange("t.1.1", "1", number, {}, 0, http_status=200, text=said, failure=by)
    return with_transcript(one)


def test_a_whole_answer_has_no_fault() -> None:
    assert in_reply(exchange(answer("Paris")), None) is None


@pytest.mark.parametrize(
    ("body", "status", "detail", "code"),
    [
        ({"detail": "Access denied."}, 403, "Access denied.", None),
        ({"error_code": "INSUFFICIENT_PERMISSIONS", "detail": "No."}, 403, "No.", "INSUFFICIENT_PERMISSIONS"),
        (
            {"status_code": 422, "message": "1 validation error", "data": None},
            422,
            "1 validation error",
            None,
        ),
        ({"message": "Message ID is required"}, 400, "Message ID is required", None),
        (
            {"detail": "Database connection pool timeout", "error": "QueuePool"},
            503,
            "Database connection pool timeout",
            None,
        ),
    ],
)
def test_an_http_error_is_told_in_the_servers_words_whatever_shape_it_has(
    body: dict[str, object], status: int, detail: str, code: str | None
) -> None:
    found = failure(replied(body, status))
    assert (found.fault, found.step, found.http_status) == (Fault.HTTP, Step.HEADERS, status)
    assert (found.detail, found.code) == (detail, code)


def test_a_validation_error_as_fastapi_writes_it_is_told_whole() -> None:
    found = failure(replied({"detail": [{"loc": ["body", "message"], "msg": "Field required"}]}, 422))
    assert "Field required" in found.detail


def test_the_page_of_a_proxy_is_told_by_its_title_and_not_in_full() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1><hr>nginx</body></html>"
    found = failure(replied(page, 502, "text/html"))
    assert found.detail == "a web page, as proxies send them: 502 Bad Gateway"


def test_a_web_page_under_200_is_no_reply() -> None:
    found = failure(replied("<!doctype html><title>Sign in</title>", 200, "text/html; charset=utf-8"))
    assert found.fault is Fault.PROTOCOL
    assert "Sign in" in found.detail
    assert "base_url" in found.detail


def test_a_403_without_a_401_says_that_it_may_be_the_key() -> None:
    found = failure(replied({"detail": "Access denied. User is not authenticated."}, 403))
    assert "expired key" in found.detail
    assert refuses_the_key(found)
    assert not refuses_the_key(
        failure(replied({"error_code": "INSUFFICIENT_PERMISSIONS", "detail": "x"}, 403))
    )


def test_an_error_in_a_reply_that_was_not_streamed_is_an_error_line() -> None:
    found = failure(replied({"answer": "", "message_id": 3, "error_msg": "provider rate limit"}))
    assert (found.fault, found.detail) == (Fault.ERROR_LINE, "provider rate limit")


def test_one_model_of_several_that_fails_is_a_failure_that_names_it() -> None:
    lines = [
        {
            "user_message_id": 1,
            "responses": [{"message_id": 2, "model_name": "a"}, {"message_id": 3, "model_name": "b"}],
        },
        {"placement": {"turn_index": 0, "model_index": 0}, "obj": {"type": "message_delta", "content": "hi"}},
        {"error": "no such model", "error_code": "NOT_FOUND", "details": {"model_index": 1}},
        {"placement": {"turn_index": 0, "model_index": 0}, "obj": {"type": "stop"}},
    ]
    found = failure(replied("\n".join(map(json.dumps, lines)), 200, "text/event-stream"))
    assert (found.fault, found.code) == (Fault.ERROR_LINE, "NOT_FOUND")
    assert found.detail == "model 1 of 2: no such model"


def test_a_line_that_cannot_be_read_is_a_breach_of_protocol_since_words_may_be_lost() -> None:
    whole = answer("Paris")
    found = failure(
        replied("\n".join([*whole[:-1], '{"placement": {"turn', whole[-1]]), 200, "text/event-stream")
    )
    assert (found.fault, found.step, found.http_status) == (Fault.PROTOCOL, Step.BODY, 200)
    assert found.detail.startswith("1 line of the reply is no JSON object")


BUDGET = {
    "reset_at": "2026-11-24T00:00:00+00:00",
    "retry_after_seconds": 85786,
    "error_code": "RATE_LIMITED",
    "detail": "spent",
}


def test_a_budget_that_is_spent_says_until_when_and_is_never_waited_for() -> None:
    found = failure(replied(BUDGET, 429))
    assert found.retry_after_s == 85786
    assert refused_until(found) == "until 2026-11-24T00:00:00+00:00"
    assert retry_wait_s(broken(found), ALL, anew=True) is None


def test_without_a_date_it_says_for_how_long() -> None:
    assert refused_until(failure(replied({"detail": "x"}, 429), 7_200.0)) == "for 2 h 0 min"
    assert refused_until(failure(replied({"detail": "x"}, 429), 30.0)) is None


@pytest.mark.parametrize("wait", ["1e999", "1e300", "-5"])
def test_a_wait_without_an_end_or_in_the_past_is_no_wait(wait: str) -> None:
    found = failure(replied(f'{{"detail": "x", "retry_after_seconds": {wait}}}', 429))
    assert found.retry_after_s is None
    assert refused_until(found) is None
    assert seconds("9" * 400) is None
    assert seconds("60") == 60.0


def test_a_short_wait_that_is_asked_for_is_kept_to_and_none_is_made_longer_each_time() -> None:
    asked = failure(replied({"detail": "x"}, 429), 7.0)
    assert retry_wait_s(broken(asked), DEFAULT, anew=True) == 7.0
    at_once = failure(replied({"detail": "x"}, 503), 0.0)
    assert retry_wait_s(broken(at_once), DEFAULT, anew=True) == 0.0
    silent = failure(replied({"detail": "x"}, 503))
    waits = [retry_wait_s(broken(silent, number=number), DEFAULT, anew=True) for number in (1, 2, 3)]
    assert waits == sorted(wait for wait in waits if wait is not None)
    assert waits[0] != waits[2]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("RATE_LIMIT", "429"),
        ("SERVICE_UNAVAILABLE", "503"),
        ("CONNECTION_ERROR", "503"),
        ("API_ERROR", "503"),
        ("INIT_FAILED", "500"),
        ("BAD_GATEWAY", "502"),
        ("GATEWAY_TIMEOUT", "504"),
    ],
)
def test_an_outage_behind_sigma_is_retried_as_the_status_it_stands_for(code: str, name: str) -> None:
    one = broken(Failure(Fault.ERROR_LINE, Step.BODY, "x", code=code, http_status=200))
    assert retry_wait_s(one, (name,), anew=True) is not None
    assert retry_wait_s(one, tuple(each for each in ALL if each != name), anew=True) is None
    assert retry_wait_s(one, ALL, anew=False) is None


@pytest.mark.parametrize(
    "code",
    [
        "VALIDATION_ERROR",
        "UNKNOWN_ERROR",
        "AUTH_ERROR",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "CONTEXT_TOO_LONG",
        "REQUEST_TOO_LARGE",
        "CONTENT_POLICY",
        "MODEL_REFUSAL",
        "BUDGET_EXCEEDED",
        "BAD_REQUEST",
        "UNPROCESSABLE_ENTITY",
        "EMPTY_LLM_RESPONSE",
        "INSUFFICIENT_PERMISSIONS",
        "QUERY_REJECTED",
        "SOMETHING_NEW",
    ],
)
def test_what_would_fail_again_is_final_whatever_the_server_hints(code: str) -> None:
    one = broken(Failure(Fault.ERROR_LINE, Step.BODY, "x", code=code, http_status=200))
    assert retry_wait_s(one, ALL, anew=True) is None


@pytest.mark.parametrize("fault", [Fault.TIMED_OUT, Fault.DISCONNECTED])
def test_once_text_of_the_answer_has_come_nothing_is_tried_again(fault: Fault) -> None:
    by = Failure(fault, Step.BODY, "x")
    assert retry_wait_s(broken(by), ALL, anew=True) is not None
    assert retry_wait_s(broken(by, said=answer("Par")[0]), ALL, anew=True) is not None
    begun = "\n".join(answer("Par", "is")[:-1])
    assert retry_wait_s(broken(by, said=begun), ALL, anew=True) is None


def test_a_wrong_answer_is_never_a_reason() -> None:
    assert retry_wait_s(exchange(answer("Lyon")), ALL, anew=True) is None
