from __future__ import annotations

import json
import logging
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from django_otp_channels.backends import aws as backends
from django_otp_channels.backends.base import Backend
from django_otp_channels.exceptions import (
    BackendMisconfigured,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
)
from django_otp_channels.messages import Message
from tests.providers import aws as stand_in
from tests.providers.aws import AWSAPI
from tests.providers.loopback import HANG, HTML, Endpoint, Network, Reply

from .contract import NUMBER, NetworkContract, message

pytestmark = pytest.mark.provider

# What each error means for us: those of a send through End User Messaging, with what they say more
# exactly, …
OPTED_OUT = ("ConflictException", "DESTINATION_PHONE_NUMBER_OPTED_OUT")
REFUSED = [
    OPTED_OUT,
    ("ConflictException", "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION"),
    ("ConflictException", "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"),
    ("ValidationException", "COUNTRY_NOT_ENABLED"),
    ("ValidationException", "DESTINATION_COUNTRY_BLOCKED"),
    ("ValidationException", "DestinationPhoneNumber"),
]
MISCONFIGURED = [
    ("AccessDeniedException", ""),
    ("AccessDeniedException", "ACCOUNT_DISABLED"),
    ("AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION"),
    ("ConflictException", ""),
    ("ConflictException", "DESTINATION_PHONE_NUMBER_NOT_VERIFIED"),
    ("ConflictException", "MESSAGE_TYPE_MISMATCH"),
    ("ConflictException", "NO_ORIGINATION_IDENTITIES_FOUND"),
    ("ConflictException", "NUMBER_CAPABILITIES_MISMATCH"),
    ("ConflictException", "PHONE_NUMBER_NOT_IN_REGISTRATION_REGION"),
    ("ConflictException", "REGISTRATION_NOT_COMPLETE"),
    ("ConflictException", "RESOURCE_NOT_ACTIVE"),
    ("ResourceNotFoundException", ""),
    ("ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
    ("ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_VOICE"),
    ("ValidationException", ""),
    ("ValidationException", "CANNOT_PARSE"),
    ("ValidationException", "CHANNEL_NOT_ENABLED"),
    ("ValidationException", "FIELD_VALIDATION_FAILED"),
    ("ValidationException", "INVALID_ARN"),
    ("ValidationException", "INVALID_PARAMETER"),
    ("ValidationException", "INVALID_REQUEST"),
    ("ValidationException", "MAXIMUM_SIZE_EXCEEDED"),
    ("ValidationException", "MISSING_PARAMETER"),
    ("ValidationException", "OTHER"),
    ("ValidationException", "PARAMETERS_CANNOT_BE_USED_TOGETHER"),
    ("ValidationException", "RESOURCE_NOT_ACCESSIBLE"),
    ("ValidationException", "SENDER_ID_NOT_REGISTERED"),
    ("ValidationException", "SENDER_ID_REQUIRES_REGISTRATION"),
    ("ValidationException", "UNKNOWN_OPERATION"),
    ("ValidationException", "UNSPECIFIED_PARAMETER_NOT_SUPPORTED"),
    ("ValidationException", "VOICE_CAPABILITY_NOT_AVAILABLE"),
]
UNAVAILABLE = [
    ("ServiceQuotaExceededException", ""),
    ("ServiceQuotaExceededException", "DAILY_DESTINATION_CALL_LIMIT"),
    ("ThrottlingException", ""),
    ("ValidationException", "COUNTRY_CODE_MISMATCH"),
    ("ValidationException", "INTERNATIONAL_SENDING_NOT_SUPPORTED"),
    ("ValidationException", "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY"),
    ("ValidationException", "PRICE_OVER_THRESHOLD"),
    ("ValidationException", "SENDER_ID_NOT_SUPPORTED"),
]
UNKNOWN = [("InternalServerException", "")]
# … those of SNS, …
SNS_MISCONFIGURED = [
    "AuthorizationError", "EndpointDisabled", "InvalidParameter", "InvalidSecurity",
    "KMSAccessDenied", "KMSDisabled", "KMSInvalidState", "KMSNotFound", "KMSOptInRequired",
    "NotFound", "ParameterValueInvalid", "PlatformApplicationDisabled",
]  # fmt: skip
SNS_UNAVAILABLE = ["KMSThrottling", "Throttled"]
SNS_UNKNOWN = ["InternalError"]
# … and those of every service.
# https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/CommonErrors.html
# https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html
COMMON_MISCONFIGURED = [
    "AccessDenied", "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
    "IncompleteSignatureException", "InvalidAction", "InvalidClientTokenId",
    "InvalidParameterCombination", "InvalidParameterValue", "InvalidQueryParameter",
    "InvalidSignatureException", "MalformedHttpRequestException", "MalformedQueryString",
    "MissingAction", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
    "MissingParameter", "NotAuthorized", "OptInRequired", "RequestEntityTooLargeException",
    "RequestExpired", "RequestTimeTooSkewed", "SerializationException", "SignatureDoesNotMatch",
    "UnknownOperationException", "UnrecognizedClientException", "ValidationError",
]  # fmt: skip
COMMON_UNAVAILABLE = ["RequestLimitExceeded", "Throttling", "TooManyRequestsException"]
COMMON_UNKNOWN = [
    "InternalFailure", "RequestAbortedException", "RequestTimeoutException", "ServiceUnavailable",
    "ServiceUnavailableException",
]  # fmt: skip

Meaning = dict[tuple[str, str], type[Exception]]


def meaning(misconfigured: list[str], unavailable: list[str], unknown: list[str]) -> Meaning:
    return {
        **{(code, ""): BackendMisconfigured for code in misconfigured},
        **{(code, ""): DeliveryUnavailable for code in unavailable},
        **{(code, ""): DeliveryUnknown for code in unknown},
    }


COMMON = meaning(COMMON_MISCONFIGURED, COMMON_UNAVAILABLE, COMMON_UNKNOWN)
MESSAGING: Meaning = {
    **dict.fromkeys(REFUSED, DeliveryRefused),
    **dict.fromkeys(MISCONFIGURED, BackendMisconfigured),
    **dict.fromkeys(UNAVAILABLE, DeliveryUnavailable),
    **dict.fromkeys(UNKNOWN, DeliveryUnknown),
}
SNS: Meaning = {
    **meaning(SNS_MISCONFIGURED, SNS_UNAVAILABLE, SNS_UNKNOWN),
    ("InvalidParameter", "PhoneNumber"): DeliveryUnavailable,
}
# Of these the next message would fare no better, whoever it is for.
PROVIDER_WIDE = {
    ("AccessDeniedException", ""),
    ("AccessDeniedException", "ACCOUNT_DISABLED"),
    ("AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION"),
    ("ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
    ("ServiceQuotaExceededException", "MONTHLY_SPEND_LIMIT_REACHED_FOR_VOICE"),
    ("ThrottlingException", ""),
    *UNKNOWN,
    *(
        (code, "")
        for code in [
            "AuthorizationError", "InvalidSecurity", "KMSAccessDenied", "KMSDisabled",
            "KMSInvalidState", "KMSNotFound", "KMSOptInRequired", "AccessDenied", "AuthFailure",
            "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
            "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException",
            "MissingAuthenticationToken", "MissingAuthenticationTokenException", "NotAuthorized",
            "OptInRequired", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
            "UnrecognizedClientException",
            *SNS_UNAVAILABLE, *SNS_UNKNOWN, *COMMON_UNAVAILABLE, *COMMON_UNKNOWN,
        ]
    ),
}  # fmt: skip
OUTCOMES = [DeliveryRefused, BackendMisconfigured, DeliveryUnavailable, DeliveryUnknown]

# Reasons in the service's model that only its other operations give: of registrations, pools,
# keywords, opt-out lists, media, two-way messages, limits of how many things an account may have.
NOT_OF_A_SEND = {
    "ConflictException": {
        "CREATE_REGISTRATION_VERSION_NOT_ALLOWED", "DELETION_PROTECTION_ENABLED",
        "DISASSOCIATE_REGISTRATION_NOT_ALLOWED", "DISCARD_REGISTRATION_VERSION_NOT_ALLOWED",
        "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED", "EVENT_DESTINATION_MISMATCH",
        "KEYWORD_MISMATCH", "LAST_PHONE_NUMBER", "NOTIFY_CONFIGURATION_NOT_ACTIVE",
        "OPT_OUT_LIST_MISMATCH", "PHONE_NUMBER_ASSOCIATED_TO_POOL",
        "PHONE_NUMBER_ASSOCIATED_TO_REGISTRATION", "PHONE_NUMBER_NOT_ASSOCIATED_TO_POOL",
        "POOL_ASSOCIATED_TO_NOTIFY_CONFIGURATION",
        "PROTECT_CONFIGURATION_ASSOCIATED_WITH_CONFIGURATION_SET",
        "PROTECT_CONFIGURATION_IS_ACCOUNT_DEFAULT",
        "PROTECT_CONFIGURATION_NOT_ASSOCIATED_WITH_CONFIGURATION_SET",
        "RCS_AGENT_ALREADY_ASSOCIATED_TO_REGISTRATION_TYPE", "RCS_AGENT_ASSOCIATED_TO_POOL",
        "REGISTRATION_ALREADY_SUBMITTED", "RESOURCE_ALREADY_ASSOCIATED", "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DELETION_NOT_ALLOWED", "RESOURCE_MODIFICATION_NOT_ALLOWED", "RESOURCE_NOT_EMPTY",
        "SELF_MANAGED_OPT_OUTS_MISMATCH", "SENDER_ID_ASSOCIATED_TO_POOL",
        "SUBMIT_REGISTRATION_VERSION_NOT_ALLOWED", "TWO_WAY_CONFIG_MISMATCH",
        "VERIFICATION_ALREADY_COMPLETE", "VERIFICATION_CODE_EXPIRED",
    },
    "ServiceQuotaExceededException": {
        "ASSOCIATIONS_PER_REGISTRATION", "CONFIGURATION_SETS_PER_ACCOUNT",
        "DAILY_NOTIFY_TIER_MESSAGE_LIMIT", "EVENT_DESTINATIONS_PER_CONFIGURATION_SET",
        "KEYWORDS_PER_PHONE_NUMBER", "KEYWORDS_PER_POOL", "MONTHLY_SPEND_LIMIT_REACHED_FOR_MEDIA",
        "MONTHLY_SPEND_LIMIT_REACHED_FOR_NOTIFY", "MONTHLY_SPEND_LIMIT_REACHED_FOR_RCS",
        "NOTIFY_CONFIGURATIONS_PER_ACCOUNT", "OPT_OUT_LISTS_PER_ACCOUNT",
        "ORIGINATION_IDENTITIES_PER_POOL", "PHONE_NUMBERS_PER_ACCOUNT",
        "PHONE_NUMBERS_PER_REGISTRATION", "POOLS_PER_ACCOUNT",
        "PROTECT_CONFIGURATIONS_PER_ACCOUNT", "RCS_AGENTS_PER_ACCOUNT", "REGISTRATIONS_PER_ACCOUNT",
        "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY", "REGISTRATION_ATTACHMENTS_PER_ACCOUNT",
        "REGISTRATION_VERSIONS_CREATED_PER_DAY", "SENDER_IDS_PER_ACCOUNT", "TAGS_PER_RESOURCE",
        "VERIFICATION_ATTEMPTS_PER_DAY", "VERIFIED_DESTINATION_NUMBERS_PER_ACCOUNT",
    },
    "ValidationException": {
        "ATTACHMENT_TYPE_NOT_SUPPORTED", "CANNOT_ADD_OPTED_OUT_NUMBER", "INVALID_FILTER_VALUES",
        "INVALID_NEXT_TOKEN", "INVALID_REGISTRATION_ASSOCIATION", "MEDIA_TYPE_NOT_SUPPORTED",
        "PHONE_NUMBER_CANNOT_BE_OPTED_IN", "PHONE_NUMBER_CANNOT_BE_RELEASED",
        "REGISTRATION_FIELD_CANNOT_BE_DELETED",
        "REQUESTED_SPEND_LIMIT_HIGHER_THAN_SERVICE_LIMIT", "TWO_WAY_CHANNEL_NOT_PRESENT",
        "TWO_WAY_NOT_ENABLED", "TWO_WAY_NOT_SUPPORTED_IN_COUNTRY",
        "TWO_WAY_NOT_SUPPORTED_IN_REGION", "TWO_WAY_TOPIC_NOT_PRESENT",
        "UNKNOWN_REGISTRATION_FIELD", "UNKNOWN_REGISTRATION_SECTION", "UNKNOWN_REGISTRATION_TYPE",
        "UNKNOWN_REGISTRATION_VERSION", "VERIFICATION_CODE_MISMATCH",
    },
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Have the SDK's modules and data at hand: that is slow, and not what tests are to measure."""
    import boto3

    boto3.Session(stand_in.ACCESS_KEY_ID, stand_in.SECRET_ACCESS_KEY).client("sns", stand_in.REGION)


def sending_in_vain(
    backend: Backend, message: Message, expected: type[Exception], *, timeout: float
) -> threading.Thread:
    def send() -> None:
        with pytest.raises(expected):
            backend.send(message, timeout=timeout)

    return threading.Thread(target=send)


class AWSContract(NetworkContract):
    """A subclass also gives ``meanings`` and ``error``."""

    provider = "aws"
    ca_variable = "AWS_CA_BUNDLE"

    @pytest.fixture
    def options(self, aws_api: AWSAPI) -> Mapping[str, Any]:
        return aws_api.options

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [stand_in.SECRET_ACCESS_KEY]

    @pytest.fixture
    def keyless(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options of a site whose credentials boto3 finds by itself."""
        return {name: value for name, value in options.items() if "_key" not in name}

    meanings: Meaning

    def error(self, code: str, detail: str = "", *, status: int = 400) -> Reply:
        raise NotImplementedError

    @pytest.mark.parametrize("expected", OUTCOMES)
    def test_sorts_each_error_of_a_refused_request(
        self, backend: Backend, message: Message, endpoint: Endpoint, expected: type[Exception],
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        for (code, detail), outcome in {**self.meanings, **COMMON}.items():
            if outcome is expected:
                endpoint.always(self.error(code, detail))
                error = self.failing(backend, message, expected, caplog)
                assert error.code == (detail or code)
                assert error.provider_wide is ((code, detail) in PROVIDER_WIDE), (code, detail)
                assert len(error.code) <= 64
                assert not getattr(error, "dead_address", False)

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (400, DeliveryUnavailable),
            (401, BackendMisconfigured),
            (403, BackendMisconfigured),
            (429, DeliveryUnavailable),
            (500, DeliveryUnknown),
            (503, DeliveryUnknown),
        ],
    )
    def test_judges_an_unheard_of_code_by_the_status(
        self, backend: Backend, message: Message, endpoint: Endpoint, status: int,
        expected: type[Exception], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(self.error("BrandNewException", status=status))
        assert self.failing(backend, message, expected, caplog).code == "BrandNewException"

    def test_shows_no_code_that_may_be_more_than_a_code(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        for code in (NUMBER, "x" * 65, "048213", "a b"):
            endpoint.always(self.error(code, "OF_NO_USE_048213"))
            assert self.failing(backend, message, DeliveryUnavailable, caplog).code == "400"

    def test_tries_once_whatever_the_environment_says(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
        monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
        endpoint.always(Reply(503, HTML))
        self.failing(backend, message, DeliveryUnknown, caplog)
        assert len(endpoint.requests) == 1

    def test_keeps_no_copy_of_the_request(self, backend: Any, message: Message) -> None:
        backend.send(message, timeout=5)
        self.harmless(str(vars(backend)) + str([vars(each) for each in backend._ready]))

    # -- what reaches the log --------------------------------------------------------------------

    def test_the_sdk_logs_nothing_while_we_send_and_all_it_likes_elsewhere(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        # Another provider's send may have silenced this one for our threads already.
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("urllib3"):
                monkeypatch.setattr(logging.getLogger(name), "filters", [])
        sdk = logging.getLogger("botocore.endpoint")
        backend.send(message, timeout=5)  # the first one makes a client, which tells of itself
        endpoint.wait()
        with caplog.at_level(logging.DEBUG):
            backend.send(message, timeout=5)
            endpoint.wait()
            sending = sending_in_vain(backend, message, DeliveryUnknown, timeout=0.4)
            endpoint.script(HANG)
            sending.start()
            endpoint.wait()
            sdk.debug("of another thread")
            sending.join(5)
            sdk.debug("of this thread, later")
        assert [record.message for record in caplog.records if record.name.startswith("boto")] == [
            "of another thread",
            "of this thread, later",
        ]
        assert [record for record in caplog.records if record.name.startswith("urllib3")]
        self.harmless(caplog.text)

    # -- options, environment and files ----------------------------------------------------------

    @pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
    def test_reads_region_and_credentials_from_the_environment(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        monkeypatch: pytest.MonkeyPatch, variable: str,
    ) -> None:  # fmt: skip
        monkeypatch.setenv(variable, stand_in.REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", stand_in.ACCESS_KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stand_in.SECRET_ACCESS_KEY)
        backend = build(sender=stand_in.SENDER)
        assert list(backend.check()) == []
        assert backend.send(message, timeout=5).message_id
        assert len(endpoint.requests) == 1

    def test_reads_region_and_credentials_from_a_profile(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    ) -> None:  # fmt: skip
        config = tmp_path / "config"
        config.write_text(
            f"[profile codes]\nregion = {stand_in.REGION}\n"
            f"aws_access_key_id = {stand_in.ACCESS_KEY_ID}\n"
            f"aws_secret_access_key = {stand_in.SECRET_ACCESS_KEY}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFANOTHERACCOUNT")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of another account")
        backend = build(sender=stand_in.SENDER, profile="codes")
        assert list(backend.check()) == []
        assert backend.send(message, timeout=5).message_id
        assert len(endpoint.requests) == 1

    def test_a_netrc_file_does_not_replace_the_signature(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login alex password hunter2\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        assert backend.send(message, timeout=5).message_id

    def test_trusts_the_bundle_of_others_where_aws_has_none(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_CA_BUNDLE")
        assert backend.send(message, timeout=5).message_id

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"region": ""}, "otp_channels.W122"),
            ({"region": "", "profile": "nobodys"}, "otp_channels.W122"),
            ({"access_key_id": ""}, "otp_channels.W122"),
            ({"secret_access_key": ""}, "otp_channels.W122"),
        ],
    )
    def test_reports_a_missing_option_and_sends_nothing(
        self, build: Callable[..., Backend], message: Message, aws_api: AWSAPI,
        changes: Mapping[str, str], problem: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, **changes})
        (found,) = backend.check()
        assert found.id == problem
        assert not found.is_serious()
        assert found.hint
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == problem
        assert aws_api.requests == []

    def test_reports_a_missing_sdk(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.setitem(sys.modules, "boto3", None)  # type: ignore[arg-type]
        (found,) = backend.check()
        assert found.id == "otp_channels.E121"
        assert "django-otp-channels[aws]" in str(found.hint)
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert error.code == "otp_channels.E121"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"profile": "nobodys"}, "ProfileNotFound"),
            ({"region": "no region"}, "InvalidRegionError"),
            ({"access_key_id": "", "secret_access_key": ""}, "credentials"),
        ],
    )
    def test_settings_that_cannot_be_used_are_our_fault(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        changes: Mapping[str, str], code: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, **changes})
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert error.code == code
        assert error.detail
        assert endpoint.requests == []

    # -- credentials that somebody has to be asked for -------------------------------------------

    @pytest.fixture
    def in_a_cluster(
        self, build: Callable[..., Backend], keyless: Mapping[str, Any],
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    ) -> Backend:  # fmt: skip
        """A backend that finds in its environment what a workload in a cluster does."""
        token = tmp_path / "token"
        token.write_text("a-web-identity-token")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/codes")
        return build(**keyless)

    def test_threads_share_the_credentials_of_a_role(
        self, in_a_cluster: Backend, message: Message, endpoint: Endpoint, aws_api: AWSAPI,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = in_a_cluster
        ids: list[str] = []
        sending = [
            threading.Thread(target=lambda: ids.append(backend.send(message, timeout=5).message_id))
            for _ in range(4)
        ]
        with caplog.at_level(logging.DEBUG):
            for thread in sending:
                thread.start()
            for thread in sending:
                thread.join(10)
        assert len(set(ids)) == 4
        assert len(endpoint.requests) == 4
        assert len(aws_api.tokens.requests) == 1
        (*_, (secret, token)) = aws_api.keys.values()
        assert not [each for each in ("a-web-identity", secret, token) if each in caplog.text]

    @pytest.mark.parametrize(
        ("reply", "expected", "timeout"),
        [
            (HANG, DeliveryUnavailable, 0.4),
            (Reply(200, " " * 999, how="trickle"), DeliveryUnavailable, 0.4),
            (Reply(502, HTML), DeliveryUnavailable, 5),
            (stand_in.xml_error("Throttling"), DeliveryUnavailable, 5),
            (stand_in.xml_error("InternalFailure", status=500), DeliveryUnavailable, 5),
            (stand_in.xml_error("AccessDenied", status=403), BackendMisconfigured, 5),
            (stand_in.xml_error("ExpiredTokenException"), BackendMisconfigured, 5),
        ],
    )
    def test_nothing_was_sent_where_the_role_was_not_given(
        self, in_a_cluster: Backend, message: Message, endpoint: Endpoint, aws_api: AWSAPI,
        reply: Reply, expected: type[Exception], timeout: float, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = in_a_cluster
        aws_api.tokens.script(Reply(503, HTML), reply)
        self.failing(backend, message, DeliveryUnavailable, caplog)  # and with that it is loaded
        self.failing(backend, message, expected, caplog, timeout=timeout)
        assert len(aws_api.tokens.requests) == 2
        assert endpoint.requests == []
        assert backend.send(message, timeout=5).message_id

    @pytest.mark.parametrize("kind", ["instance", "container"])
    def test_asks_the_machine_for_its_credentials(
        self, build: Callable[..., Backend], keyless: Mapping[str, Any], message: Message,
        metadata: Metadata, kind: str,
    ) -> None:  # fmt: skip
        metadata.lead(kind)
        assert build(**keyless).send(message, timeout=5).message_id

    @pytest.mark.parametrize("kind", ["instance", "instance without version 1", "container"])
    def test_a_machine_that_gives_no_credentials_holds_nothing_up(
        self, build: Callable[..., Backend], keyless: Mapping[str, Any], message: Message,
        endpoint: Endpoint, metadata: Metadata, kind: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        metadata.lead(kind)
        metadata.hangs = True
        expected = BackendMisconfigured if kind == "instance" else DeliveryUnavailable
        self.failing(build(**keyless), message, expected, caplog, timeout=0.4)
        assert endpoint.requests == []

    @pytest.mark.parametrize("kind", ["instance", "container"])
    def test_a_machine_that_cannot_be_asked_as_it_should_is_no_fault_of_the_settings(
        self, build: Callable[..., Backend], keyless: Mapping[str, Any], message: Message,
        endpoint: Endpoint, metadata: Metadata, kind: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        metadata.lead(kind, scheme="https")
        self.failing(build(**keyless), message, DeliveryUnavailable, caplog)
        assert endpoint.requests == []

    # -- many at once ----------------------------------------------------------------------------

    def test_a_send_that_hangs_holds_up_no_other_thread(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        backend.send(message, timeout=5)
        endpoint.wait()
        endpoint.script(HANG)
        outcomes: list[object] = []

        def hang() -> None:
            try:
                backend.send(message, timeout=0.6)
            except DeliveryUnknown as error:
                outcomes.append(error)

        hanging = threading.Thread(target=hang)
        hanging.start()
        endpoint.wait()
        assert len({backend.send(message, timeout=5).message_id for _ in range(3)}) == 3
        assert outcomes == []
        hanging.join(3)
        assert len(outcomes) == 1

    def test_waits_no_longer_than_it_may_for_another_threads_first_send(
        self, in_a_cluster: Backend, message: Message, endpoint: Endpoint, aws_api: AWSAPI,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = in_a_cluster
        aws_api.tokens.script(Reply(503, HTML), HANG)
        self.failing(backend, message, DeliveryUnavailable, caplog)
        aws_api.tokens.wait()
        first = sending_in_vain(backend, message, DeliveryUnavailable, timeout=2)
        first.start()
        aws_api.tokens.wait()
        error = self.failing(backend, message, DeliveryUnavailable, caplog, timeout=0.2)
        assert error.code == "no-time"
        assert first.is_alive()
        first.join(5)
        assert endpoint.requests == []


class Metadata:
    """The servers that give out a machine's own credentials."""

    ROLE = "/latest/meta-data/iam/security-credentials/"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.hangs = False
        self.let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                if outer.hangs:
                    outer.let_go.wait(10)
                    return
                answers = {"/latest/api/token": "token", Metadata.ROLE: "the-role"}
                body = answers.get(self.path) or json.dumps(
                    {
                        "Code": "Success",
                        "AccessKeyId": stand_in.ACCESS_KEY_ID,
                        "SecretAccessKey": stand_in.SECRET_ACCESS_KEY,
                        "Token": "",
                        "Expiration": "2099-01-01T00:00:00Z",
                    }
                )
                self.send_response_only(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(
            target=self.server.serve_forever, args=(0.02,), name="loopback-metadata"
        )
        self.thread.start()

    def lead(self, kind: str, *, scheme: str = "http") -> None:
        url = f"{scheme}://127.0.0.1:{self.server.server_port}/"
        if kind.startswith("instance"):
            self.monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", str(kind != "instance"))
            self.monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
            self.monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        else:
            self.monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


@pytest.fixture
def metadata(provider_network: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    server = Metadata(monkeypatch)
    yield server
    server.close()


class MessagingContract(AWSContract):
    meanings = MESSAGING

    def error(self, code: str, detail: str = "", *, status: int = 400) -> Reply:
        if detail == "DestinationPhoneNumber":
            fields = [{"Name": detail, "Message": f"{NUMBER} is not valid"}]
            return stand_in.error(code, status=status, reason="INVALID_PARAMETER", Fields=fields)
        return stand_in.error(code, status=status, reason=detail)

    @pytest.mark.parametrize(
        ("reason", "name", "expected"),
        [
            ("FIELD_VALIDATION_FAILED", "destinationPhoneNumber", DeliveryRefused),
            ("", "DestinationPhoneNumber", DeliveryRefused),
            ("OTHER", "OriginationIdentity", BackendMisconfigured),
            # The reason says more than the field.
            ("SENDER_ID_NOT_SUPPORTED", "DestinationPhoneNumber", DeliveryUnavailable),
        ],
    )
    def test_a_field_that_is_not_valid_tells_whose_fault_it_is(
        self, backend: Backend, message: Message, endpoint: Endpoint, reason: str, name: str,
        expected: type[Exception], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        fields = [{"Name": "Context", "Message": "x"}, {"Name": name, "Message": f"{NUMBER}"}]
        endpoint.always(stand_in.error("ValidationException", reason=reason, Fields=fields))
        self.failing(backend, message, expected, caplog)

    def test_takes_an_error_with_a_new_reason_for_what_it_is(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(stand_in.error("ConflictException", reason="BRAND_NEW_REASON"))
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert error.code == "ConflictException"

    def test_reports_a_missing_sender_and_sends_nothing(
        self, build: Callable[..., Backend], message: Message, aws_api: AWSAPI,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, "sender": ""})
        (found,) = backend.check()
        assert found.id == "otp_channels.E123"
        assert found.is_serious()
        assert found.hint
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == found.id
        assert aws_api.requests == []

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"access_key_id": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
            ({"secret_access_key": "wrong"}, "InvalidSignatureException"),
        ],
    )
    def test_wrong_credentials_are_our_fault(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        changes: Mapping[str, str], code: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, **changes})
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == code
        assert len(endpoint.requests) == 1

    def test_a_sender_of_a_wrong_form_is_our_fault(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, "sender": 12025550199})
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert error.code == "ParamValidationError"
        assert endpoint.requests == []

    def test_names_the_configuration_set(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint
    ) -> None:
        build(**stand_in.OPTIONS, configuration_set="codes").send(message, timeout=5)
        assert endpoint.requests[0].json["ConfigurationSetName"] == "codes"

    @pytest.mark.parametrize(
        ("lifetime", "seconds"), [(-5, 5), (0, 5), (90, 90), (900_000, 259_200)]
    )
    def test_is_dropped_when_the_code_is_dead(
        self, backend: Backend, endpoint: Endpoint, lifetime: int, seconds: int
    ) -> None:
        backend.send(message(self.channel, lifetime=lifetime), timeout=5)
        assert endpoint.requests[0].json["TimeToLive"] == seconds

    def test_says_unavailable_when_an_endpoint_without_tls_refuses_the_connection(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        self.failing(backend, message, DeliveryUnavailable, caplog)


class TestSMS(MessagingContract):
    path = "django_otp_channels.backends.aws.SMS"
    channel = "sms"

    @pytest.fixture
    def endpoint(self, aws_api: AWSAPI) -> Endpoint:
        return aws_api.texts

    @pytest.fixture
    def seen(self, aws_api: AWSAPI) -> Callable[[], list[str]]:
        return lambda: [text for number, text in aws_api.sent if number == NUMBER]

    def test_sends_what_aws_needs_and_no_more(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        backend.send(message, timeout=5)
        assert endpoint.requests[0].json == {
            "DestinationPhoneNumber": NUMBER,
            "OriginationIdentity": stand_in.SENDER,
            "MessageBody": message.text,
            "MessageType": "TRANSACTIONAL",
            "TimeToLive": 300,
        }


class TestVoice(MessagingContract):
    path = "django_otp_channels.backends.aws.Voice"
    channel = "voice"

    @pytest.fixture
    def endpoint(self, aws_api: AWSAPI) -> Endpoint:
        return aws_api.calls

    @pytest.fixture
    def seen(self, aws_api: AWSAPI) -> Callable[[], list[str]]:
        return lambda: ["\n".join(lines) for number, lines in aws_api.spoken if number == NUMBER]

    def test_speaks_each_line_and_pauses_between(
        self, backend: Backend, message: Message, endpoint: Endpoint
    ) -> None:
        backend.send(message, timeout=5)
        parameters = endpoint.requests[0].json
        speech = parameters.pop("MessageBody")
        assert speech.count('<break time="1s"/>') == 4
        assert '<break time="1s"/>0, 4, 8, 2, 1, 3.<break time="1s"/>' in speech
        assert parameters == {
            "DestinationPhoneNumber": NUMBER,
            "OriginationIdentity": stand_in.SENDER,
            "MessageBodyTextType": "SSML",
            "VoiceId": "JOANNA",
            "TimeToLive": 300,
        }

    @pytest.mark.parametrize(
        ("language", "voice"),
        [
            ("en", "JOANNA"),
            ("en-gb", "AMY"),
            ("de", "VICKI"),
            ("de-ch", "VICKI"),
            ("pt-br", "CAMILA"),
            ("nb", "LIV"),
            ("zh-hans", "ZHIYU"),
            ("eu", "JOANNA"),
        ],
    )
    def test_speaks_the_persons_language(
        self, backend: Backend, endpoint: Endpoint, language: str, voice: str
    ) -> None:
        backend.send(message("voice", language=language), timeout=5)
        assert endpoint.requests[0].json["VoiceId"] == voice

    def test_text_cannot_become_markup(
        self, backend: Backend, aws_api: AWSAPI, settings: Any
    ) -> None:
        settings.OTP_CHANNELS_SITE_NAME = "<audio>\"&'"
        backend.send(message("voice"), timeout=5)
        assert "<audio>\"&'" in aws_api.spoken[0][1][0]

    def test_names_the_languages_that_it_speaks(self, backend: Backend) -> None:
        assert {"en", "de", "zh", "nb"} <= (backend.spoken_languages or set())
        assert not {"eu", "el", "hu"} & (backend.spoken_languages or set())

    def test_has_voices_that_aws_has(self) -> None:
        known = set(stand_in.model(stand_in.MESSAGING).shape_for("VoiceId").enum)
        assert set(backends.VOICES.values()) <= known


class TestSNS(AWSContract):
    path = "django_otp_channels.backends.aws.SNS"
    channel = "sms"
    meanings = SNS

    @pytest.fixture
    def endpoint(self, aws_api: AWSAPI) -> Endpoint:
        return aws_api.publish

    @pytest.fixture
    def seen(self, aws_api: AWSAPI) -> Callable[[], list[str]]:
        return lambda: [text for number, text in aws_api.sent if number == NUMBER]

    def error(self, code: str, detail: str = "", *, status: int = 400) -> Reply:
        words = f"Invalid parameter: {detail} Reason: {NUMBER} is not valid to publish to"
        return stand_in.xml_error(code, status=status, message=words)

    @pytest.mark.parametrize(
        ("sender", "attribute"),
        [
            ("", None),
            (stand_in.SENDER, "AWS.MM.SMS.OriginationNumber"),
            ("12345", "AWS.MM.SMS.OriginationNumber"),
            ("MYBANK", "AWS.SNS.SMS.SenderID"),
        ],
    )
    def test_sends_what_sns_needs_and_no_more(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint, sender: str,
        attribute: str | None,
    ) -> None:  # fmt: skip
        backend = build(**{**stand_in.OPTIONS, "sender": sender})
        assert list(backend.check()) == []
        backend.send(message, timeout=5)
        form = endpoint.requests[0].form
        assert (form["PhoneNumber"], form["Message"]) == (NUMBER, message.text)
        attributes = {name: text["StringValue"] for name, text in stand_in._attributes(form)}
        assert attributes == {
            "AWS.SNS.SMS.SMSType": "Transactional",
            **({attribute: sender} if attribute else {}),
        }

    def test_a_number_that_opted_out_is_refused(
        self, backend: Backend, message: Message, aws_api: AWSAPI, caplog: pytest.LogCaptureFixture
    ) -> None:
        aws_api.opted_out.add(NUMBER)
        assert self.failing(backend, message, DeliveryRefused, caplog).code == "opted-out"
        assert aws_api.publish.requests == []

    @pytest.mark.parametrize(
        ("reply", "expected", "timeout"),
        [
            (HANG, DeliveryUnavailable, 0.4),
            (Reply(502, HTML), DeliveryUnavailable, 5),
            (stand_in.xml_error("InternalError", status=500), DeliveryUnavailable, 5),
            (stand_in.xml_error("Throttled", status=429), DeliveryUnavailable, 5),
            (stand_in.xml_error("AuthorizationError", status=403), BackendMisconfigured, 5),
        ],
    )
    def test_nothing_was_sent_where_it_was_not_told_who_opted_out(
        self, backend: Backend, message: Message, aws_api: AWSAPI, reply: Reply,
        expected: type[Exception], timeout: float, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend.send(message, timeout=5)  # what an SDK does at first is slow, and not the point
        aws_api.opt_outs.always(reply)
        self.failing(backend, message, expected, caplog, timeout=timeout)
        assert len(aws_api.opt_outs.requests) == 2
        assert len(aws_api.publish.requests) == 1


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestMoto:
    """SNS as somebody else understood it: https://docs.getmoto.org/"""

    @pytest.fixture
    def backend(self, moto: str, monkeypatch: pytest.MonkeyPatch) -> backends.SNS:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", moto)
        request = urllib.request.Request(f"{moto}/moto-api/reset", method="POST")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310 (on the loopback)
        return backends.SNS(**stand_in.OPTIONS)

    @pytest.fixture
    def texts(self, moto: str) -> Callable[[], list[Any]]:
        def texts() -> list[Any]:
            with urllib.request.urlopen(f"{moto}/moto-api/data.json") as answer:  # noqa: S310
                return json.load(answer)["sns"].get("SMS", [])

        return texts

    def test_a_text_arrives(self, backend: Backend, texts: Callable[[], list[Any]]) -> None:
        sent = message("sms")
        receipt = backend.send(sent, timeout=5)
        (text,) = texts()
        assert (text["phone_number"], text["message"]) == (NUMBER, sent.text)
        assert text["message_id"] == receipt.message_id

    def test_a_number_that_opted_out_is_refused(
        self, backend: Backend, texts: Callable[[], list[Any]]
    ) -> None:
        with pytest.raises(DeliveryRefused):
            backend.send(message("sms", "+12025550199"), timeout=5)
        assert texts() == []


def test_the_table_has_every_error_that_the_tests_know() -> None:
    assert backends.CODES.keys() == {*MESSAGING, *SNS, *COMMON}


@pytest.mark.parametrize("operation", ["SendTextMessage", "SendVoiceMessage"])
def test_the_table_has_every_error_in_the_model_of_end_user_messaging(operation: str) -> None:
    shapes = stand_in.model(stand_in.MESSAGING).operation_model(operation).error_shapes
    assert len(shapes) >= 7
    for shape in shapes:
        assert (shape.name, "") in backends.CODES
        reasons = set(shape.members["Reason"].enum) if "Reason" in shape.members else set()
        known = {detail for code, detail in backends.CODES if code == shape.name}
        others = NOT_OF_A_SEND.get(shape.name, set())
        assert reasons - known <= others


@pytest.mark.parametrize("operation", ["Publish", "CheckIfPhoneNumberIsOptedOut"])
def test_the_table_has_every_error_in_the_model_of_sns(operation: str) -> None:
    shapes = stand_in.model(stand_in.SNS).operation_model(operation).error_shapes
    codes = {shape.metadata["error"]["code"] for shape in shapes}
    assert len(codes) >= 4
    assert {(code, "") for code in codes} <= backends.CODES.keys()
