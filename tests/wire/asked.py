"""How each recorded request is asked of the stand-in, and which are not, and why.

The recorded server's model did as a script in the message said (`@@{...}@@`); here a model name says it
(`sim:...`). Ids and names of that installation have counterparts here: `NAMES_HERE` for what is always there,
`before` for sessions, messages and files, which are made first. Everything else goes out as it was recorded,
but for words that occur in the documents of the stand-in, which would be searched: then the message is hello.
"""

from tests.wire.asking import (
    LEFT,
    STOPPED,
    TALK,
    Asked,
    abandoned,
    beside_another,
    deleted,
    left,
    processed,
    project,
    stopped,
    stopped_midway,
    talk,
    uploaded,
)

PLAIN = Asked(message="hello")
AS_IT_IS = Asked()
CONVERT = "Convert 5 km to miles."
NILE = "Search the web: how long is the Nile?"
COMPARE = "Compare the refund policy in the EU with that in the US."

ASKED: dict[str, Asked] = {
    "01-plain": PLAIN,
    "02-reasoning": Asked(model="sim:reasoning=5,tokens=5"),
    "03-tool-custom": Asked(message=CONVERT),
    "04-tool-python": Asked(model="sim:reasoning=5,tool=convert,tokens=5", why="a custom tool for Python"),
    "05-tool-websearch-citations": Asked(message=NILE, fields={"allowed_tool_ids": [3]}),
    "06-tools-parallel": Asked(model="sim:tool=convert,tool=convert,tool=convert:5ms,tokens=5"),
    "07-tools-two-rounds-with-preamble": Asked(
        model="sim:reasoning=2,narration=3,tool=convert,tokens=5", why="one round of tools for two"
    ),
    "10-tool-custom-401": Asked(model="sim:tool=refused,tokens=5"),
    "11-tool-python-error": Asked(
        model="sim:tool=fail,tokens=5", why="a call that fails, for Python that does"
    ),
    "12-tool-unknown-name": Asked(model="sim:tool=absent,tokens=5"),
    "13-tool-missing-args": Asked(model="sim:tool=fail,tokens=5"),
    "14-deep-research": Asked(
        message=COMPARE, unlike=frozenset({"reasoning", "citations"}), why="swift does not reason, and cites"
    ),
    "15-deep-research-clarification": Asked(message="Compare rivers."),
    "20-nonstream-plain": PLAIN,
    "21-nonstream-tools-reasoning": Asked(model="sim:reasoning=5,tool=convert,tokens=5"),
    "22-nonstream-websearch": Asked(message=NILE, fields={"allowed_tool_ids": [3]}),
    "23-nonstream-llm-429": Asked(model="sim:fault=error:RATE_LIMIT"),
    "25-nonstream-preamble-two-rounds": Asked(model="sim:reasoning=2,narration=3,tool=convert,tokens=5"),
    "27-nonstream-deep-clarify": Asked(message="Compare rivers."),
    "30-multiturn-1": PLAIN,
    "31-multiturn-2-parent-assistant": Asked(before=talk(TALK), message="hello"),
    "33-regenerate-parent-is-user-message": Asked(before=talk(TALK)),
    "34-parent-null-regenerate-from-root": Asked(before=talk(TALK), message="hello"),
    "35-parent-unknown-id": Asked(before=talk(TALK)),
    "37-multiturn-nonstream": Asked(before=talk(TALK)),
    "40-llm-override-valid-name": AS_IT_IS,
    "43-llm-override-bad-provider": AS_IT_IS,
    "44-llm-override-bad-model-unlisted": Asked(
        model="sim:tokens=4", why="known to the provider, not listed"
    ),
    "45-llm-override-model-404-upstream": AS_IT_IS,
    "47-llm-override-model-only": AS_IT_IS,
    "48-llm-override-temperature-only": AS_IT_IS,
    "49-llm-override-temperature-bad-type": AS_IT_IS,
    "4b-multi-model-llm_overrides": AS_IT_IS,
    "4c-multi-model-one-fails": AS_IT_IS,
    "4d-multi-model-nonstream": AS_IT_IS,
    "4e-multi-model-four": AS_IT_IS,
    "50-allowed-tools-empty": AS_IT_IS,
    "53-forced-tool-valid-but-llm-ignores": Asked(model="sim:ignore=forced,tokens=5"),
    "54-forced-tool-unknown": AS_IT_IS,
    "55-forced-tool-unknown-nonstream": AS_IT_IS,
    "57-allowed-tool-unknown-id": AS_IT_IS,
    "60-unknown-chat-session": AS_IT_IS,
    "61-unknown-chat-session-nonstream": AS_IT_IS,
    "62-malformed-chat-session-id": AS_IT_IS,
    "63-unknown-persona": AS_IT_IS,
    "65-both-session-id-and-info": AS_IT_IS,
    "66-bad-filters-type": AS_IT_IS,
    "67-filters-unknown-docset": AS_IT_IS,
    "68-filters-valid": AS_IT_IS,
    "6a-empty-message": AS_IT_IS,
    "6b-missing-message": AS_IT_IS,
    "6d-unknown-extra-field": AS_IT_IS,
    "6e-malformed-json": AS_IT_IS,
    "6g-mock-llm-response": AS_IT_IS,
    "6h-get-send-chat-message": AS_IT_IS,
    "6i-deprecated-send-message": Asked(at="bare", why="today's servers have dropped it"),
    "6k-api-prefix": AS_IT_IS,
    "6l-query-answer": AS_IT_IS,
    "6m-v1-openai": AS_IT_IS,
    "70-no-auth": Asked(at="keyed"),
    "71-bad-bearer": Asked(at="keyed"),
    "72-bad-pat": Asked(at="keyed", key="onyx_pat_of_nobody"),
    "73-basic-auth": Asked(at="keyed"),
    "75-x-onyx-authorization-header": Asked(at="keyed"),
    "80-llm-500": Asked(model="sim:fault=error:UNKNOWN_ERROR"),
    "81-llm-mid-error": Asked(model="sim:fault=error@5:SERVICE_UNAVAILABLE"),
    "83-llm-context-length": Asked(model="sim:fault=error:CONTEXT_TOO_LONG"),
    "85-llm-empty": Asked(model="sim:fault=error:EMPTY_LLM_RESPONSE"),
    "86-llm-stall-before-first-token-35s-heartbeats": Asked(
        model="sim:fault=heartbeat,fault=heartbeat,tokens=5", why="two heartbeats at once for two in 35 s"
    ),
    "87-llm-finish-length": Asked(model="sim:tokens=3", why="that it was cut is not on the wire"),
    "8a-tool-upstream-500": Asked(model="sim:tool=broken,tokens=5"),
    "8b-tool-slow-20s-heartbeats": Asked(model="sim:tool=convert,fault=heartbeat,tokens=5"),
    "8c-tool-loop-max-cycles": Asked(
        model="sim:tool=convert,tool=convert,fault=error:UNKNOWN_ERROR", why="its tools run side by side"
    ),
    "8d-unicode": Asked(message="What is the capital of Brazil? \u00fcn\u00efc\u00f6d\u00e9 \U0001f680"),
    "8f-accept-encoding-gzip": AS_IT_IS,
    "8g-accept-json-header": AS_IT_IS,
    "8h-include-citations-false": Asked(message=NILE, fields={"allowed_tool_ids": [3]}),
    "8i-tool-open-url-loopback-ssrf": Asked(
        message="Read http://127.0.0.1:18081/pages/1", fields={"allowed_tool_ids": [3, 7]}
    ),
    "8k-llm-429-stream": Asked(model="sim:fault=heartbeat,fault=heartbeat,fault=error:RATE_LIMIT"),
    "90-session-for-stop": PLAIN,
    "91-stop-call": Asked(before=talk(STOPPED)),
    "91-stopped-stream": Asked(before=talk(STOPPED), model="sim:ttft=20s", send=stopped_midway),
    "92-after-stop-next-turn": Asked(before=stopped(STOPPED), message="hello"),
    "93-get-session-after-stop": Asked(before=stopped(STOPPED)),
    "94-client-disconnect-after-8-chunks": Asked(model="sim:gap=10ms,tokens=60", send=abandoned),
    "95-resume-stream-after-disconnect": Asked(before=left(LEFT)),
    "96-get-session-after-disconnect": Asked(before=left(LEFT)),
    "97-resume-stream-when-done": Asked(before=talk(LEFT)),
    "99-stop-idle-session": Asked(before=talk(LEFT)),
    "9a-stop-unknown-session": AS_IT_IS,
    "9b-send-after-stop-on-idle": Asked(before=talk(LEFT), message="hello"),
    "9c-concurrent-same-session-0": Asked(before=talk(LEFT), model="sim:tokens=15", send=beside_another),
    "a0-upload-txt": AS_IT_IS,
    "a1-get-user-file-immediately": Asked(before=uploaded),
    "a2-get-user-file-later": Asked(before=processed),
    "a3-file-statuses": Asked(before=uploaded),
    "a4-get-user-file-unknown": AS_IT_IS,
    "a5-get-user-file-malformed": AS_IT_IS,
    "a6-upload-multi-png-csv-bad": AS_IT_IS,
    "a7-upload-noauth": Asked(at="keyed"),
    "a8-upload-nofile": AS_IT_IS,
    "a9-create-project": AS_IT_IS,
    "aa-upload-to-unknown-project": AS_IT_IS,
    "b0-file-descriptor-text": Asked(before=processed),
    "b1-file-descriptor-image": Asked(before=processed),
    "b3-file-descriptor-unknown": AS_IT_IS,
    "b4-file-descriptor-unknown-with-user_file_id": AS_IT_IS,
    "b6-file-descriptor-bad-type": AS_IT_IS,
    "ba-chat-file-download": Asked(before=uploaded),
    "c0-tool-list": AS_IT_IS,
    "c1-persona-list": AS_IT_IS,
    "c2-llm-provider-list": AS_IT_IS,
    "c3-chat-sessions": Asked(before=talk(TALK)),
    "c4-health": AS_IT_IS,
    "c5-version": AS_IT_IS,
    "c6-me": AS_IT_IS,
    "c7-settings": AS_IT_IS,
    "c8-tool-by-id": AS_IT_IS,
    "ca-persona-1": AS_IT_IS,
    "cc-auth-type": AS_IT_IS,
    "cf-user-files": Asked(before=project),
    "cg-file-recent": Asked(before=processed),
    "ch-tool-openapi-noauth": Asked(at="keyed"),
    "ci-health-noauth": Asked(at="keyed"),
    "cj-create-chat-session": AS_IT_IS,
    "ck-create-chat-session-unknown-persona": AS_IT_IS,
    "cl-delete-unknown-session": AS_IT_IS,
    "d1b-pat-readchat-get-sessions": Asked(at="keyed", why="keys have no scopes here: one that may do all"),
    "d2-pat-write-chat-only": Asked(at="keyed", why="keys have no scopes here: one that may do all"),
    "d3-pat-revoked": Asked(at="keyed", key="onyx_pat_of_nobody", why="revoked reads as never given out"),
    "d8-user2-on-user1-session": Asked(why="a session of somebody else's reads as unknown"),
    "da-deactivated-user": Asked(at="keyed", why="a cookie of nobody's, as theirs was by then"),
    "e0-session-for-stop": PLAIN,
    "e3-next-turn-after-stop": Asked(before=stopped("2ca0f725-51d9-422c-89f7-13aba365bc00"), message="hello"),
    "e4-delete-session": Asked(before=talk("54fa1567-3db4-452b-8239-3eb3216146a0")),
    "e5-send-to-deleted-session": Asked(before=deleted("54fa1567-3db4-452b-8239-3eb3216146a0")),
    "e6-session": PLAIN,
    "e6-stopped-during-slow-tool": Asked(
        before=talk("ef852c0c-22e4-4605-ab53-eb7fcfabf011"), model="sim:tool=convert:20s", send=stopped_midway
    ),
    "e9-additional-context": AS_IT_IS,
    "ea-incognito": AS_IT_IS,
    "eb-project-chat": Asked(before=project),
    "ec-project-deep-research": Asked(before=project),
    "ed-deep-research-nonstream": Asked(
        message=COMPARE, unlike=frozenset({"reasoning", "citations"}), why="as 14"
    ),
    "eg-big-message-200kB": Asked(
        message="lorem ipsum " * 100_000, why="the models here take 128,000 tokens"
    ),
    "eh-message-with-nul": AS_IT_IS,
    "f0-token-rate-limited": Asked(model="sim:fault=http:429"),
    "g0-overload-503-err": Asked(model="sim:fault=http:503"),
    "x1-sse-framed": Asked(at="sigma", why="that is how the guide has it"),
    "x2-ind-envelope": Asked(
        model="sim:envelope=ind,tool=web,tokens=5",
        unlike=frozenset({"citations"}),
        why="a scripted answer cites nothing",
    ),
    "x3-turn-index-envelope": Asked(model="sim:envelope=turn_index,reasoning=5,tokens=5"),
    "x4-truncated": Asked(model="sim:fault=badline@5,fault=cut@5"),
    "x5-unknown-types": Asked(model="sim:fault=unknown@3,tokens=5"),
    "x6-multi-model-one-fails-late": Asked(
        fields={
            "llm_overrides": [
                {"model_provider": "Simulated", "model_version": "sim:fault=error@3:SERVICE_UNAVAILABLE"},
                {"model_provider": "Simulated", "model_version": "swift"},
            ]
        }
    ),
    "x8-unescaped-separators": Asked(model="sim:fault=utf8,tokens=5"),
    "xa-empty-answer": Asked(model="sim:tokens=0"),
    "xb-long-line": Asked(
        model="sim:fault=big:97000,tokens=5", unlike=frozenset({"calls"}), why="a search brings the document"
    ),
    "xc-bad-line": Asked(model="sim:fault=badline@2,tokens=5"),
}

OUT: dict[str, str] = {
    "08-tool-image": "the stand-in has no tool that makes pictures",
    "09-tool-custom-image-csv": "the stand-in has no tool that answers with files",
    "8j-tool-memory": "the stand-in remembers nothing: its memory tool would be a stub",
    "b9-tool-read-file-by-file_id": "what a file says is in the context here: no tool is needed to read it",
    "cd-metrics": "monitoring",
    "d0-pat-scopes": "tokens",
    "d1-pat-insufficient-scope": "tokens: keys of the stand-in have no scopes",
    "d2b-writechat-tool-list": "tokens: keys of the stand-in have no scopes",
    "d5-pat-cannot-mint-pat": "tokens",
    "d6-api-key-create-ce": "administration, billing",
    "d7-register-user2": "registration",
    "d9-user2-get-user1-session": "registration: the stand-in has one user",
    "d9b-user2-admin-endpoint": "administration",
    "d9d-cookie-auth": "registration: nobody logs in here, so there are no cookies",
    "x7-nested-and-failed-agent": "composed; no agent of the stand-in fails",
    "x9-coding-agent": "composed; the stand-in has no coding agent",
    "xd-sse-crlf-multiline": "composed; neither dialect breaks a document over lines",
}
"""Recorded requests that are not asked here."""
