"""A bad value refuses to start in one line that says what is allowed; upstream's variables mean what they meant."""

import pytest

from kthena_fast import settings
from kthena_fast.core import _ledger_py

REFERENCE_DEFAULTS = {
    "POD_NAMESPACE": "default",
    "DRAIN_TIMEOUT": 300.0,
    "METRICS_SCRAPE_INTERVAL": 1.0,
    "ACCESS_LOG_ENABLED": True,
    "ACCESS_LOG_FORMAT": "text",
    "ACCESS_LOG_OUTPUT": "stdout",
    "ENABLE_FAIRNESS_SCHEDULING": False,
    "FAIRNESS_WINDOW_SIZE": 300.0,
    "FAIRNESS_INPUT_TOKEN_WEIGHT": 1.0,
    "FAIRNESS_OUTPUT_TOKEN_WEIGHT": 2.0,
    "FAIRNESS_QUEUE_TIMEOUT": 60.0,
    "FAIRNESS_MAX_CONCURRENT": 0,
    "FAIRNESS_PRIORITY_REFRESH_RETRIES": 0,
    "FAIRNESS_REBUILD_THRESHOLD": 64,
    "FAIRNESS_PRIORITY_TOKEN_WEIGHT": 1.0,
    "FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT": 0.0,
}


def read(**environment: str) -> tuple[settings.Settings, list[str]]:
    said: list[str] = []
    return settings.read(environment, said.append), said


def test_an_empty_environment_gives_the_defaults_and_says_nothing() -> None:
    _, said = read()
    assert said == []


@pytest.mark.parametrize(("variable", "value"), REFERENCE_DEFAULTS.items())
def test_upstreams_variables_keep_their_defaults(variable: str, value: object) -> None:
    assert getattr(read()[0], variable.lower()) == value


def test_upstreams_implicit_hundred_requests_a_second_is_a_defect_and_gone() -> None:
    """Upstream limits every model to 100 turns a second unless told otherwise; here nothing is limited unasked."""
    assert read()[0].fairness_max_qps is None


def test_every_variable_is_read() -> None:
    read_settings, _ = read(
        FAIRNESS_WINDOW_SIZE="10m",
        FAIRNESS_OUTPUT_TOKEN_WEIGHT="3",
        MAX_BODY_BYTES="1MiB",
        ACCESS_LOG_ENABLED="F",
        TRUSTED_PROXIES="10.0.0.0/8, fd00::/8",
        FAIRNESS_USER_SOURCES="header:X-User,anonymous",
        LOG_LEVEL="DEBUG",
    )
    assert read_settings.fairness_window_size == 600.0
    assert read_settings.fairness_output_token_weight == 3.0
    assert read_settings.max_body_bytes == 2**20
    assert read_settings.access_log_enabled is False
    assert [str(network) for network in read_settings.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert read_settings.fairness_user_sources == ("header:X-User", "anonymous")
    assert read_settings.log_level == "debug"


def test_an_empty_value_counts_as_absent() -> None:
    assert read(FAIRNESS_WINDOW_SIZE="")[0].fairness_window_size == 300.0


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("FAIRNESS_WINDOW_SIZE", "2h", "a duration from 1m to 1h"),
        ("FAIRNESS_WINDOW_SIZE", "30s", "a duration from 1m to 1h"),
        ("FAIRNESS_WINDOW_SIZE", "600", "a duration from 1m to 1h"),
        ("FAIRNESS_INPUT_TOKEN_WEIGHT", "-1", "a finite number of 0 or more"),
        ("FAIRNESS_INPUT_TOKEN_WEIGHT", "nan", "a finite number of 0 or more"),
        ("FAIRNESS_INPUT_TOKEN_WEIGHT", "inf", "a finite number of 0 or more"),
        ("FAIRNESS_MAX_CONCURRENT", "1.5", "a whole number of 0 or more"),
        ("FAIRNESS_MAX_QPS", "0", "a whole number above 0"),
        ("FAIRNESS_QUEUE_TIMEOUT", "0s", "a duration above 0"),
        ("FAIRNESS_MAX_CONCURRENT", "9223372036854775808", "a whole number of 0 or more, below 2^63"),
        ("FAIRNESS_MAX_QPS", "9223372036854775808", "a whole number above 0 and below 2^63"),
        ("FAIRNESS_IMAGE_TOKENS", "2147483648", "a whole number from 0 to 2147483647"),
        ("MAX_BODY_BYTES", "8EiB", "and below 2^63"),
        ("ACCESS_LOG_ENABLED", "yes", "true or false"),
        ("ACCESS_LOG_FORMAT", "xml", "text or json"),
        ("MAX_BODY_BYTES", "0", "a number of bytes above 0"),
        ("MAX_BODY_BYTES", "much", "a number of bytes above 0"),
        ("TRUSTED_PROXIES", "proxy", "networks separated by commas"),
        ("REDIS_PORT", "70000", "a port from 1 to 65535"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("FAIRNESS_USER_SOURCES", "cookie:x", "body:FIELD, header:NAME and anonymous"),
        ("FAIRNESS_USER_SOURCES", "header:", "body:FIELD, header:NAME and anonymous"),
        ("FAIRNESS_USER_SOURCES", "header:日", "body:FIELD, header:NAME and anonymous"),
        ("FAIRNESS_USER_SOURCES", "header:X User", "body:FIELD, header:NAME and anonymous"),
        ("FAIRNESS_USER_SOURCES", "body", "body:FIELD, header:NAME and anonymous"),
    ],
)
def test_a_bad_value_names_the_variable_the_value_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(settings.BadSetting) as raised:
        read(**{variable: value})
    line = str(raised.value)
    assert line.startswith(f"{variable}={value!r} is not allowed")
    assert allowed in line
    assert "\n" not in line


@pytest.mark.parametrize("source", ["jwt:sub", "apikey"])
def test_credentials_that_nobody_verifies_yet_refuse_to_start(source: str) -> None:
    with pytest.raises(settings.BadSetting, match="authentication, which is not built yet"):
        read(FAIRNESS_USER_SOURCES=f"{source},anonymous")


def test_the_session_boost_that_is_not_built_refuses_to_start() -> None:
    with pytest.raises(settings.BadSetting, match="not built yet"):
        read(ENABLE_SESSION_BOOST="true")


def test_the_bounds_of_users_and_of_who_waits_are_those_of_the_ledger() -> None:
    for variable, most in (
        ("FAIRNESS_MAX_USERS", _ledger_py.MOST_ROWS),
        ("FAIRNESS_MAX_QUEUE", _ledger_py.MOST_ROWS),
        ("FAIRNESS_MAX_QUEUE_PER_USER", _ledger_py.MOST_ROWS),
        ("FAIRNESS_TOP_USERS", _ledger_py.BOARD // 2),
    ):
        assert getattr(read(**{variable: str(most)})[0], variable.lower()) == most
        with pytest.raises(settings.BadSetting, match=f"from . to {most}"):
            read(**{variable: str(most + 1)})


def test_one_body_must_fit_into_what_all_may_hold() -> None:
    with pytest.raises(settings.BadSetting, match="MAX_BUFFERED_BYTES"):
        read(MAX_BODY_BYTES="2GiB")


def test_lenient_takes_the_default_for_upstreams_variables_with_a_warning() -> None:
    lenient, said = read(KTHENA_FAST_LENIENT_ENV="true", FAIRNESS_WINDOW_SIZE="2h", FAIRNESS_MAX_CONCURRENT="x")
    assert lenient.fairness_window_size == 300.0
    assert lenient.fairness_max_concurrent == 0
    assert len(said) == 2


def test_lenient_is_not_for_variables_that_upstream_does_not_have() -> None:
    with pytest.raises(settings.BadSetting, match="MAX_HEADERS"):
        read(KTHENA_FAST_LENIENT_ENV="true", MAX_HEADERS="-1")


WEIGHTLESS = [
    ("FAIRNESS_INPUT_TOKEN_WEIGHT", "FAIRNESS_OUTPUT_TOKEN_WEIGHT", "1.0 and 2.0"),
    ("FAIRNESS_PRIORITY_TOKEN_WEIGHT", "FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT", "1.0 and 0.0"),
]


@pytest.mark.parametrize(("one", "other", "defaults"), WEIGHTLESS)
def test_weights_that_leave_no_order_are_refused_where_there_is_to_be_one(one: str, other: str, defaults: str) -> None:
    """Upstream takes them and serves by arrival, or by a weight of its own that it does not tell of."""
    zeros = {one: "0", other: "0.0"}
    read(**zeros)
    with pytest.raises(settings.BadSetting) as raised:
        read(ENABLE_FAIRNESS_SCHEDULING="true", **zeros)
    line = str(raised.value)
    assert line.startswith(f"{one}=0 and {other}=0 are not allowed together")
    assert "\n" not in line
    lenient, said = read(ENABLE_FAIRNESS_SCHEDULING="true", KTHENA_FAST_LENIENT_ENV="true", **zeros)
    assert lenient == read(ENABLE_FAIRNESS_SCHEDULING="true", KTHENA_FAST_LENIENT_ENV="true")[0]
    assert said == [f"{line}; {defaults} are used"]


@pytest.mark.parametrize(
    "counts",
    [
        {"FAIRNESS_OUTPUT_TOKEN_WEIGHT": "0.5"},
        {"FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT": "1"},
        {"FAIRNESS_SHARES_FILE": "shares.yaml"},
    ],
)
def test_tokens_may_count_for_nothing_where_something_else_does(counts: dict[str, str]) -> None:
    zeros = dict.fromkeys(("FAIRNESS_INPUT_TOKEN_WEIGHT", "FAIRNESS_OUTPUT_TOKEN_WEIGHT"), "0")
    assert read(ENABLE_FAIRNESS_SCHEDULING="true", **{**zeros, **counts})[0].fairness_input_token_weight == 0.0


def test_a_typing_error_is_answered_with_the_nearest_name() -> None:
    _, said = read(FAIRNESS_WINDOWSIZE="5m", ACCESS_LOG_FORMATT="json", FAIRNESS_ZZZ="1", PATH="/bin")
    assert said[0].endswith("did you mean FAIRNESS_WINDOW_SIZE?")
    assert said[1].endswith("did you mean ACCESS_LOG_FORMAT?")
    assert len(said) == 3


def test_what_is_set_and_has_no_effect_says_why() -> None:
    _, said = read(REDIS_HOST="redis", FAIRNESS_REBUILD_THRESHOLD="32", SESSION_BOOST_TIMEOUT="30s")
    assert said == [
        "SESSION_BOOST_TIMEOUT has no effect here: the session-boost queue is not built yet",
        "REDIS_HOST has no effect here: counts of requests in flight are not shared between replicas yet",
        "FAIRNESS_REBUILD_THRESHOLD has no effect here: the order of users is always current",
    ]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read()[0].max_headers = 5  # type: ignore[misc]
